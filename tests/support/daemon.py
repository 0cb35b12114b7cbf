"""`payd serve` as a process for tests, with a client, its database and its events."""

import asyncio
import contextlib
import json
import os
import queue
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import asyncpg
import attrs
import grpc
import httpx
import nats
import nats.errors
from nats.js.api import ConsumerConfig, DeliverPolicy
from payd_client.proto import payment_pb2 as pb

from support import plain_http
from support.forks import start_python
from support.kept_logs import kept_log
from support.planted_secrets import WATCH, plant_environment, search_processes
from support.waiting import PATIENCE_S, wait_until

SERVICE = "/payd.v1.PaymentService/"


#: On a busy machine a statement or a connection takes longer than payd waits by default.
PATIENT = {
    "PAYD_DATABASE_ACQUIRE_TIMEOUT_S": "30",
    "PAYD_DATABASE_CONNECT_TIMEOUT_S": "30",
    "PAYD_DATABASE_COMMAND_TIMEOUT_S": "30",
    "PAYD_DATABASE_STATEMENT_TIMEOUT_MS": "25000",
    "PAYD_DATABASE_LOCK_TIMEOUT_MS": "20000",
}


@attrs.frozen(kw_only=True)
class Place:
    """What a daemon needs: a database, a stream, certificates and prices."""

    database: str
    nats: str
    redis: str
    pki: Path
    data: Path
    #: Whether its daemons are forks, which start without the cost of their imports, and wait long
    #: for the database. Others start as an operator starts them, with payd's own time-outs.
    forks: bool = True

    def without_forks(self) -> "Place":
        """Return the same place for daemons that start as an operator starts them."""
        return attrs.evolve(self, forks=False)

    def environment(self, **more: str) -> dict[str, str]:
        """Environment for `payd serve`, on free ports."""
        url = urlsplit(self.database)
        return {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "test",
            "DB_HOST": str(url.hostname),
            "DB_PORT": str(url.port),
            "DB_USER": str(url.username),
            "DB_PASSWORD": str(url.password),
            "DB_NAME": url.path.removeprefix("/"),
            "DB_SSL_MODE": "disable",
            "NATS_URL": self.nats,
            "REDIS_ADDR": urlsplit(self.redis).netloc,
            "GRPC_PORT": "0",
            "HTTP_PORT": "0",
            "METRICS_PORT": "0",
            "GRPC_TLS_CERT_FILE": str(self.pki / "server.crt"),
            "GRPC_TLS_KEY_FILE": str(self.pki / "server.key"),
            "GRPC_TLS_CA_FILE": str(self.pki / "ca.crt"),
            "GRPC_ALLOWED_CNS": "main-app,main-app-b",
            "GRPC_OPERATOR_CNS": "operator",
            "MOCK_ENABLED": "true",
            "MOCK_METHODS": "mock,card",
            "MOCK_DELAY_MS": "50",
            "MOCK_STATE_FILE": str(self.data / "mock.sqlite3"),
            "PAYD_RECOVERY_INTERVAL_S": "0.2",
            **(PATIENT if self.forks else {}),
            **more,
        }


class Daemon:
    """One `payd serve` process."""

    #: What Python runs.
    program: ClassVar[tuple[str, ...]] = ("-m", "payd", "serve")

    def __init__(self, place: Place, **environment: str) -> None:
        self.place = place
        self._environment = place.environment(**environment)
        plant_environment(self._environment)
        self.lines: list[dict[str, Any]] = []
        self._started: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.process = start_python(self.program, env=self._environment, fresh=not place.forks)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_started(self) -> "Daemon":
        """Wait until its servers listen; fail with its exit code and its log if it ends instead."""
        line = self._started.get(timeout=PATIENCE_S)
        if line is None:
            said = "\n".join(map(str, self.lines))
            raise AssertionError(f"ended with {self.process.wait(PATIENCE_S)}:\n{said}")
        self.grpc, self.http, self.metrics = line["grpc"], line["http"], line["metrics"]
        return self

    def wait_ended(self) -> int:
        """Wait for the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send SIGTERM; return the exit code."""
        self.search_its_output()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait_ended()

    def search_its_output(self) -> None:
        """Scan its metrics, its readiness and its process for planted secrets."""
        if self.process.poll() is not None or not hasattr(self, "metrics"):
            return
        for address, path in ((self.metrics, "/metrics"), (self.http, "/readyz")):
            with contextlib.suppress(httpx.HTTPError):
                WATCH.search(plain_http.get(f"http://{address}{path}", timeout=2).text, path)
        search_processes(self.process.pid)

    def wait_for_line(self, event: str, after: int = 0) -> dict[str, Any]:
        """Wait for the first log line of this event after the first `after` lines."""
        return wait_until(
            lambda: next((x for x in self.lines[after:] if x.get("event") == event), None) or {},
            lambda: f"no {event} in the log: {self.lines[-20:]}",
        )

    def client(self, name: str = "client") -> "Client":
        """Connect a client with one of the development certificates."""
        return Client(self.grpc, self.place.pki, name)

    def _read(self) -> None:
        assert self.process.stdout
        for text in self.process.stdout:
            WATCH.search(text, "the log")
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": "raw", "text": text.rstrip()}
            self.lines.append(line)
            if line.get("event") == "daemon_started":
                self._started.put(line)
        self._started.put(None)


@contextlib.contextmanager
def running_daemon(place: Place, **environment: str) -> Iterator[Daemon]:
    """Run a daemon that is ready; kill it at the end if it still runs."""
    daemon = Daemon(place, **environment)
    try:
        with kept_log("the daemon", lambda: "\n".join(map(json.dumps, daemon.lines))):
            yield daemon.wait_started()
    finally:
        daemon.search_its_output()
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.wait_ended()


class Client:
    """A generic gRPC client: grpcio and the proto, without payd's code."""

    def __init__(self, target: str, pki: Path, name: str, *options: tuple[str, int]) -> None:
        credentials = grpc.ssl_channel_credentials(
            (pki / "ca.crt").read_bytes(),
            (pki / f"{name}.key").read_bytes(),
            (pki / f"{name}.crt").read_bytes(),
        )
        self._channel = grpc.secure_channel(target, credentials, options)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, method: str, request: Any, timeout_s: float = 20, **metadata: str) -> Any:
        """Call and return the response message; raises grpc.RpcError."""
        try:
            return self.future(method, request, timeout_s, **metadata).result()
        except grpc.RpcError as error:
            WATCH.search(f"{error!r} {error.trailing_metadata()}", "an error")
            raise

    def future(self, method: str, request: Any, timeout_s: float = 20, **metadata: str) -> Any:
        """Start a call."""
        response = getattr(pb, f"{method}Response")
        stub = self._channel.unary_unary(
            SERVICE + method,
            request_serializer=lambda r: r if isinstance(r, bytes) else r.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return stub.future(request, timeout=timeout_s, metadata=_pairs(metadata))

    def watch(
        self,
        payment_id: str,
        *,
        after_version: int = 0,
        linger_s: int = 0,
        timeout_s: float = PATIENCE_S,
        **metadata: str,
    ) -> Any:
        """Open a stream of WatchPayment, an iterator of its responses."""
        request = pb.WatchPaymentRequest(payment_id=payment_id, after_version=after_version)
        request.linger.seconds = linger_s
        return self.stream(request.SerializeToString(), timeout_s, **metadata)

    def stream(self, request: bytes, timeout_s: float = PATIENCE_S, **metadata: str) -> Any:
        """Open a stream of WatchPayment with these bytes."""
        stub = self._channel.unary_stream(
            SERVICE + "WatchPayment",
            request_serializer=None,
            response_deserializer=pb.WatchPaymentResponse.FromString,
        )
        return stub(request, timeout=timeout_s, metadata=_pairs(metadata))

    def initiate(self, **fields: Any) -> Any:
        """Start the payment of `a_request(**fields)`."""
        return self.call("InitiatePayment", a_request(**fields)).payment

    def get(self, payment_id: str) -> Any:
        """Read the payment."""
        return self.call("GetPayment", pb.GetPaymentRequest(payment_id=payment_id)).payment

    def wait_for(self, payment_id: str, *statuses: str) -> Any:
        """Wait until the payment has one of the statuses."""
        wanted = {pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status}") for status in statuses}

        def look() -> Any:
            payment = self.get(payment_id)
            found.append(pb.PaymentStatus.Name(payment.status))
            return payment if payment.status in wanted else None

        found: list[str] = []
        return wait_until(look, lambda: f"still {found[-1]}, not {statuses}")


def _pairs(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(key.replace("_", "-"), value) for key, value in metadata.items()]


def operator_of(daemon: Daemon) -> dict[str, str]:
    """Return the environment of an operator's commands for this daemon."""
    pki = daemon.place.pki
    return {
        "PAYD_TARGET": f"127.0.0.1:{daemon.grpc.rpartition(':')[2]}",
        "PAYD_CLIENT_CA": str(pki / "ca.crt"),
        "PAYD_OPERATOR_CERT": str(pki / "operator.crt"),
        "PAYD_OPERATOR_KEY": str(pki / "operator.key"),
    }


_ITEM = pb.Item(chain_profile_id="ethereum-mainnet", node_type="full", duration="30d")


def a_quote_request() -> Any:
    """Build a GetQuote request for the mock provider."""
    return pb.GetQuoteRequest(items=[_ITEM], method="mock")


def a_request(scenario: str = "complete", key: str = "", **fields: Any) -> Any:
    """Build an InitiatePayment request for the mock provider."""
    metadata = {"mock_scenario": scenario, **fields.pop("metadata", {})}
    defaults: dict[str, Any] = {
        "customer": pb.Customer(id="user-1", email="user@example.com"),
        "items": [_ITEM],
        "method": "mock",
        "metadata": metadata,
    }
    return pb.InitiatePaymentRequest(
        idempotency_key=key or str(uuid.uuid4()), **(defaults | fields)
    )


def reason_of(error: grpc.RpcError) -> str:
    """Return the reason in the error's google.rpc.ErrorInfo."""
    return str(details_of(error).reason)


def details_of(error: grpc.RpcError) -> Any:
    """Return the error's google.rpc.ErrorInfo."""
    WATCH.search(f"{error!r} {error.trailing_metadata()}", "an error")
    from google.rpc.error_details_pb2 import ErrorInfo
    from google.rpc.status_pb2 import Status

    trailers = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailers["grpc-status-details-bin"])
    for detail in status.details:
        info = ErrorInfo()
        if detail.Unpack(info):
            assert info.domain == "payd"
            return info
    raise AssertionError("no ErrorInfo")


def rows(place: Place, sql: str, *args: object) -> list[Mapping[str, Any]]:
    """Query the daemon's database."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(place.database)
        try:
            while True:
                # A change of many rows may overlap with one of the daemon's batches.
                with contextlib.suppress(asyncpg.DeadlockDetectedError):
                    return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    return asyncio.run(fetch())


@attrs.frozen
class Message:
    """One message of the stream."""

    subject: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


def events(place: Place) -> list[Message]:
    """Read every message of the stream about this daemon's payments, oldest first."""
    ids = {str(row["id"]) for row in rows(place, "SELECT id FROM payments")}

    async def read() -> list[Message]:
        client = await nats.connect(place.nats)
        try:
            stream = client.jetstream()
            last = (await stream.stream_info("PAYMENTS")).state.messages
            if not last:
                return []
            config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            found = await stream.pull_subscribe("payment.>", config=config)
            messages: list[Message] = []
            while len(messages) < last:
                for message in await found.fetch(min(500, last - len(messages)), timeout=10):
                    body = json.loads(message.data)
                    WATCH.search(f"{message.headers} {message.data.decode()}", "an event")
                    messages.append(Message(message.subject, message.headers or {}, body))
                    await message.ack()
            return messages
        finally:
            await client.close()

    # Others stand there, too: letters that tests of the dead ones have made.
    return [message for message in asyncio.run(read()) if message.body.get("id") in ids]


def wait_until_published(place: Place) -> list[Message]:
    """Wait until the inbox is settled and the outbox is empty; return the events."""
    waiting = """
        SELECT 1 FROM inbox WHERE settle_time IS NULL
        UNION ALL SELECT 1 FROM outbox WHERE publish_time IS NULL
    """
    wait_until(lambda: not rows(place, waiting), "the inbox and the outbox become empty")
    return events(place)
