"""A mistake in a scripted remote side is reported as one, and names the member."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.lowlevel
from acme_provider import MANIFEST
from acme_provider.conformance import AcmeRemote
from acme_provider.conformance import open_remote as open_acme
from integration.kit.remotes import opening

from payd.plugins.testing import CHECKS, BenchClock, OpenRemote, Outcome, Remote, guarded, run_check
from payd.plugins.testing.report import Report, Verdict
from payd.plugins.testing.run import START, report_of

BY_NAME = {check.name: check for check in CHECKS}
PAID = "a paid object is found paid"


class CrashesAtPay(AcmeRemote):
    async def pay(self, ref: Any, amount: int) -> None:
        raise KeyError(amount)


class PaysNothing(AcmeRemote):
    async def pay(self, ref: Any, amount: int) -> None:
        """Do nothing."""


class PaysHalf(AcmeRemote):
    async def pay(self, ref: Any, amount: int) -> None:
        await super().pay(ref, amount // 2)


class PaysWithoutAsync(AcmeRemote):
    def pay(self, ref: Any, amount: int) -> None:  # type: ignore[override]  # the mistake
        """Do nothing."""


class PaysForEver(AcmeRemote):
    async def pay(self, ref: Any, amount: int) -> None:
        await trio.sleep_forever()


class CountsInText(AcmeRemote):
    async def objects(self, payment_id: Any) -> int:
        return "1"  # type: ignore[return-value]  # the mistake


class SendsText(AcmeRemote):
    def webhook(self, ref: Any, now: Any, secret: str | None = None) -> Any:
        return '{"id": 1}'


class ShoutsItsHeaders(AcmeRemote):
    def signature_headers(self) -> tuple[str, ...]:
        return ("Acme-Signature",)


class NamesNoCredential(AcmeRemote):
    def key_name(self) -> str:
        return "the_key"


class TakesNoAmount(AcmeRemote):
    amounts = ()


class HasOneSecret(AcmeRemote):
    def __init__(self, acme: Any) -> None:
        super().__init__(acme)
        self.secrets = {"api_key": acme.api_key, "webhook_secret": acme.webhook_secret}


class MisspellsASetting(AcmeRemote):
    def __init__(self, acme: Any) -> None:
        super().__init__(acme)
        self.settings = {**self.settings, "api_bas": "x"}


@asynccontextmanager
async def cannot_open(clock: BenchClock) -> AsyncIterator[Remote]:
    if clock.now() >= START:
        raise OSError("the port is taken")
    yield Remote()


@asynccontextmanager
async def opens_something_else(clock: BenchClock) -> AsyncIterator[Any]:
    yield object()


@asynccontextmanager
async def breaks_meanwhile(clock: BenchClock) -> AsyncIterator[Remote]:
    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("the fake server crashed")

    async with open_acme(clock) as usual, trio.open_nursery() as nursery:
        nursery.start_soon(crash)
        yield usual


@asynccontextmanager
async def cannot_close(clock: BenchClock) -> AsyncIterator[Remote]:
    async with open_acme(clock) as usual:
        yield usual
    raise OSError("the folder is not empty")


#: Check, remote side, and what the message must name.
MISTAKES: tuple[tuple[str, OpenRemote, str], ...] = (
    (PAID, opening(CrashesAtPay), "Remote.pay: KeyError"),
    (PAID, opening(PaysNothing), "Remote.pay of 14900 changed Remote.received from 0 to 0"),
    (PAID, opening(PaysHalf), "Remote.pay of 14900 changed Remote.received from 0 to 7450"),
    (PAID, opening(PaysWithoutAsync), "Remote.pay is not a coroutine function"),
    (PAID, opening(PaysForEver), "Remote.pay did not return within"),
    (PAID, opening(TakesNoAmount), "Remote.amounts is ()"),
    (PAID, opening(HasOneSecret), "Remote.secrets is"),
    (PAID, opening(MisspellsASetting), "Remote.settings"),
    (PAID, cannot_open, "open_remote: OSError: the port is taken"),
    (PAID, opens_something_else, "open_remote yielded <object"),
    (PAID, breaks_meanwhile, "open_remote: LookupError: the fake server crashed"),
    (PAID, cannot_close, "open_remote: OSError: the folder is not empty"),
    ("fetch changes nothing", opening(CountsInText), "Remote.objects returned '1', not an int"),
    ("an authentic webhook is accepted", opening(SendsText), "Remote.webhook returned"),
    (
        "without its signature it is refused",
        opening(ShoutsItsHeaders),
        "Remote.signature_headers returned ('Acme-Signature',)",
    ),
    (
        "a replaced key is used at once",
        opening(NamesNoCredential),
        "Remote.key_name returned 'the_key', not a name of Remote.secrets",
    ),
)


def verdict_of(check: str, open_remote: OpenRemote) -> Verdict:
    return trio.run(run_check, BY_NAME[check], MANIFEST, open_remote)


@pytest.mark.parametrize(
    ("check", "open_remote", "named"), MISTAKES, ids=[named for _, _, named in MISTAKES]
)
def test_it_is_reported_as_a_mistake_of_the_remote(
    check: str, open_remote: OpenRemote, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "MEMBER_TIMEOUT_S", 1.0)
    verdict = verdict_of(check, open_remote)
    assert (verdict.outcome, named in verdict.message) == (Outcome.REMOTE_MISTAKE, True), verdict


def test_the_report_lists_it_apart_and_is_not_passed() -> None:
    report: Report = report_of(
        MANIFEST, [verdict_of(PAID, open_acme), verdict_of(PAID, opening(PaysNothing))], START
    )
    assert not report.passed
    said = report.as_text()
    assert "1 of 2 passed, 1 remote mistake" in said
    assert "Mistakes in the scripted remote side, not in the provider\n  a paid object" in said
    assert "FAILED" not in said
    document = report.as_json()
    assert document["levels"]["basic"] == "remote mistake"
    assert [one["outcome"] for one in document["checks"]] == ["passed", "remote mistake"]


def test_a_remote_that_is_right_is_not_accused() -> None:
    assert verdict_of(PAID, open_acme).outcome is Outcome.PASSED
