"""The composition comes up: its services start in order, under their users and limits, and work.

No container engine is needed: tests/support/composed.py runs the images' commands in separate root
folders, with the composition's user, capabilities, mounts and environment.
"""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.absent import NO_NAMESPACES, do_without
from support.composition import DOMAIN, ROOT, UNSHARE, kept_folders, programs, read_composition

#: Of payd's image.
PAYD_USER = 10001
#: Number of the capability (linux/capability.h).
NET_BIND_SERVICE = 1 << 10
ONCE = ("migrate", "create-stream")
#: Seconds for a service to start; a busy machine takes some.
PATIENCE_S = 300.0


@attrs.frozen
class Run:
    """What happened when the composition was started."""

    events: list[dict[str, Any]]
    #: Where each service's output is.
    folder: Path

    def of(self, event: str) -> list[str]:
        return [line["service"] for line in self.events if line["event"] == event]

    def one(self, event: str) -> dict[str, Any]:
        [found] = [line for line in self.events if line["event"] == event] or [self.events[-1]]
        return found

    def status(self, service: str) -> dict[str, str]:
        [found] = [
            line["status"]
            for line in self.events
            if line["event"] == "running" and line["service"] == service
        ]
        return dict(found)


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Root, setpriv, and a kernel that lets go of the network and the mounts."""
    needed = all(map(shutil.which, ("unshare", "setpriv", "chroot", "mount", "ip", "wget")))
    tried = needed and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    if os.geteuid() != 0 or not tried or tried.returncode:
        do_without(NO_NAMESPACES)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, pki: Path) -> Path:
    """Prepare a checkout as an operator does: secrets, certificates, and the mock provider."""
    folder = tmp_path_factory.mktemp("composition")
    for name in ("deploy", "config"):
        shutil.copytree(ROOT / name, folder / name)
    config = folder / "config" / "payd.yaml"
    mock = "  mock:\n    enabled: true\n    allow_in_production: true\n    state_file: /tmp/mock\n"
    config.write_text(config.read_text().partition("  mock:")[0] + mock)
    secrets, tls = folder / "deploy" / "secrets", folder / "deploy" / "tls"
    secrets.mkdir()
    (secrets / "db_password").write_text("as the operator chose")
    (secrets / "quote_key").write_text("k" * 64)
    shutil.copytree(pki, folder / "pki")
    tls.mkdir()
    for name in ("server.crt", "server.key", "ca.crt"):
        shutil.copy(pki / name, tls / name)
    for file in (secrets, *secrets.iterdir(), *tls.iterdir()):
        os.chown(file, PAYD_USER, PAYD_USER)
        file.chmod(0o500 if file.is_dir() else 0o400)
    return folder


@pytest.fixture(scope="module")
def start(namespaces: None, deployed: Path) -> Callable[..., Run]:
    """Start the composition, changed in some places, and try it."""

    def start(
        change: Callable[[dict[str, Any]], None] = lambda services: None,
        last_patience_s: float = PATIENCE_S,
    ) -> Run:
        file = deployed / "deploy" / "docker-compose.payment.yml"
        composition = copy.deepcopy(read_composition(file, PAYD_TLS="internal"))
        change(composition["services"])
        place = deployed / f"run{len(list(deployed.glob('run*')))}"
        place.mkdir(mode=0o755)
        spec = {
            "composition": composition,
            "folder": str(place),
            "keep": kept_folders(),
            "programs": programs(),
            "patience_s": PATIENCE_S,
            "last_patience_s": last_patience_s,
            "probe": [
                *(sys.executable, "-m", "support.composed_probe"),
                *(str(place), str(deployed / "pki"), DOMAIN),
            ],
        }
        (place / "spec.json").write_text(json.dumps(spec))
        done = subprocess.run(
            [
                *UNSHARE,
                *(sys.executable, "-m", "support.composed"),
                str(place / "spec.json"),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_S,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr
        return Run(lines, place)

    return start


@pytest.fixture(scope="module")
def run(start: Callable[..., Run]) -> Run:
    """As it is shipped."""
    return start()


def test_everything_starts_and_is_healthy(run: Run) -> None:
    assert "failed" not in {line["event"] for line in run.events}, run.events[-1]
    assert set(run.of("healthy")) >= {"postgres", "nats", "valkey", "payd"}
    assert set(run.of("running")) == {"postgres", "nats", "valkey", "payd", "caddy"}


def test_the_schema_and_the_streams_are_there_before_payd_starts(run: Run) -> None:
    started = run.of("started")
    for once, server in zip(ONCE, ("postgres", "nats"), strict=True):
        assert started.index(server) < started.index(once) < started.index("payd")
    assert started.index("payd") < started.index("caddy")


@pytest.mark.parametrize(
    ("service", "user", "capabilities"),
    [
        ("payd", PAYD_USER, 0),
        ("valkey", 999, 0),
        ("postgres", 999, 0),
        ("nats", 0, 0),
        ("caddy", 0, NET_BIND_SERVICE),
    ],
)
def test_a_service_runs_under_its_user_with_no_right_that_it_does_not_need(
    run: Run, service: str, user: int, capabilities: int
) -> None:
    status = run.status(service)
    assert set(map(int, status["Uid"].split())) == {user}
    assert int(status["CapEff"], 16) == capabilities
    assert status["NoNewPrivs"] == "1"


def test_payd_is_ready_and_caddy_lets_two_paths_through(run: Run) -> None:
    found = json.loads(run.one("probed")["stdout"])
    assert found["readyz"]["status"] == "ready"
    assert found["caddy"] == {"methods": ["mock"], "webhook": 404, "readyz": 404}


def test_a_payment_over_mutual_tls_completes_and_its_event_is_in_the_stream(run: Run) -> None:
    found = json.loads(run.one("probed")["stdout"])
    assert found["grpc"]["health"] == "SERVING"
    assert found["grpc"]["quotes hold"]
    assert found["grpc"]["status"] == "PAYMENT_STATUS_COMPLETED"
    assert found["event"] == {"subject": "payment.completed", "payment": found["grpc"]["payment"]}


def test_payd_says_that_it_trusts_the_compositions_network(run: Run) -> None:
    lines = map(json.loads, (run.folder / "payd.log").read_text().splitlines())
    [trusted] = [line for line in lines if line["event"] == "network_trusted"]
    assert trusted["unencrypted"] == ["database.ssl_mode", "nats.url"]


def test_valkey_as_root_without_capabilities_would_not_start(start: Callable[..., Run]) -> None:
    """What its own user is for; and that this test would notice."""

    def as_root(services: dict[str, Any]) -> None:
        del services["valkey"]["user"]

    failed = start(as_root).one("failed")
    assert failed["reason"].startswith("valkey ended with")


def test_without_the_stream_payd_does_not_become_healthy(start: Callable[..., Run]) -> None:
    """An event could not be published: no traffic is sent to a daemon that is not ready."""

    def without_the_stream(services: dict[str, Any]) -> None:
        del services["create-stream"]
        del services["payd"]["depends_on"]["create-stream"]
        del services["caddy"]

    failed = start(without_the_stream, last_patience_s=20).one("failed")
    assert failed["reason"] == "payd does not become healthy"
