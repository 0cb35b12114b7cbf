"""Parse YAML into plain values with the line of every key, without its surprising features.

It reads the parser's events: nesting is bounded, and no object is ever constructed from a tag.
Refused are anchors, aliases, tags, several documents, duplicate keys and keys that are not text.
Only plain decimals are numbers: `010`, `1_000` and `12:30` stay text, and so do `yes` and `no`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import yaml

from payd.config.problems import ConfigError, Problem

#: Largest accepted file: more than any real configuration or price list.
BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 16

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# 40 digits exceed every setting and stay far below Python's own limit on int().
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,39})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)")
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}

KeyPath = tuple[str, ...]


@attrs.frozen(kw_only=True)
class Document:
    """One parsed file: dicts, lists, str, int, float, bool and None, and the line of every key."""

    file: str
    data: object
    lines: dict[KeyPath, int]
    problems: tuple[Problem, ...]

    def where(self, path: KeyPath) -> str:
        """`FILE:LINE` of a key, or of its nearest parent with a known line."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"


def read_bytes(file: Path, key: str, where: str) -> bytes:
    """Read a file of at most BYTES_MAX. Raises ConfigError that names `key` and `where`."""
    try:
        with file.open("rb") as stream:
            content = stream.read(BYTES_MAX + 1)
    except OSError as error:
        what = f"cannot read {file}: {error.strerror}"
        raise ConfigError([Problem(key=key, where=where, what=what)]) from error
    if len(content) > BYTES_MAX:
        what = f"{file} is larger than {BYTES_MAX} bytes"
        raise ConfigError([Problem(key=key, where=where, what=what)])
    return content


def parse_yaml(content: bytes, file: str) -> Document:
    """Parse one document. Raises ConfigError for text that is not UTF-8 or not YAML."""
    try:
        reader = _Reader(content.decode(), file)
        data = reader.document()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(
            [Problem(key="(file)", where=f"{file}:{line}", what="is not UTF-8")]
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, file)]) from None
    return Document(file=file, data=data, lines=reader.lines, problems=tuple(reader.problems))


def _syntax_problem(error: yaml.YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return Problem(key="(syntax)", where=f"{file}:{line}", what=f"is not valid YAML: {reason}")


class _Reader:
    """Walks the parser's events once and continues after a problem, to report all of them."""

    def __init__(self, text: str, file: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=_LOADER))

    def document(self) -> object:
        data: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                value = self._value(next(self._events), ())
                if documents > 1:
                    self._refuse((), event, "contains a second document; keep one")
                else:
                    data = value
        return data

    def _value(self, event: yaml.Event, path: KeyPath) -> object:
        if len(path) > _DEPTH_MAX:
            where = f"{self._file}:{_line(event)}"
            what = f"is nested deeper than {_DEPTH_MAX} levels"
            raise ConfigError([Problem(key=_key(path[:4]) + "…", where=where, what=what)])
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(path, event, "anchors and aliases are not supported; repeat the value")
        if getattr(event, "tag", None) is not None:
            self._refuse(path, event, "tags are not supported; remove the !tag")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return _scalar(event) if isinstance(event, yaml.ScalarEvent) else None

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._mapping_key(event, path)
            here = (*path, "?" if key is None else key)
            if key is None:
                self._value(next(self._events), here)
            elif key in found:
                what = f"duplicate key; it is set on line {self.lines[here]} already"
                self._refuse(here, event, what)
                self._value(next(self._events), (*path, f"{key} (again)"))
            else:
                self.lines[here] = _line(event)
                found[key] = self._value(next(self._events), here)
        return found

    def _mapping_key(self, event: yaml.Event, path: KeyPath) -> str | None:
        key = self._value(event, (*path, "?"))
        if isinstance(key, str):
            return key
        self._refuse(path, event, f"contains a key that is not text: {key!r:.40}; quote it")
        return None

    def _sequence(self, path: KeyPath) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, str(len(found)))
            self.lines[here] = _line(event)
            found.append(self._value(event, here))
        return found

    def _refuse(self, path: KeyPath, event: yaml.Event, what: str) -> None:
        where = f"{self._file}:{_line(event)}"
        self.problems.append(Problem(key=_key(path), where=where, what=what))


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _key(path: KeyPath) -> str:
    return ".".join(path) or "(top level)"


def _scalar(event: yaml.ScalarEvent) -> object:
    text = str(event.value)
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
