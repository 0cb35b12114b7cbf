"""Find many names in a text at once: whole names, in any letter case.

Pure. The words of a text are looked up in a table that has a word of each name, so the time does
not depend on how many names there are.
"""

import re
from collections import defaultdict
from collections.abc import Collection

#: Shorter names would be found in anything. payd's and the providers' are longer.
NAME_LENGTH_MIN = 6

_WORD = re.compile("[0-9a-z_-]+")


class Names:
    """Names to look for."""

    def __init__(self, names: Collection[str]) -> None:
        self._by_word: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            words = _WORD.findall(name.lower())
            if len(name) >= NAME_LENGTH_MIN and words:
                # The longest word is the rarest.
                self._by_word[max(words, key=len)].append(name.lower())

    def are_in(self, text: str) -> bool:
        """Whether one of the names stands in the text, and not as a part of a longer name."""
        text = text.lower()
        words = self._by_word.keys() & set(_WORD.findall(text))
        return any(_stands_in(name, text) for word in words for name in self._by_word[word])


def _stands_in(name: str, text: str) -> bool:
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not _WORD.match(text[start - 1 : start]) and not _WORD.match(text[end : end + 1]):
            return True
        start = text.find(name, start + 1)
    return False
