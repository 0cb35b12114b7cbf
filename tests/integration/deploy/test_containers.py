"""The image and the composition as files: small, hardened, and in step with payd's settings."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from support.composition import read_composition

from payd.config import SETTINGS

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "docker-compose.payment.yml"
#: Settings that are no variables of the host, and why.
NOT_OF_THE_HOST = {
    "VAULT_SECRET_ID_PATH": "a file in deploy/secrets, wherever VAULT_ADDR is set",
    "STRIPE_API_BASE": "for tests; refused in production",
}
NO_ENGINE = "no container engine on this machine: the image itself is not built"


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, stage by stage."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    parsed = [tuple(line.split(None, 1)) for line in lines if line.strip()]
    found: list[list[tuple[str, str]]] = []
    for instruction, rest in parsed:
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, rest))
    return found


def copy_into(source: str, target: Path) -> None:
    for found in ROOT.glob(source):
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
        if found.is_dir():
            shutil.copytree(found, target, dirs_exist_ok=True, ignore=ignore)
        else:
            goal = target / found.name if target.is_dir() else target
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, goal)


def run_build_stage(folder: Path, locked: Path | None = None) -> Path:
    """Run the first stage's COPY and RUN in an empty folder; where it puts its result.

    As an engine's cache of layers would: the result of the first RUN, the dependencies, is copied
    to `locked`, or comes from there when it exists.
    """
    shutil.rmtree(folder, ignore_errors=True)
    work, prefix = folder / "src", folder / "opt"
    work.mkdir(parents=True)
    steps = stages()[0]
    [first, *_] = [n for n, (instruction, _) in enumerate(steps) if instruction == "RUN"]
    cached = locked is not None and locked.exists()
    if locked is not None and cached:
        shutil.copytree(locked, prefix, symlinks=True)
    for number, (instruction, rest) in enumerate(steps):
        if instruction == "COPY":
            *sources, target = rest.split()
            if target.endswith("/"):
                (work / target).mkdir(parents=True, exist_ok=True)
            for source in sources:
                copy_into(source, work / target)
        elif instruction == "RUN" and not (cached and number == first):
            run_step(rest, work, prefix)
        if number == first and locked is not None and not cached:
            shutil.copytree(prefix, locked, symlinks=True)
    return prefix


def run_step(script: str, work: Path, prefix: Path) -> None:
    # The image's python has pip, and no environment of its own.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        cwd=work,
        env={**os.environ, "PATH": path, "PREFIX": str(prefix)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def listing(prefix: Path) -> dict[str, str]:
    """Every file by its path; the content's hash where it is not compiled."""
    return {
        str(file.relative_to(prefix)): (
            "" if file.suffix == ".pyc" else hashlib.sha256(file.read_bytes()).hexdigest()
        )
        for file in sorted(prefix.rglob("*"))
        if file.is_file()
    }


def test_the_build_steps_run_in_an_empty_folder_and_give_the_same_twice(tmp_path: Path) -> None:
    """The second time with the same dependencies: each of their files has a locked hash."""
    prefix = run_build_stage(tmp_path / "image", tmp_path / "locked")
    first = listing(prefix)
    said = subprocess.run(
        [str(prefix / "bin" / "payd"), "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("payd")
    assert not [name for name in first if "/pip/" in name or name.endswith((".c", ".h"))]
    for package in ("payd_client", "stripe_provider"):
        assert any(name.endswith(f"{package}/__init__.py") for name in first), package
    assert listing(run_build_stage(tmp_path / "image", tmp_path / "locked")) == first


@pytest.mark.campaign
def test_two_builds_from_nothing_give_the_same(tmp_path: Path) -> None:
    """With what is compiled from a dependency's source, too."""
    first = listing(run_build_stage(tmp_path / "image"))
    assert listing(run_build_stage(tmp_path / "image")) == first


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    said = subprocess.run(
        [str(hadolint), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_image_runs_as_nobody_and_writes_nothing() -> None:
    final = stages()[-1]
    [user] = [rest for instruction, rest in final if instruction == "USER"]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert not [rest for instruction, rest in final if instruction in ("RUN", "VOLUME", "ADD")]
    settings = " ".join(rest for instruction, rest in final if instruction == "ENV")
    assert "PYTHONDONTWRITEBYTECODE=1" in settings
    known = {setting.env for setting in SETTINGS} | {"PAYD_CONFIG"}
    assert set(re.findall(r"(PAYD_\w+)=", settings)) <= known


def test_the_image_installs_what_is_locked_by_hash_and_our_own_without_dependencies() -> None:
    installs = [rest for instruction, rest in stages()[0] if instruction == "RUN"]
    steps = [step for rest in installs for step in rest.split("&&") if " install " in step]
    for step in steps:
        assert "--require-hashes" in step or {"--no-deps", "--no-build-isolation"} <= set(
            step.split()
        )
    assert set(re.findall(r"-r (\S+)", " ".join(steps))) == {
        "requirements/build.lock",
        "requirements/run.lock",
    }


def test_the_image_is_built_where_there_is_an_engine() -> None:
    docker = shutil.which("docker")
    works = docker and subprocess.run([docker, "info"], capture_output=True, check=False)
    if not docker or not works or works.returncode:
        pytest.skip(NO_ENGINE)
    subprocess.run([docker, "build", "-f", "deploy/Dockerfile", "."], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def composition() -> dict[str, Any]:
    """As compose itself reads it."""
    return read_composition(COMPOSE, PAYD_TLS="operator@example.com")


def ports(service: dict[str, Any]) -> set[tuple[str, str, int]]:
    return {
        (port.get("host_ip", ""), port["published"], port["target"])
        for port in service.get("ports", ())
    }


def test_from_outside_there_are_caddy_and_the_main_apps_door(composition: dict[str, Any]) -> None:
    services = composition["services"]
    assert ports(services["caddy"]) == {("", "443", 443), ("", "80", 80)}
    assert ports(services["postgres"]) == {("127.0.0.1", "5433", 5432)}
    local = "127.0.0.1"
    assert ports(services["payd"]) == {
        ("", "50051", 50051),
        (local, "8085", 8085),
        (local, "9086", 9086),
    }
    others = set(services) - {"caddy", "postgres", "payd"}
    assert others == {"nats", "valkey", "migrate", "create-stream"}
    assert all(not ports(services[name]) for name in others)
    # The operator console stays off: its port would be the container's own.
    assert not [name for name in services["payd"]["environment"] if "CONSOLE" in name]


def test_services_share_only_the_networks_that_they_need(composition: dict[str, Any]) -> None:
    services, networks = composition["services"], composition["networks"]
    on = {
        network: {name for name, service in services.items() if network in service["networks"]}
        for network in networks
    }
    assert on["edge"] == {"caddy", "payd"}
    assert on["main"] == {"payd", "nats"}
    assert on["data"] == {"payd", "migrate", "create-stream", "postgres", "nats", "valkey"}
    assert all(networks[name]["internal"] for name in ("edge", "main", "data"))


def test_a_service_may_do_no_more_than_it_must(composition: dict[str, Any]) -> None:
    for name, service in composition["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["cap_drop"] == ["ALL"], name
        if name != "postgres":
            assert service["read_only"], name
            assert set(service.get("cap_add") or ()) <= {"NET_BIND_SERVICE"}, name


@pytest.mark.parametrize(
    ("service", "network", "name"),
    [
        ("payd", "main", "payment-service"),
        ("postgres", "data", "postgres-payment"),
        ("caddy", "public", "caddy-payment"),
    ],
)
def test_a_service_is_also_found_by_the_name_that_operators_use(
    composition: dict[str, Any], service: str, network: str, name: str
) -> None:
    assert composition["services"][service]["networks"][network]["aliases"] == [name]


def test_the_image_and_the_composition_ask_whether_payd_is_ready(
    composition: dict[str, Any],
) -> None:
    [declared] = [rest for instruction, rest in stages()[-1] if instruction == "HEALTHCHECK"]
    command = json.loads(declared.partition("CMD ")[2])
    assert "/readyz" in command[-1]
    assert composition["services"]["payd"]["healthcheck"]["test"] == ["CMD", *command]


def test_payd_gets_variables_that_it_knows_and_secrets_as_files(
    composition: dict[str, Any],
) -> None:
    given = composition["services"]["payd"]["environment"]
    known = {setting.env for setting in SETTINGS}
    providers = {name for name in given if name.startswith(("STRIPE_", "TEMPO_"))}
    assert set(given) - providers <= known
    secret = {name for name in given if re.search(r"PASSWORD|SECRET|SEED|KEY", name)}
    assert all(name.endswith(("_FILE", "_PATH")) for name in secret)


def test_quotes_hold_their_price_unless_an_operator_does_without_the_key() -> None:
    name = "PAYD_PAYMENTS_QUOTE_KEY_FILE"
    for said, file in (({}, "/run/secrets/quote_key"), ({name: ""}, "")):
        services = read_composition(COMPOSE, PAYD_TLS="internal", **said)["services"]
        assert services["payd"]["environment"][name] == file


@pytest.mark.parametrize("name", ["PAYD_HTTP_PAGE_KEY_FILE", "PAYD_AUDIT_SIGNING_KEY_FILE"])
def test_keys_of_later_versions_are_read_where_an_operator_says_so(name: str) -> None:
    """An installation that has not got the file starts without it."""
    for said, file in (({}, ""), ({name: "/run/secrets/key"}, "/run/secrets/key")):
        services = read_composition(COMPOSE, PAYD_TLS="internal", **said)["services"]
        assert services["payd"]["environment"][name] == file


def optional_settings() -> set[str]:
    """Variables of the settings of Vault and of the providers in the image, without secrets."""
    page = (ROOT / "docs/configuration.md").read_text()
    rows = re.findall(
        r"^\| `(?:vault|providers\.(?:stripe|tempo))\.\w+` \| `(\w+)` \|", page, re.MULTILINE
    )
    assert len(rows) > 30
    return {*rows, "STRIPE_ENABLED", "TEMPO_ENABLED"}


def test_what_an_operator_sets_of_vault_stripe_and_tempo_on_the_host_reaches_payd() -> None:
    """A variable that the composition leaves out is ignored in silence."""
    said = {name: f"value of {name}" for name in optional_settings() - NOT_OF_THE_HOST.keys()}
    services = read_composition(COMPOSE, PAYD_TLS="internal", **said)["services"]
    for name in ("payd", "migrate", "create-stream"):
        given = services[name]["environment"]
        assert {key: given.get(key) for key in said} == said
        assert given["VAULT_SECRET_ID_PATH"] == "/run/secrets/vault_secret_id"
        assert "public" in services[name]["networks"], "Vault is outside"


def test_of_what_is_not_set_on_the_host_payd_has_its_own_default() -> None:
    """Some variables of Vault alone would even be a mistake in the configuration."""
    given = read_composition(COMPOSE, PAYD_TLS="internal")["services"]["payd"]["environment"]
    assert {name: given[name] for name in optional_settings() if given.get(name)} == {
        "STRIPE_ENABLED": "false",
        "TEMPO_ENABLED": "false",
    }


def test_an_exception_is_a_setting() -> None:
    assert NOT_OF_THE_HOST.keys() <= optional_settings()
