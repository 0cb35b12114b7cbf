"""What a signed heading says about a payment's rows, and which line is the first that differs."""

import json
from typing import Any
from uuid import UUID

import attrs

from payd.adapters.audit.chain import Head, next_hash


@attrs.frozen(kw_only=True)
class SignedRows:
    """What the signed heading says about a payment's rows."""

    payment_id: UUID
    after: Head
    hashes: list[bytes]

    @property
    def last(self) -> Head:
        """The last row."""
        if not self.hashes:
            return self.after
        return Head(version=self.after.version + len(self.hashes), hash=self.hashes[-1])

    def first_wrong(self, lines: list[bytes], *, is_cut: bool) -> tuple[int, str] | None:
        """The position of the first line that is not the row of its place, and what happened."""
        genuine = [self._position_of(line, place) for place, line in enumerate(lines)]
        for position in range(max(len(lines), len(self.hashes))):
            if position >= len(lines):
                how = "the file is truncated before it" if is_cut else "it was dropped"
                return position, f"{self._name(position)} is missing: {how}"
            if genuine[position] != position or position >= len(self.hashes):
                return position, self._what_happened(position, lines[position], genuine)
        return None

    def _what_happened(self, position: int, line: bytes, genuine: list[int | None]) -> str:
        found = genuine[position]
        comes_later = position in genuine[position + 1 :]
        is_longer = len(genuine) > len(self.hashes)
        if position >= len(self.hashes):
            return (
                f"inserted behind the last row of payment {self.payment_id}, or the next heading"
                f" was altered: {named(line)}"
            )
        if found is not None and found > position:
            how = "swapped with" if comes_later else "dropped before"
            return f"{self._name(position)} was {how} {self._name(found)}"
        if found is not None:
            return f"{self._name(found)} was inserted again"
        if comes_later and is_longer:
            return f"a row was inserted before {self._name(position)}: {named(line)}"
        if comes_later:
            return f"{self._name(position)} was swapped with another row: {named(line)}"
        return f"{self._name(position)} was altered"

    def _position_of(self, line: bytes, place: int) -> int | None:
        """Which of the rows a line is, most likely that of its place; None for none of them."""
        if self._is_row(place, line):
            return place
        version = document_of(line).get("version")
        position = version - self.after.version - 1 if isinstance(version, int) else -1
        return position if self._is_row(position, line) else None

    def _is_row(self, position: int, line: bytes) -> bool:
        if not 0 <= position < len(self.hashes):
            return False
        before = self.hashes[position - 1] if position else self.after.hash
        return next_hash(before, line) == self.hashes[position]

    def _name(self, position: int) -> str:
        return f"version {self.after.version + 1 + position} of payment {self.payment_id}"


def named(line: bytes) -> str:
    """What a line says that it is, for a message."""
    document = document_of(line)
    if "version" in document and "payment_id" in document:
        return f"it says version {document['version']} of payment {document['payment_id']}"
    return "it is no row"


def document_of(line: bytes) -> dict[str, Any]:
    """The line's document; empty for any other line."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
