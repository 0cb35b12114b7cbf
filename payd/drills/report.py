"""The report of a drill: what happened, and which invariants hold; for people and as JSON."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from payd.drills.invariants import Checked, Finding

#: Breaks of an invariant by payments that were taken away that people are shown; JSON has all.
_EXPECTED_SHOWN = 3


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
        return [one.invariant for one in self.invariants if self._unexpected(one)]

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
            yield f"{one.invariant:4} {self._verdict(one):6} {one.rule}"
            if one.elsewhere:
                yield f"            checked by {one.elsewhere}"
            for finding in self._unexpected(one):
                yield f"            {finding.payment_id or ''} {finding.text}".rstrip()
            expected = [finding for finding in one.findings if finding.payment_id in self.lost]
            if expected:
                payments = len({finding.payment_id for finding in expected})
                yield f"            expected for {payments} of the lost payments, such as"
            for finding in expected[:_EXPECTED_SHOWN]:
                yield f"            {finding.payment_id} {finding.text}"
        yield ""
        yield self._conclusion()

    def document(self) -> Mapping[str, Any]:
        """The report as JSON."""
        return {
            "title": self.title,
            "steps": [{"seconds": round(seconds, 1), "what": what} for seconds, what in self.steps],
            "broken": list(self.broken),
            "counts": dict(self.counts),
            "lists": {title: list(entries) for title, entries in self.lists.items()},
            "invariants": [
                {
                    "invariant": one.invariant,
                    "rule": one.rule,
                    "verdict": self._verdict(one),
                    "findings": [
                        {"payment_id": str(f.payment_id or ""), "text": f.text}
                        for f in one.findings
                    ],
                }
                for one in self.invariants
            ],
        }

    def _unexpected(self, one: Checked) -> Sequence[Finding]:
        return [finding for finding in one.findings if finding.payment_id not in self.lost]

    def _verdict(self, one: Checked) -> str:
        if one.elsewhere:
            return "-"
        if self._unexpected(one):
            return "BROKEN"
        return "lost" if one.findings else "holds"

    def _conclusion(self) -> str:
        if self.broken:
            return f"Broken, which should not be: {', '.join(self.broken)}."
        if any(one.findings for one in self.invariants):
            return (
                'As expected: what is "lost" breaks for payments and changes of the lost time only,'
                " which no daemon can know. Nothing else is broken."
            )
        return "As expected: nothing is broken."
