"""Check a running daemon: GET /readyz, and gRPC health over mutual TLS."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

_TIMEOUT_S = 5.0
#: Wildcard listen address → the loopback address to connect to.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared only


@attrs.frozen
class Finding:
    """The result of one check; `detail` says how to fix a failure."""

    what: str
    ok: bool
    detail: str


@attrs.frozen(kw_only=True)
class ClientFiles:
    """PEM files of a client certificate that the daemon accepts."""

    ca: Path
    cert: Path
    key: Path


def host_to_ask(host: str) -> str:
    """Return the address to connect to for a server on this machine that listens on `host`."""
    return _EVERYWHERE.get(host, host)


def read_checks(config: Any) -> Mapping[str, Mapping[str, Any]] | None:
    """Fetch the checks of /readyz by name; None when no daemon answers."""
    import httpx

    try:
        answer = httpx.get(
            f"http://{in_url(config.http.host)}:{config.http.port}/readyz",
            timeout=_TIMEOUT_S,
            trust_env=False,
        )
        checks: Mapping[str, Mapping[str, Any]] = answer.json()["checks"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
        return None
    return checks


def read_metrics(config: Any) -> Mapping[str, float]:
    """Fetch the daemon's metrics that have no labels, by name; none when no daemon answers."""
    import httpx

    from payd.telemetry.samples import unlabelled_samples

    try:
        answer = httpx.get(
            f"http://{in_url(config.metrics.host)}:{config.metrics.port}/metrics",
            timeout=_TIMEOUT_S,
            trust_env=False,
        )
        return unlabelled_samples(answer.text)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return {}


def in_url(host: str) -> str:
    host = host_to_ask(host)
    return f"[{host}]" if ":" in host else host


def ask_readiness(config: Any) -> Iterator[Finding]:
    """Report the daemon's failed readiness checks, or that it is ready."""
    where = f"{config.http.host}:{config.http.port}"
    checks = read_checks(config)
    if checks is None:
        advice = "start payd, or check HTTP_PORT and PAYD_HTTP_HOST"
        yield Finding("daemon", False, f"no response from {where}: {advice}")
        return
    wrong = {name: check for name, check in checks.items() if not check.get("ok")}
    if not wrong:
        yield Finding("daemon", True, f"ready at {where}")
    for name, check in wrong.items():
        yield Finding("daemon", False, f"{name}: {check.get('detail')}")


async def ask_grpc(host: str, port: int, files: ClientFiles | None) -> Finding:
    """Check gRPC health with a client certificate; without one, only connect. Runs on asyncio."""
    import asyncio

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            if files is None:
                return await _connect(host, port)
            return await _ask_health(host, port, files)
    except TimeoutError:
        why = f"no response within {_TIMEOUT_S:g} s"
    except (OSError, ValueError) as error:
        why = str(error) or type(error).__name__
    advice = (
        "check GRPC_PORT, the client's certificate files, and that the server's certificate is"
        " valid for this host name (--target NAME:PORT)"
    )
    return Finding("gRPC", False, f"{host}:{port}: {why}; {advice}")


async def _connect(host: str, port: int) -> Finding:
    import asyncio

    _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()
    # Let the transport close while the loop still runs.
    await asyncio.sleep(0)
    advice = "pass --ca, --cert and --key of a client to check its health"
    return Finding("gRPC", True, f"{host}:{port} accepts connections; {advice}")


async def _ask_health(host: str, port: int, files: ClientFiles) -> Finding:
    import asyncio

    from grpclib.exceptions import GRPCError, StreamTerminatedError
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from payd_client.bridge import see_tasks_on_trio
    from payd_client.connection import BoundedChannel, Connection
    from payd_client.credentials import Pem

    # Vault's adapters have imported grpclib before the bridge imported trio-asyncio.
    see_tasks_on_trio()

    names = (files.ca, files.cert, files.key)
    ca, cert, key = (name.read_bytes() for name in names)
    connection = Connection(
        BoundedChannel(host, port, ssl=Pem(ca=ca, cert=cert, key=key).context())
    )
    request = HealthCheckRequest(service="payd.v1.PaymentService")
    try:
        answer = await HealthStub(connection.channel).Check(request, timeout=_TIMEOUT_S)
    except (GRPCError, StreamTerminatedError) as error:
        advice = "check GRPC_ALLOWED_CNS"
        return Finding("gRPC", False, f"{host}:{port} refuses {files.cert}: {error}; {advice}")
    finally:
        connection.close()
        await asyncio.sleep(0)
    status = HealthCheckResponse.ServingStatus.Name(answer.status)
    return Finding("gRPC", status == "SERVING", f"{host}:{port} {status.lower()}, over mutual TLS")
