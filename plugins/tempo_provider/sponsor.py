"""The way from a customer's wallet to the sponsor of its fee: JSON-RPC in, checks, JSON-RPC out.

Wallets speak to a sponsor as viem does (`withRelay`, `withFeePayer`): they send a signed
transaction, and get it back with the sponsor's signature, or ask the sponsor to send it, too. They
fill a transaction themselves where the sponsor does not (`eth_fillTransaction`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import trio
from eth_utils.hexadecimal import decode_hex, is_0x_prefixed

from payd.plugins import NotAttempted, OutcomeUnknown, ProviderContext, SponsorRequest
from tempo_provider.envelope import Envelope, NotSponsored, read_envelope
from tempo_provider.rpc import Endpoint, Paused, Refused, RpcError
from tempo_provider.sponsored_transfer import check_transfer

_SIGN: Final = "eth_signRawTransaction"
_METHODS: Final = frozenset({_SIGN, "eth_sendRawTransaction", "eth_sendRawTransactionSync"})
#: Most bytes of a sponsor's answer: a signed transaction, or a receipt.
ANSWER_BYTES_MAX: Final = 64 * 1024
#: Seconds for which a payment's transaction keeps others out: it is in a block by then.
HOLD_S: Final = 60.0
#: Most payments to remember; the one that was asked for least recently is forgotten first.
_HELD_MAX: Final = 1024
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
        #: Payments that have a transaction with the sponsor: which, and until when.
        self._held: dict[UUID, tuple[str, float]] = {}

    async def answer(self, request: SponsorRequest) -> bytes:
        """Return the JSON-RPC response for the wallet. Raises ProviderError."""
        asked = _asked(request.body)
        if asked is None:
            return _error(None, _NO_REQUEST, "send one JSON-RPC request")
        method, number = asked.get("method"), asked.get("id")
        if method not in _METHODS:
            return _error(number, _NO_METHOD, f"the method {method!r:.60} is not available")
        try:
            raw = _raw(asked.get("params"))
            envelope = read_envelope(decode_hex(raw))
            check_transfer(envelope, request.action, request.left, self._context.clock.now())
            await self._try(envelope)
            self._hold(request.payment_id, raw)
        except _Later as error:
            return _error(number, _LATER, f"{error}: try again later")
        except NotSponsored as error:
            self._context.metrics.count("sponsor_refusals_total")
            self._context.log.info("transfer_not_sponsored", why=str(error))
            return _error(number, _REFUSED, f"payd asks no sponsor for this transaction: {error}")
        return await self._forward(request.payment_id, str(method), raw, number)

    def _hold(self, payment_id: UUID, raw: str) -> None:
        """Let a payment have one transaction at a time; a wallet may repeat the same. Raises.

        All of them could pass the call above, and all but one would fail on the chain.
        """
        now = trio.current_time()
        held, until = self._held.get(payment_id, (raw, now))
        if held != raw and now < until:
            raise NotSponsored(f"the payment has another one: try again in {until - now:.0f} s")
        self._held.pop(payment_id, None)
        if len(self._held) >= _HELD_MAX:
            del self._held[next(iter(self._held))]
        self._held[payment_id] = raw, now + HOLD_S

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
                raise NotSponsored(f"the transfer would fail ({_text(endpoint, error)})") from None
            except RpcError as error:
                self._context.log.warning("transfer_not_tried", error=str(error))
        raise _Later("the chain cannot be asked now")

    async def _forward(self, payment_id: UUID, method: str, raw: str, number: Any) -> bytes:
        try:
            result = await self._endpoint.call(method, raw)
        except Refused as error:
            self._held.pop(payment_id, None)
            self._context.metrics.count("sponsor_refusals_total")
            text = _text(self._endpoint, error)
            return _error(number, _REFUSED, f"the sponsor refuses: {text}")
        except Paused as error:
            self._held.pop(payment_id, None)
            raise NotAttempted(str(error)) from None
        except RpcError as error:
            raise OutcomeUnknown(f"the sponsor: {error}") from None
        self._context.metrics.count("sponsored_total")
        return _written({"jsonrpc": "2.0", "id": number, "result": result})


def _asked(body: bytes) -> Mapping[str, Any] | None:
    """Read a single request; None for anything else."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    is_request = isinstance(asked, dict) and isinstance(asked.get("method"), str)
    has_id = is_request and isinstance(asked.get("id"), int | str | None)
    return asked if has_id else None


def _raw(params: object) -> str:
    match params:
        case [str() as raw] if is_0x_prefixed(raw):
            try:
                decode_hex(raw)
            except ValueError:
                raise NotSponsored("it is not hexadecimal") from None
            return raw
    raise NotSponsored("the parameters are not one transaction as 0x-hex")


def _text(endpoint: Endpoint, error: Refused) -> str:
    """What an endpoint said, without its name, which is not for customers."""
    return str(error).removeprefix(f"{endpoint.name}: ")


def _error(number: Any, code: int, message: str) -> bytes:
    error = {"code": code, "message": message}
    return _written({"jsonrpc": "2.0", "id": number, "error": error})


def _written(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode()
