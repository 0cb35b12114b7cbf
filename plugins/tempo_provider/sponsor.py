"""The way from a customer's wallet to the sponsor of its fee: JSON-RPC in, checks, JSON-RPC out.

Wallets speak to a sponsor as viem does (`withRelay`, `withFeePayer`): they send a signed
transaction, and get it back with the sponsor's signature, or ask the sponsor to send it, too. They
fill a transaction themselves where the sponsor does not (`eth_fillTransaction`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio
from eth_utils.hexadecimal import decode_hex, is_0x_prefixed

from payd.plugins import OutcomeUnknown, ProviderContext, SponsorRequest
from tempo_provider.envelope import Envelope, NotSponsored, read_envelope
from tempo_provider.holds import Hold, Holds
from tempo_provider.rpc import Endpoint, Paused, Refused, RpcError
from tempo_provider.sponsored_transfer import check_end, check_transfer

_SIGN: Final = "eth_signRawTransaction"
_METHODS: Final = frozenset({_SIGN, "eth_sendRawTransaction", "eth_sendRawTransactionSync"})
#: Most bytes of a sponsor's answer: a signed transaction, or a receipt.
ANSWER_BYTES_MAX: Final = 64 * 1024
#: Most transactions that are taken apart at the same time.
_READING_MAX: Final = 2
#: Errors of JSON-RPC 2.0.
_NO_REQUEST, _NO_METHOD, _REFUSED = -32600, -32601, -32602
#: EIP-1474's "limit exceeded".
_LATER: Final = -32005


class _Later(Exception):
    """Nobody can be asked now; the message is for the wallet."""


class Sponsor:
    """Hands transfers of our payments to the sponsor's endpoint, and nothing else."""

    def __init__(
        self,
        endpoint: Endpoint,
        chain: Sequence[Endpoint],
        context: ProviderContext,
    ) -> None:
        self._endpoint = endpoint
        self._chain = chain
        self._context = context
        self._holds = Holds()
        #: Threads for recovering keys, which takes some milliseconds each.
        self._reading = trio.CapacityLimiter(_READING_MAX)

    async def answer(self, request: SponsorRequest) -> bytes:
        """Return the JSON-RPC response for the wallet. Raises ProviderError."""
        asked = _asked(request.body)
        if asked is None:
            return _error(None, _NO_REQUEST, "send one JSON-RPC request")
        method, number = asked.get("method"), asked.get("id")
        if method not in _METHODS:
            return _error(number, _NO_METHOD, f"the method {method!r:.60} is not available")
        try:
            hold = await self._accept(request, _raw(asked.get("params")))
        except _Later as error:
            return _error(number, _LATER, f"{error}: try again later")
        except NotSponsored as error:
            self._context.metrics.count("sponsor_refusals_total")
            self._context.log.info("transfer_not_sponsored", why=str(error))
            return _error(number, _REFUSED, f"payd asks no sponsor for this transaction: {error}")
        return await self._forward(hold, str(method), number)

    async def _accept(self, request: SponsorRequest, raw: bytes) -> Hold:
        """Check the transaction, and hold what it is for. Raises NotSponsored and _Later."""
        if request.left <= 0:
            raise NotSponsored("the payment waits for no transfer")
        envelope = await trio.to_thread.run_sync(read_envelope, raw, limiter=self._reading)
        now = self._context.clock.now()
        valid_s = check_transfer(envelope, request.action, request.left, now)
        check_end(envelope, request.expire_time)
        await self._try(envelope)
        return self._holds.take(request.payment_id, envelope.sender, raw, valid_s)

    async def _try(self, envelope: Envelope) -> None:
        """Call the transfer without sending it: a sponsor pays for one that fails, too."""
        [call] = envelope.calls
        attempt = {"from": envelope.sender, "to": call.to, "data": f"0x{call.data.hex()}"}
        for endpoint in self._chain:
            if not endpoint.has_spare:
                continue
            try:
                await endpoint.call("eth_call", attempt, "latest")
                return
            except Refused as error:
                raise NotSponsored(
                    f"the transfer would fail ({endpoint.without_name(error)})"
                ) from None
            except RpcError as error:
                self._context.log.warning("transfer_not_tried", error=str(error))
        raise _Later("the chain cannot be asked now")

    async def _forward(self, hold: Hold, method: str, number: Any) -> bytes:
        may_be_signed = True
        try:
            result = await self._endpoint.call(method, f"0x{hold.raw.hex()}")
        except Refused as error:
            may_be_signed = False
            self._context.metrics.count("sponsor_refusals_total")
            self._context.log.info("transfer_not_sponsored", why=str(error))
            text = self._endpoint.without_name(error)
            return _error(number, _REFUSED, f"the sponsor refuses: {text}")
        except Paused:
            may_be_signed = False
            return _error(number, _LATER, "the sponsor limits requests: try again later")
        except RpcError as error:
            raise OutcomeUnknown(f"the sponsor: {error}") from None
        finally:
            self._holds.give_back(hold, may_be_signed=may_be_signed)
        self._context.metrics.count("sponsored_total")
        return _written({"jsonrpc": "2.0", "id": number, "result": result})


class SponsorEndpoint(Endpoint):
    """The sponsor's server. Only its HTTP status pauses it: wallets lead to the text of errors."""

    def refusal(self, error: Any) -> RpcError:
        """Every JSON-RPC error refuses the transaction, and nothing more."""
        return Refused(self.text_of(error))


def _asked(body: bytes) -> Mapping[str, Any] | None:
    """Read a single request; None for anything else."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_request = isinstance(asked, dict) and isinstance(asked.get("method"), str)
    has_id = is_request and isinstance(asked.get("id"), int | str | None)
    return asked if has_id else None


def _raw(params: object) -> bytes:
    match params:
        case [str() as raw] if is_0x_prefixed(raw):
            try:
                return decode_hex(raw)
            except ValueError:
                raise NotSponsored("it is not hexadecimal") from None
    raise NotSponsored("the parameters are not one transaction as 0x-hex")


def _error(number: Any, code: int, message: str) -> bytes:
    error = {"code": code, "message": message}
    return _written({"jsonrpc": "2.0", "id": number, "error": error})


def _written(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode()
