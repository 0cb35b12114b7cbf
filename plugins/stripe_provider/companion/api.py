"""Answer a /v1 request: check its key, inject faults, apply idempotency, run the endpoint."""

import json
from collections import deque
from collections.abc import Mapping

import attrs
import trio

from stripe_provider.companion import errors
from stripe_provider.companion.account import Account, Cause
from stripe_provider.companion.endpoints import Endpoints, Work
from stripe_provider.companion.errors import ApiError
from stripe_provider.companion.faults import Fault, Faults
from stripe_provider.companion.form import Form, decode
from stripe_provider.companion.objects import API_VERSION, new_id
from stripe_provider.companion.state import SavedReply


@attrs.frozen(kw_only=True)
class Call:
    """A request as received."""

    method: str
    path: str
    authorization: str
    #: The query string, or the body of a POST.
    form: str
    idempotency_key: str | None = None
    version: str | None = None


@attrs.frozen(kw_only=True)
class Reply:
    """The response."""

    status: int
    body: str
    headers: Mapping[str, str] = {}


@attrs.define(slots=False)
class HangUp(Exception):
    """Close the connection without a response."""

    reset: bool = False


@attrs.define(kw_only=True)
class Logged:
    """A call in the request log, for tests."""

    method: str
    path: str
    idempotency_key: str | None
    request_id: str
    fault: str | None = None
    #: None until there is a response.
    status: int | None = None
    replayed: bool = False


class Api:
    """The API, with its request log."""

    def __init__(self, account: Account, endpoints: Endpoints, faults: Faults) -> None:
        self.log: deque[Logged] = deque(maxlen=50_000)
        self._account = account
        self._endpoints = endpoints
        self._faults = faults
        self._busy: set[str] = set()

    async def answer(self, call: Call) -> Reply:
        """Return the response to one request. Raises HangUp."""
        logged = Logged(
            method=call.method,
            path=call.path,
            idempotency_key=call.idempotency_key,
            request_id=new_id("req_", 14),
        )
        self.log.append(logged)
        fault = self._faults.take(call.method, call.path)
        logged.fault = fault.kind if fault else None
        try:
            await _before(fault)
            reply = await self._work(call, fault, logged)
        except ApiError as error:
            reply = _refusal(error)
        if fault is not None and fault.kind == "timeout_after":
            await trio.sleep(fault.hold_s)
            raise HangUp
        if fault is not None and fault.kind == "garbage":
            reply = attrs.evolve(reply, status=200, body="<html>")
        logged.status = reply.status
        headers = {
            "Request-Id": logged.request_id,
            "Stripe-Version": call.version or API_VERSION,
            **({"Idempotency-Key": call.idempotency_key} if call.idempotency_key else {}),
            **reply.headers,
        }
        return attrs.evolve(reply, headers=headers)

    async def _work(self, call: Call, fault: Fault | None, logged: Logged) -> Reply:
        self._authenticate(call)
        form = decode(call.form)
        key = call.idempotency_key if call.method == "POST" else None
        if key is None:
            work = self._endpoints.find(call.method, call.path, form)
            return await self._run(call, work, fault, logged)
        if len(key) > 255:
            raise ApiError(message="Idempotency keys can have up to 255 characters.")
        if (saved := self._saved(key, call.path, form)) is not None:
            logged.replayed = True
            return saved
        work = self._endpoints.find(call.method, call.path, form)
        self._busy.add(key)
        try:
            return await self._run(call, work, fault, logged, form)
        finally:
            self._busy.discard(key)

    def _authenticate(self, call: Call) -> None:
        given = call.authorization.removeprefix("Bearer ")
        if not call.authorization.startswith("Bearer ") or given != self._account.secret_key:
            raise errors.unauthorized(given)

    def _saved(self, key: str, path: str, form: Form) -> Reply | None:
        """Return the saved response to the first request with this key.

        Raises ApiError when this request differs from the first one.
        """
        if key in self._busy:
            raise errors.key_in_use(key)
        saved = self._account.state.reply(key)
        if saved is None:
            return None
        if saved.path != path:
            raise errors.key_mismatch(key, path=(saved.path, path))
        if saved.params != _canonical(form):
            raise errors.key_mismatch(key)
        headers = {"Idempotent-Replayed": "true", "Original-Request": saved.request_id}
        if saved.status >= 500:
            headers["Stripe-Should-Retry"] = "false"
        return Reply(status=saved.status, body=saved.body, headers=headers)

    async def _run(
        self,
        call: Call,
        work: Work,
        fault: Fault | None,
        logged: Logged,
        form: Form | None = None,
    ) -> Reply:
        """Run the endpoint and, with `form`, save the response under the idempotency key."""
        key = call.idempotency_key
        cause = Cause(request_id=logged.request_id, idempotency_key=key)
        with self._account.state.transaction():
            reply = _outcome(work, cause, fault)
            if form is not None and key is not None:
                saved = SavedReply(
                    key=key,
                    path=call.path,
                    params=_canonical(form),
                    status=reply.status,
                    body=reply.body,
                    request_id=logged.request_id,
                )
                self._account.state.save_reply(saved)
                reply = attrs.evolve(
                    reply, headers={**reply.headers, "Original-Request": logged.request_id}
                )
        if fault is not None and fault.kind == "slow":
            await trio.sleep(fault.hold_s)
        return reply


async def _before(fault: Fault | None) -> None:
    """Apply faults that act before the endpoint runs."""
    match fault.kind if fault else None:
        case "500_before":
            raise errors.internal(saved=False)
        case "429":
            raise errors.rate_limited(fault.retry_after_s if fault else None)
        case "401":
            raise errors.unauthorized("")
        case "403":
            raise errors.forbidden()
        case "unknown_parameter":
            raise errors.unknown(["submit_type"])
        case "reset":
            raise HangUp(reset=True)
        case "timeout_before":
            await trio.sleep(fault.hold_s if fault else 0)
            raise HangUp


def _outcome(work: Work, cause: Cause, fault: Fault | None) -> Reply:
    """Raises ApiError for an error that is not saved under the idempotency key."""
    kind = fault.kind if fault else None
    try:
        if kind == "500_failed":
            raise errors.internal(saved=True)
        body = work(cause)
        if kind == "500_after":
            raise errors.internal(saved=True)
    except ApiError as error:
        if not error.saved:
            raise
        return _refusal(error)
    return Reply(status=200, body=json.dumps(body, indent=2))


def _refusal(error: ApiError) -> Reply:
    headers: dict[str, str] = {}
    if error.should_retry is not None:
        headers["Stripe-Should-Retry"] = str(error.should_retry).lower()
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return Reply(status=error.status, body=json.dumps(error.body(), indent=2), headers=headers)


def _canonical(form: Form) -> str:
    return json.dumps(form, sort_keys=True)
