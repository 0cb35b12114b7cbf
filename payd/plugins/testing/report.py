"""The kit's report on a provider: a verdict per check, a result per level; as text or JSON."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from payd.plugins.testing.registry import Level

#: Format number of the JSON document.
FORMAT = 1

UNPROVEN_HEADING = (
    "Unproven: script it in the Remote, or give the reason in ProviderManifest.unproven"
)


class Outcome(enum.Enum):
    """The outcome of one check.

    Attributes:
        PASSED: The provider does it.
        FAILED: The provider violates the contract.
        REMOTE_MISTAKE: The scripted remote side is wrong, so nothing is known about the provider.
        UNPROVEN: The scripted remote side cannot do what the check needs.
        NOT_CLAIMED: The provider does not claim the ability.
    """

    PASSED = "passed"
    FAILED = "failed"
    REMOTE_MISTAKE = "remote mistake"
    UNPROVEN = "unproven"
    NOT_CLAIMED = "not claimed"


@attrs.frozen(kw_only=True)
class Verdict:
    """The outcome of one check, and why it matters.

    Attributes:
        check: Name of the check.
        level: Its level.
        outcome: What came of it.
        message: What went wrong, or why it is unproven; empty if it passed.
        why: What goes wrong in payd if the check fails.
        seconds: How long it ran.
        reason: Why it is unproven, as the manifest says; empty if the manifest says nothing.
    """

    check: str
    level: Level
    outcome: Outcome
    message: str = ""
    why: str
    seconds: float
    reason: str = ""

    @property
    def is_red(self) -> bool:
        """Whether the provider cannot be certified with it."""
        if self.outcome is Outcome.UNPROVEN:
            return not self.reason
        return self.outcome in (Outcome.FAILED, Outcome.REMOTE_MISTAKE)

    @property
    def is_ruled_out(self) -> bool:
        """Whether the provider's author declared it impossible at this remote side."""
        return self.outcome is Outcome.NOT_CLAIMED and bool(self.message)


@attrs.frozen(kw_only=True)
class Report:
    """The report of one run of the kit.

    Attributes:
        provider: Name of the provider.
        version: Version of its wheel.
        sdk: Version of the plugin interface it was checked against.
        time: When the kit ran.
        verdicts: One verdict for each check.
    """

    provider: str
    version: str
    sdk: str
    time: datetime
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether at least one check passed, and each other one is explained or does not apply."""
        has_passed = any(verdict.outcome is Outcome.PASSED for verdict in self.verdicts)
        return has_passed and not any(verdict.is_red for verdict in self.verdicts)

    def levels(self) -> Mapping[Level, Outcome]:
        """The worst outcome of each level, among the checks that apply."""
        return {level: _worst(self.counts(level)) for level in Level}

    def counts(self, level: Level) -> Counter[Outcome]:
        """Number of checks of the level per outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts if verdict.level is level)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON document that `from_json` reads."""
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
        """Return text with every level, and every failed or unproven check with its reason."""
        lines = [f"{self.provider} {self.version}, plugin interface {self.sdk}"]
        lines += [f"  {level.value:<11}{self._summary(level)}" for level in Level]
        for verdict in self.verdicts:
            if verdict.outcome is Outcome.FAILED:
                lines += [
                    "",
                    f"FAILED  {verdict.check}",
                    f"  {verdict.message}",
                    f"  {verdict.why}",
                ]
        mistaken = [one for one in self.verdicts if one.outcome is Outcome.REMOTE_MISTAKE]
        if mistaken:
            lines += ["", "Mistakes in the scripted remote side, not in the provider"]
            lines += [f"  {one.check}: {one.message}" for one in mistaken]
        unproven = [one for one in self.verdicts if one.outcome is Outcome.UNPROVEN]
        if missing := [one for one in unproven if not one.reason]:
            lines += ["", UNPROVEN_HEADING]
            lines += [f"  {one.check}: {one.message}" for one in missing]
        if explained := [one for one in unproven if one.reason]:
            lines += ["", "Unproven, as the manifest says"]
            lines += [f"  {one.check}: {one.reason}" for one in explained]
        return "\n".join(lines)

    def _summary(self, level: Level) -> str:
        counts = self.counts(level)
        claimed = sum(counts.values()) - counts.get(Outcome.NOT_CLAIMED, 0)
        ruled_out = [one for one in self.verdicts if one.level is level and one.is_ruled_out]
        if not claimed and not ruled_out:
            return "not claimed"
        passed = f"{counts.get(Outcome.PASSED, 0)} of {claimed} passed"
        parts = [passed if claimed else "none applies"]
        parts += [
            f"{counts[one]} {one.value}"
            for one in (Outcome.FAILED, Outcome.REMOTE_MISTAKE, Outcome.UNPROVEN)
            if counts.get(one)
        ]
        if ruled_out:
            parts.append(f"{len(ruled_out)} declared impossible")
        return ", ".join(parts)


def from_json(document: Mapping[str, Any]) -> Report:
    """Read a document of `as_json`. Raises ValueError or LookupError for any other document."""
    if document["format"] != FORMAT:
        raise ValueError(f"unknown report format {document['format']}, expected {FORMAT}")
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
                reason=one.get("reason", ""),
            )
            for one in document["checks"]
        ),
    )


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        **attrs.asdict(verdict),
        "level": verdict.level.value,
        "outcome": verdict.outcome.value,
        "declared_impossible": verdict.is_ruled_out,
    }


def _worst(counts: Mapping[Outcome, int]) -> Outcome:
    order: Sequence[Outcome] = (
        Outcome.FAILED,
        Outcome.REMOTE_MISTAKE,
        Outcome.UNPROVEN,
        Outcome.PASSED,
    )
    return next((one for one in order if counts.get(one)), Outcome.NOT_CLAIMED)
