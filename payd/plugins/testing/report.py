"""What the kit found of a provider: a verdict a check, a result a level; as JSON and for people."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from payd.plugins.testing.registry import Level

#: Of the report's JSON document.
FORMAT = 1


class Outcome(enum.Enum):
    """What came of one check."""

    PASSED = "passed"
    FAILED = "failed"
    #: The scripted remote side could not show it.
    UNPROVEN = "unproven"
    #: The provider does not claim the ability.
    NOT_CLAIMED = "not claimed"


@attrs.frozen(kw_only=True)
class Verdict:
    """What came of one check, and why it matters."""

    check: str
    level: Level
    outcome: Outcome
    #: What went wrong, or what could not be shown; empty where it passed.
    message: str = ""
    #: What goes wrong in payd when it does not hold.
    why: str
    seconds: float

    @property
    def is_ruled_out(self) -> bool:
        """By the author: he says that it cannot happen at his remote side."""
        return self.outcome is Outcome.NOT_CLAIMED and bool(self.message)


@attrs.frozen(kw_only=True)
class Report:
    """One run of the kit."""

    provider: str
    version: str
    #: The version of the interface that it was checked against.
    sdk: str
    time: datetime
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something was shown."""
        outcomes = {verdict.outcome for verdict in self.verdicts}
        return Outcome.FAILED not in outcomes and Outcome.PASSED in outcomes

    def levels(self) -> Mapping[Level, Outcome]:
        """The worst of each level's checks that the provider claims."""
        return {level: _worst(self.counts(level)) for level in Level}

    def counts(self, level: Level) -> Counter[Outcome]:
        """How many checks of the level came out how."""
        return Counter(verdict.outcome for verdict in self.verdicts if verdict.level is level)

    def as_json(self) -> dict[str, Any]:
        """One document; `from_json` reads it."""
        return {
            "format": FORMAT,
            "provider": self.provider,
            "version": self.version,
            "sdk": self.sdk,
            "time": self.time.isoformat(),
            "passed": self.passed,
            "levels": {level.value: outcome.value for level, outcome in self.levels().items()},
            "checks": [_as_json(verdict) for verdict in self.verdicts],
        }

    def as_text(self) -> str:
        """For people: every level, and every check that did not pass, with what it means."""
        lines = [f"{self.provider} {self.version}, plugin interface {self.sdk}"]
        lines += [f"  {level.value:<11}{self._said(level)}" for level in Level]
        for verdict in self.verdicts:
            if verdict.outcome is Outcome.FAILED:
                lines += [
                    "",
                    f"FAILED  {verdict.check}",
                    f"  {verdict.message}",
                    f"  {verdict.why}",
                ]
        unproven = [one for one in self.verdicts if one.outcome is Outcome.UNPROVEN]
        if unproven:
            lines += ["", "Unproven: the remote side that comes with it cannot show"]
            lines += [f"  {one.check}: {one.message}" for one in unproven]
        return "\n".join(lines)

    def _said(self, level: Level) -> str:
        counts = self.counts(level)
        claimed = sum(counts.values()) - counts.get(Outcome.NOT_CLAIMED, 0)
        if not claimed:
            return "not claimed"
        told = [f"{counts.get(Outcome.PASSED, 0)} of {claimed} passed"]
        told += [
            f"{counts[one]} {one.value}"
            for one in (Outcome.FAILED, Outcome.UNPROVEN)
            if counts.get(one)
        ]
        ruled_out = [one for one in self.verdicts if one.level is level and one.is_ruled_out]
        if ruled_out:
            told.append(f"{len(ruled_out)} said to be impossible there")
        return ", ".join(told)


def from_json(document: Mapping[str, Any]) -> Report:
    """The report of `as_json`. Raises ValueError and LookupError for any other document."""
    if document["format"] != FORMAT:
        raise ValueError(f"a report of format {document['format']}, not {FORMAT}")
    return Report(
        provider=document["provider"],
        version=document["version"],
        sdk=document["sdk"],
        time=datetime.fromisoformat(document["time"]),
        verdicts=tuple(
            Verdict(
                check=one["check"],
                level=Level(one["level"]),
                outcome=Outcome(one["outcome"]),
                message=one["message"],
                why=one["why"],
                seconds=one["seconds"],
            )
            for one in document["checks"]
        ),
    )


def _as_json(verdict: Verdict) -> dict[str, Any]:
    document = attrs.asdict(verdict)
    return {**document, "level": verdict.level.value, "outcome": verdict.outcome.value}


def _worst(counts: Mapping[Outcome, int]) -> Outcome:
    order: Sequence[Outcome] = (Outcome.FAILED, Outcome.UNPROVEN, Outcome.PASSED)
    return next((one for one in order if counts.get(one)), Outcome.NOT_CLAIMED)
