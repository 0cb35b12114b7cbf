"""The number of blocks per request: adapted to the limits that endpoints report."""

import re

RANGE_FIRST = 1_000
#: After this many successful ranges in a row, the length doubles.
CLEAN_TO_GROW = 5

#: reth: "query exceeds max results 20000, retry with the range 1-244"
_SUGGESTED = re.compile(r"range (\d+)-(\d+)")
_TOO_LARGE = re.compile(
    r"max(imum)? (results|block range)|too (many|large|wide)|range.*(limit|exceed)|"
    r"exceeds.*(range|limit)|more than \d+ (results|logs)",
    re.IGNORECASE,
)


#: "request exceeds rate limit" concerns the request rate, not the range.
_TOO_OFTEN = re.compile(r"\brate\b", re.IGNORECASE)


def is_too_large(message: str) -> bool:
    """Whether an error means that a shorter range would succeed."""
    return _TOO_LARGE.search(message) is not None and not is_too_often(message)


def is_too_often(message: str) -> bool:
    """Whether an error asks for a pause."""
    return _TOO_OFTEN.search(message) is not None


def suggested_length(message: str) -> int | None:
    """The length of the range that an error message recommends."""
    found = _SUGGESTED.search(message)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    return last - first + 1 if last >= first else None


class RangeLength:
    """Between 1 and `longest` blocks."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._clean = 0
        self.length = min(RANGE_FIRST, longest)

    def shorten(self, suggestion: int | None) -> None:
        """Shorten after a range was too long: to the endpoint's suggestion, else to half."""
        half = self.length // 2
        self.length = max(1, min(half, suggestion or half))
        self._clean = 0

    def succeeded(self) -> None:
        """Count a successful range."""
        self._clean += 1
        if self._clean >= CLEAN_TO_GROW:
            self._clean = 0
            self.length = min(self._longest, self.length * 2)
