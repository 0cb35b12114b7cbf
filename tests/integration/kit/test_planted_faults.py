"""Mistakes under faults, planted in the two examples: each with the check that finds it."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import httpx
import pytest
import trio
from acme_provider import api
from acme_provider.api import AcmeApi
from acme_provider.provider import AcmeProvider
from integration.kit import broken_faults
from integration.kit.broken import anew, manifest_of, open_acme, open_sepa
from integration.kit.remotes import open_tokens
from sepa_provider import MANIFEST as SEPA
from sepa_provider.provider import SepaProvider

from payd.plugins import (
    Absent,
    Cancel,
    Created,
    Declined,
    Misconfigured,
    NotAttempted,
    OutcomeUnknown,
    ProviderError,
    ProviderManifest,
    ProviderStatus,
    Redirect,
)
from payd.plugins.testing import CHECKS, OpenRemote, Outcome, run_check

BY_NAME = {check.name: check for check in CHECKS}

Plant = Callable[[pytest.MonkeyPatch], None]

# -- in Acme, where it reads the responses -----------------------------------------------------

_USUAL_READ = api._read
_USUAL_SEND = AcmeApi._send


def reading(status: int, result: Callable[[], Any]) -> Plant:
    """Read responses of this status in another way."""

    def read(response: httpx.Response) -> Any:
        return result() if response.status_code == status else _USUAL_READ(response)

    return lambda patch: patch.setattr(api, "_read", read)


def raising(error: ProviderError) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def a_delay_of_its_own(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(api, "_retry_after_s", lambda response: api._RETRY_AFTER_S)


def every_lost_response_is_unsent(patch: pytest.MonkeyPatch) -> None:
    async def send(self: AcmeApi, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await _USUAL_SEND(self, method, path, **more)
        except OutcomeUnknown as error:
            raise NotAttempted(str(error)) from None

    patch.setattr(AcmeApi, "_send", send)


def a_lost_request_is_created(patch: pytest.MonkeyPatch) -> None:
    usual = AcmeProvider.create

    async def create(self: AcmeProvider, operation: Any) -> Created:
        try:
            return await usual(self, operation)
        except OutcomeUnknown:
            return await usual(self, anew(operation))

    patch.setattr(AcmeProvider, "create", create)


def nothing(patch: pytest.MonkeyPatch) -> None:
    """The provider of the row is broken by itself."""


FETCH = "a fault of fetch is raised as what it is"
CANCEL = "a fault of cancel is raised and closes nothing by itself"
FORBIDDEN = "a forbidden call is a misconfiguration"
DELAY = "a retry delay is that of the remote side"
SETTING = "a setting changed between retries changes nothing"
EXPIRY = "an object closes at its expiry"
REFUSED = "a refused token is a misconfiguration without a loop"

IN_ACME: Sequence[tuple[str, Plant, type, OpenRemote, str]] = (
    ("a 403 is absent", reading(403, lambda: None), AcmeProvider, open_acme, FORBIDDEN),
    (
        "a 403 is declined",
        reading(403, raising(Declined("forbidden", "Forbidden."))),
        AcmeProvider,
        open_acme,
        FORBIDDEN,
    ),
    (
        "a 401 is unknown",
        reading(401, raising(OutcomeUnknown("refused"))),
        AcmeProvider,
        open_acme,
        FETCH,
    ),
    (
        "a 429 is unknown",
        reading(429, raising(OutcomeUnknown("429"))),
        AcmeProvider,
        open_acme,
        FETCH,
    ),
    (
        "a 5xx is declined",
        reading(500, raising(Declined("failed", "It failed."))),
        AcmeProvider,
        open_acme,
        FETCH,
    ),
    ("Retry-After is ignored", a_delay_of_its_own, AcmeProvider, open_acme, DELAY),
    (
        "a lost response is unsent",
        every_lost_response_is_unsent,
        AcmeProvider,
        open_acme,
        "a lost response is unknown and done once",
    ),
    (
        "a retry under another key",
        a_lost_request_is_created,
        AcmeProvider,
        open_acme,
        "a lost response is unknown and done once",
    ),
    (
        "a failed cancel is done",
        nothing,
        broken_faults.CancelsWithoutAnAnswer,
        open_acme,
        CANCEL,
    ),
    ("its own expiry is sent", nothing, broken_faults.SendsItsOwnExpiry, open_acme, SETTING),
    ("the expiry is ignored", nothing, broken_faults.NeverExpires, open_acme, EXPIRY),
    (
        "a token is kept",
        nothing,
        broken_faults.NeverReplacesItsToken,
        open_tokens,
        "an expired token is replaced once",
    ),
    ("tokens in a loop", nothing, broken_faults.AsksAgainAndAgain, open_tokens, REFUSED),
)


@pytest.mark.parametrize(
    ("plant", "provider", "remote", "check"),
    [row[1:] for row in IN_ACME],
    ids=[row[0] for row in IN_ACME],
)
def test_a_mistake_in_acme_is_found(
    plant: Plant,
    provider: type,
    remote: OpenRemote,
    check: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    is_found(check, manifest_of(provider), remote)


# -- in sepa, whose remote side is a folder ----------------------------------------------------


class AMissingFolderIsAbsent(SepaProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except ProviderError:
            return Absent()


class AMissingFolderIsDeclined(SepaProvider):
    async def fetch(self, ref: Any) -> Any:
        try:
            return await super().fetch(ref)
        except Misconfigured:
            raise Declined("no_folder", "The folder is missing.") from None


class AMissingFolderIsCanceled(SepaProvider):
    async def cancel(self, ref: Any) -> Any:
        before: Any = await trio.to_thread.run_sync(self._found, ref)
        try:
            return await super().cancel(ref)
        except ProviderError:
            return attrs.evolve(before.snapshot, status=ProviderStatus.CANCELED)


class AClaimForEachAccount(SepaProvider):
    async def create(self, operation: Any) -> Created:
        operation_id = f"{operation.operation_id}:{self._config.iban}"
        return await super().create(attrs.evolve(operation, operation_id=operation_id))


class TheNewestInstructions(SepaProvider):
    async def create(self, operation: Any) -> Created:
        url = f"https://shop.example/{self._config.iban}"
        return attrs.evolve(await super().create(operation), next_action=Redirect(url=url))


class ClaimsToClose(SepaProvider):
    """Its manifest says that a transfer can be prevented."""


CLOSES = attrs.evolve(SEPA.capabilities, cancel=Cancel.CLOSES)

IN_SEPA: Sequence[tuple[str, ProviderManifest, str]] = (
    (
        "a missing folder is absent",
        manifest_of(AMissingFolderIsAbsent),
        "a failed fetch is not absence",
    ),
    ("a missing folder is declined", manifest_of(AMissingFolderIsDeclined), FETCH),
    ("a missing folder is canceled", manifest_of(AMissingFolderIsCanceled), CANCEL),
    ("a claim for each account", manifest_of(AClaimForEachAccount), SETTING),
    ("the newest instructions", manifest_of(TheNewestInstructions), SETTING),
    ("the expiry is ignored", manifest_of(ClaimsToClose, capabilities=CLOSES), EXPIRY),
)


@pytest.mark.parametrize(
    ("manifest", "check"), [row[1:] for row in IN_SEPA], ids=[row[0] for row in IN_SEPA]
)
def test_a_mistake_in_sepa_is_found(manifest: ProviderManifest, check: str) -> None:
    is_found(check, manifest, open_sepa)


def is_found(check: str, manifest: ProviderManifest, remote: OpenRemote) -> None:
    verdict = trio.run(run_check, BY_NAME[check], manifest, remote)
    assert verdict.outcome is Outcome.FAILED, verdict
