"""Ask a daemon how it is: GET /readyz, and gRPC health over mutual TLS."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

_TIMEOUT_S = 5.0
#: What a server listens on when it listens everywhere, and where it is asked then.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared only


@attrs.frozen
class Finding:
    """What was tried, whether it works, and what to do if not."""

    what: str
    ok: bool
    detail: str


@attrs.frozen(kw_only=True)
class ClientFiles:
    """The certificate of a client that the daemon lets in, as PEM files."""

    ca: Path
    cert: Path
    key: Path


def host_to_ask(host: str) -> str:
    """Where a server on this machine answers that listens on `host`."""
    return _EVERYWHERE.get(host, host)


def read_checks(config: Any) -> Mapping[str, Mapping[str, Any]] | None:
    """The checks of /readyz by name; None when no daemon answers there."""
    import httpx

    host = host_to_ask(config.http.host)
    host = f"[{host}]" if ":" in host else host
    try:
        answer = httpx.get(
            f"http://{host}:{config.http.port}/readyz", timeout=_TIMEOUT_S, trust_env=False
        )
        checks: Mapping[str, Mapping[str, Any]] = answer.json()["checks"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        return None
    return checks


def ask_readiness(config: Any) -> Iterator[Finding]:
    """What the daemon says of itself and of everything that it depends on."""
    where = f"{config.http.host}:{config.http.port}"
    checks = read_checks(config)
    if checks is None:
        yield Finding("daemon", False, f"no payd answers at {where}: start it, or check HTTP_*")
        return
    wrong = {name: check for name, check in checks.items() if not check.get("ok")}
    if not wrong:
        yield Finding("daemon", True, f"ready at {where}")
    for name, check in wrong.items():
        yield Finding("daemon", False, f"{name}: {check.get('detail')}")


async def ask_grpc(host: str, port: int, files: ClientFiles | None) -> Finding:
    """Its gRPC health, as that client. Without a client, only whether it answers. On asyncio."""
    import asyncio

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            if files is None:
                return await _connect(host, port)
            return await _ask_health(host, port, files)
    except TimeoutError:
        why = f"no answer within {_TIMEOUT_S:g} s"
    except (OSError, ValueError) as error:
        why = str(error) or type(error).__name__
    advice = (
        "check GRPC_*, the client's files, and that the server's certificate names this host"
        " (--target NAME:PORT)"
    )
    return Finding("gRPC", False, f"{host}:{port}: {why}; {advice}")


async def _connect(host: str, port: int) -> Finding:
    import asyncio

    _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()
    # So that the transport's end is seen while the loop still runs.
    await asyncio.sleep(0)
    advice = "give --ca, --cert and --key of a client to ask for its health"
    return Finding("gRPC", True, f"{host}:{port} answers; {advice}")


async def _ask_health(host: str, port: int, files: ClientFiles) -> Finding:
    import asyncio

    from grpclib.client import Channel
    from grpclib.exceptions import GRPCError, StreamTerminatedError
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from payd_client.credentials import Pem
    from payd_client.grpc import Connection

    names = (files.ca, files.cert, files.key)
    ca, cert, key = (name.read_bytes() for name in names)
    connection = Connection(Channel(host, port, ssl=Pem(ca=ca, cert=cert, key=key).context()))
    request = HealthCheckRequest(service="payd.v1.PaymentService")
    try:
        answer = await HealthStub(connection.channel).Check(request, timeout=_TIMEOUT_S)
    except (GRPCError, StreamTerminatedError) as error:
        return Finding("gRPC", False, f"{host}:{port} refuses {files.cert}: {error}")
    finally:
        connection.close()
        await asyncio.sleep(0)
    status = HealthCheckResponse.ServingStatus.Name(answer.status)
    return Finding("gRPC", status == "SERVING", f"{host}:{port} {status.lower()}, over mutual TLS")
