"""The import contracts of setup.cfg: each forbidden import that is injected fails the build."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "payd": "payd",
    "payd_client": "client/payd_client",
    "main_app": "examples/main_app",
    "acme_provider": "examples/providers/acme/acme_provider",
    "sepa_provider": "examples/providers/sepa/sepa_provider",
    "mock_provider": "plugins/mock_provider",
    "stripe_provider": "plugins/stripe_provider",
    "tempo_provider": "plugins/tempo_provider",
}

#: Module → the import that it may not have.
FORBIDDEN = (
    # A library has one owner.
    ("payd.adapters.vault", "asyncpg"),
    ("payd.adapters.rate_limit", "nats"),
    ("payd.adapters.columns", "redis"),
    ("payd.adapters.nats.publisher", "hvac"),
    ("payd.daemon.loops", "trio_asyncio"),
    ("payd.daemon.readiness", "quart_trio"),
    ("payd.service.audit", "prometheus_client"),
    ("payd.transport.http.webhooks", "grpclib"),
    ("payd.transport.problems", "yaml"),
    ("payd.transport.grpc.traces", "opentelemetry"),
    ("payd.cli.render", "cryptography"),
    # The core knows no event loop and no server.
    ("payd.service.settle", "httpx"),
    ("payd.service.settle", "quart"),
    ("payd.domain.decide", "trio"),
    ("payd.ports.store", "asyncio"),
    # Rooms import downwards, and siblings not at all.
    ("payd.domain.money", "payd.service.settle"),
    ("payd.service.status_check", "payd.adapters.vault"),
    ("payd.adapters.maintenance", "payd.transport.http.serve"),
    ("payd.transport.http.serve", "payd.providers.fence"),
    ("payd.adapters.vault", "payd.adapters.rate_limit"),
    ("payd.adapters.postgres.outbox", "payd.service.publish"),
    ("payd.plugins.interface", "payd.providers.fence"),
    ("payd.providers.loader", "payd.plugins.testing.bench"),
    # A wheel sees the SDK alone, and payd sees no wheel.
    ("mock_provider.ledger", "payd.providers.fence"),
    ("stripe_provider.client", "payd.domain.money"),
    ("tempo_provider.memo", "payd.telemetry"),
    ("acme_provider.api", "payd.daemon.loops"),
    ("stripe_provider.companion.checkout", "stripe_provider.sessions"),
    ("payd.cli.render", "stripe"),
    ("payd.dev.run", "stripe_provider.companion.app"),
    ("payd.dev.companions", "hypercorn"),
    ("payd.nursery", "mock_provider"),
    # What every command imports stays cheap.
    ("payd.shipped", "payd.config"),
    ("main_app.store", "payd.domain.money"),
    # The client is on its own, and the core of payd does without it.
    ("payd_client.values", "payd.domain.money"),
    ("payd_client.claims", "payd.plugins"),
    ("payd_client.consumer", "redis"),
    ("payd.service.query", "payd_client.values"),
    ("stripe_provider.client", "payd_client"),
)


def file_of(module: str, root: Path) -> Path:
    path = root / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What lint-imports says of a copy of the code with every forbidden import in it."""
    copy = tmp_path_factory.mktemp("contracts")
    for package, folder in PACKAGES.items():
        shutil.copytree(ROOT / folder, copy / package, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "setup.cfg", copy)
    for module, imported in FORBIDDEN:
        file = file_of(module, copy)
        file.write_text(f"{file.read_text()}\nimport {imported}\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "setup.cfg"],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_each_forbidden_import_breaks_a_contract(verdict: str) -> None:
    kept = [pair for pair in FORBIDDEN if f"{pair[0]} -> {pair[1]} (l." not in verdict]
    assert not kept


def test_every_contract_is_broken_by_some_import(verdict: str) -> None:
    assert " KEPT" not in verdict
