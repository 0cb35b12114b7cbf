"""The report of a drill: what happened, and which invariants hold; for people and as JSON."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from payd.drills.invariants import Checked


@attrs.frozen(kw_only=True)
class DrillReport:
    """What a drill did, what it counted, and what it found."""

    title: str
    #: What happened, in order: seconds from the start, and the words for it.
    steps: Sequence[tuple[float, str]]
    #: Name → number.
    counts: Mapping[str, int]
    #: Title → lines: payments by name.
    lists: Mapping[str, Sequence[str]]
    invariants: Sequence[Checked]
    #: Payments that the drill itself took away, so that invariants must break for them.
    lost: Collection[UUID] = ()

    @property
    def broken(self) -> Sequence[str]:
        """The invariants that do not hold, though the drill may not break them."""
        return [
            one.invariant
            for one in self.invariants
            if any(finding.payment_id not in self.lost for finding in one.findings)
        ]

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield self.title
        for seconds, what in self.steps:
            yield f"{seconds:7.1f} s  {what}"
        yield ""
        for name, number in self.counts.items():
            yield f"{number:7}  {name}"
        for title, entries in self.lists.items():
            yield ""
            yield f"{title}: {len(entries) or 'none'}"
            yield from (f"    {entry}" for entry in entries)
        yield ""
        for one in self.invariants:
            yield f"{one.invariant:4} {_verdict(one):6} {one.rule}"
            if one.elsewhere:
                yield f"            checked by {one.elsewhere}"
            for finding in one.findings:
                yield f"            {finding.payment_id or ''} {finding.text}".rstrip()

    def document(self) -> Mapping[str, Any]:
        """The report as JSON."""
        return {
            "title": self.title,
            "steps": [{"seconds": round(seconds, 1), "what": what} for seconds, what in self.steps],
            "counts": dict(self.counts),
            "lists": {title: list(entries) for title, entries in self.lists.items()},
            "invariants": [
                {
                    "invariant": one.invariant,
                    "rule": one.rule,
                    "verdict": _verdict(one),
                    "findings": [
                        {"payment_id": str(f.payment_id or ""), "text": f.text}
                        for f in one.findings
                    ],
                }
                for one in self.invariants
            ],
        }


def _verdict(one: Checked) -> str:
    if one.elsewhere:
        return "-"
    return "BROKEN" if one.findings else "holds"
