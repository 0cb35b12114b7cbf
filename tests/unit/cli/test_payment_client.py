"""The caller's client: named errors, deadlines, and no word to a server that it cannot trust."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from unit.cli.scripted_daemon import PAYMENT_ID, ScriptedDaemon, a_payment, a_quote

from payd.client.grpc import ClientTls, PaydClientError, PaymentClient
from payd.dev.pki import ensure_pki
from payd.domain import errors
from payd.proto import payment_pb2 as pb

GET = pb.GetPaymentRequest(payment_id=PAYMENT_ID)


def tls(pki: Path, ca: Path | None = None) -> ClientTls:
    return ClientTls(ca=ca or pki / "ca.crt", cert=pki / "client.crt", key=pki / "client.key")


def ask[T](
    daemon: ScriptedDaemon,
    files: ClientTls,
    act: Callable[[PaymentClient], Awaitable[T]],
    *,
    host: str = "127.0.0.1",
    deadline_s: float = 10.0,
) -> T:
    """One connection, from its beginning to its end."""

    async def connected() -> T:
        target = f"{host}:{daemon.port}"
        async with PaymentClient(target, files, deadline_s=deadline_s) as client:
            return await act(client)

    return asyncio.run(connected())
