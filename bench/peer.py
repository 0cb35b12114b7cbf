"""The peer to be measured against: grpc.aio + asyncpg, payd's two statements, nothing else.

No validation, prices, provider, idempotency lookup, metrics or logs: the least that a server
can do which writes the same rows in the same order, over the same mutual TLS.
"""

import argparse
import asyncio
import secrets
import signal
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
from payd_client.proto import payment_pb2 as pb

from payd.adapters.audit.chain import content_of
from payd.adapters.columns import dumps
from payd.adapters.personal import SALT_BYTES, part
from payd.adapters.postgres.statements import STATEMENTS

_INSERT = STATEMENTS["insert_payments"].sql
_COMMIT = STATEMENTS["commit_decisions"].sql
_SELECT = STATEMENTS["select_payment"]
_PRICE = 14900


class Peer:
    """InitiatePayment and GetPayment."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def initiate(self, request: Any, _context: object) -> pb.InitiatePaymentResponse:
        """Insert, then commit what a provider would have answered."""
        now = datetime.now(UTC)
        payment_id = str(uuid.uuid4())
        payment = _payment(payment_id, request, now)
        items = [_item(position, item) for position, item in enumerate(request.items)]
        changes = _changes(payment_id, now)
        audit, personal = _audited(
            payment, "payment_creating", {"row": payment, "items": items}, now
        )
        record = {"customer": {"wallet_address": "", "email": ""}, "personal": personal}
        after = payment | changes
        next_audit, personal = _audited(after, "payment_pending", {"changes": changes}, now)
        answered = {
            "id": payment_id,
            "before_version": 1,
            "personal": personal,
            "receipts": [],
            "events": [],
            "inbox_ids": [],
        }
        async with self._pool.acquire() as connection:
            await connection.fetch(_INSERT, dumps([record]), [audit])
            await connection.fetch(_COMMIT, dumps([answered]), [next_audit])
        return pb.InitiatePaymentResponse(payment=_answer(payment | changes))

    async def get(self, request: Any, _context: object) -> pb.GetPaymentResponse:
        """One row by its id."""
        by = dict.fromkeys(_SELECT.parameters) | {
            "payment_id": request.payment_id,
            "receipts_max": 0,
        }
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_SELECT.sql, *_SELECT.arguments(by))
        return pb.GetPaymentResponse(payment=_answer(row))


def _audited(
    after: dict[str, Any], event_type: str, details: dict[str, Any], now: datetime
) -> tuple[str, dict[str, Any] | None]:
    """The bytes of an audit row, and what stands apart from it."""
    salt = secrets.token_bytes(SALT_BYTES)
    parted = part(details, "", "", salt)
    audit = content_of(
        uuid.UUID(after["id"]),
        after["version"],
        event_type,
        parted.details,
        now,
        actor="peer",
        request_id="",
        certificate="",
    )
    return audit, parted.value and {"salt": salt, "value": parted.value}


def _payment(payment_id: str, request: Any, now: datetime) -> dict[str, Any]:
    empty = ("crypto_currency", "chain_id", "token_address", "token_decimals", "due_base_units")
    unset = ("complete_time", "close_time", "provider_reference", "next_action")
    unknown = ("provider_status", "provider_status_time", "failure_code", "failure_message")
    return {
        **dict.fromkeys((*empty, *unset, *unknown)),
        "id": payment_id,
        "version": 1,
        "status": "CREATING",
        "idempotency_key": request.idempotency_key,
        "request_hash": "\\x" + "00" * 32,
        "customer_id": request.customer.id,
        "method": request.method,
        "provider": "mock",
        "currency_code": "USD",
        "amount_minor_units": _PRICE * len(request.items),
        "subscription_ids": list(request.subscription_ids),
        "return_url": request.return_url,
        "cancel_url": request.cancel_url,
        "metadata": dict(request.metadata),
        "parameters": {},
        "pricing_version": "0" * 64,
        "request_id": "",
        "traceparent": "",
        "create_time": now.isoformat(),
        "update_time": now.isoformat(),
        "expire_time": (now + timedelta(minutes=30)).isoformat(),
        "asking": "ASKING",
        "ask_deadline": (now + timedelta(seconds=12)).isoformat(),
        "aliases": [],
        "snapshot_received": 0,
        "snapshot_confirmed": 0,
        "snapshot_refunded": 0,
        "attention": [],
        "late": False,
        "looks": 0,
        "next_look_time": (now + timedelta(seconds=30)).isoformat(),
    }


def _item(position: int, item: Any) -> dict[str, Any]:
    return {
        "position": position,
        "chain_profile_id": item.chain_profile_id,
        "node_type": item.node_type,
        "duration": item.duration,
        "unit_price_minor_units": _PRICE,
    }


def _changes(payment_id: str, now: datetime) -> dict[str, Any]:
    return {
        "version": 2,
        "status": "PENDING",
        "update_time": now.isoformat(),
        "asking": "ANSWERED",
        "ask_deadline": None,
        "provider_reference": payment_id,
        "next_action": {"kind": "redirect", "url": f"https://peer.invalid/{payment_id}"},
        "next_look_time": (now + timedelta(seconds=120)).isoformat(),
    }


def _answer(row: Any) -> pb.Payment:
    return pb.Payment(
        id=str(row["id"]),
        status="PAYMENT_STATUS_" + row["status"],
        method=row["method"],
        provider=row["provider"],
        amount=pb.Money(currency_code="USD", minor_units=row["amount_minor_units"]),
        customer_id=row["customer_id"],
        idempotency_key=row["idempotency_key"],
        subscription_ids=row["subscription_ids"],
        provider_reference=row["provider_reference"],
        pricing_version=row["pricing_version"],
    )


def _handlers(peer: Peer) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "payd.v1.PaymentService",
        {
            "InitiatePayment": grpc.unary_unary_rpc_method_handler(
                peer.initiate,
                request_deserializer=pb.InitiatePaymentRequest.FromString,
                response_serializer=pb.InitiatePaymentResponse.SerializeToString,
            ),
            "GetPayment": grpc.unary_unary_rpc_method_handler(
                peer.get,
                request_deserializer=pb.GetPaymentRequest.FromString,
                response_serializer=pb.GetPaymentResponse.SerializeToString,
            ),
        },
    )


async def _nothing_to_reset(_connection: object) -> None:
    """The pool's reset is a round trip; payd saves it too."""


async def main() -> None:
    """Serve until SIGTERM; prints the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("pki", type=Path)
    args = parser.parse_args()
    pool = await asyncpg.create_pool(
        args.database, min_size=1, max_size=10, reset=_nothing_to_reset
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(Peer(pool)),))
    pair = (args.pki / "server.key").read_bytes(), (args.pki / "server.crt").read_bytes()
    ca = (args.pki / "ca.crt").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], ca, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(main())
