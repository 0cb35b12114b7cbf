"""Rules that no linter knows: sizes, purposes of files, names that must agree."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import payd_client
import pytest

from payd.adapters.system import CRASH_POINTS
from payd.domain import errors
from payd.domain.attention import Attention
from payd.domain.decide import EventType
from payd.domain.payment import Status

ROOT = Path(__file__).parent.parent
GENERATED = {"payment_pb2.py", "payment_grpc.py"}
CODE = [
    path
    for folder in ("payd", "client", "proto", "plugins", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name not in GENERATED and "build" not in path.parts
]
TREES = {path: ast.parse(path.read_text()) for path in CODE}
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
BANNED_NAMES = re.compile(r"^(utils?|helpers?|managers?|common|misc)$")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_file_has_one_stated_purpose_and_fits() -> None:
    offenders: list[str] = []
    for path, tree in TREES.items():
        name, lines = path.relative_to(ROOT), len(path.read_text().splitlines())
        if not ast.get_docstring(tree):
            offenders.append(f"{name}: the first line must say what the file is for")
        if lines > FILE_LINES_MAX:
            offenders.append(f"{name}: {lines} lines, at most {FILE_LINES_MAX}")
        if BANNED_NAMES.match(path.stem):
            offenders.append(f"{name}: the name does not say what the file is for")
        for function in functions(tree):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                offenders.append(f"{name}:{function.lineno}: {function.name} has {lines} lines")
    assert not offenders, "\n".join(offenders)


def test_everything_is_caught_only_where_everything_can_escape() -> None:
    allowed = {
        # A command may run anything, and no traceback may reach who typed it.
        ROOT / "payd/cli/main.py",
        # A consumer's handler is the main app's.
        ROOT / "client/payd_client/handling.py",
        ROOT / "payd/daemon/worker_loop.py",
        # A companion is the code of a wheel.
        ROOT / "payd/dev/companion_task.py",
        ROOT / "payd/dev/companions.py",
        ROOT / "payd/nursery.py",
        ROOT / "payd/providers/calls.py",
        ROOT / "payd/providers/lifecycle.py",
        # The kit's checks run a plugin author's code.
        ROOT / "payd/plugins/testing/bench.py",
        ROOT / "payd/plugins/testing/guarded.py",
        ROOT / "payd/plugins/testing/watching.py",
        ROOT / "payd/providers/watching.py",
        # Whatever a use case raises, its caller gets an answer.
        ROOT / "payd/transport/grpc/calls.py",
        ROOT / "payd/transport/grpc/watch.py",
        # Whatever ends the task of a watch, the caller's iteration ends with it.
        ROOT / "client/payd_client/watching.py",
        # Anybody's server speaks there: what it sends may break a library that parses it.
        ROOT / "plugins/tempo_provider/nudge.py",
    }
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in TREES.items()
        if path not in allowed
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.type, ast.Name)
        and node.type.id in ("Exception", "BaseException")
    ]
    assert not offenders, "catch a narrower class: " + " ".join(offenders)


def test_the_package_list_names_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    code = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "payd").rglob("__init__.py")
    }
    elsewhere = {
        "payd.migrations",
        "payd.defaults",
        "payd.examples.main_app",
        "payd.examples.providers",
    }
    assert set(listed) == code | elsewhere


def test_a_wheels_package_list_names_every_package() -> None:
    for file in ROOT.glob("plugins/*/pyproject.toml"):
        listed = tomllib.loads(file.read_text())["tool"]["setuptools"]["packages"]
        code = {
            ".".join(path.parent.relative_to(ROOT / "plugins").parts)
            for path in file.parent.rglob("__init__.py")
            if "build" not in path.parts
        }
        assert set(listed) == code, file


def test_every_named_statement_is_used_and_exists() -> None:
    from payd.adapters.postgres.statements import STATEMENTS

    folder = ROOT / "payd/adapters/postgres"
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    used = set(
        re.findall(r'(?:fetch(?:_one)?|run_on|_rows)\(\s*(?:\w*connection,\s*)?"(\w+)"', code)
    )
    used |= set(re.findall(r'STATEMENTS\["(\w+)"\]', code))
    assert used == set(STATEMENTS)


def test_every_reason_of_the_contract_has_one_error_class() -> None:
    classes = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.PaydError)
    ]
    reasons = [cls.reason for cls in classes]
    assert len(set(reasons)) == len(reasons)
    assert set(reasons) == {
        "APPROVER_IS_REQUESTER",
        "CLIENT_NOT_ALLOWED",
        "CURRENCY_NOT_SUPPORTED",
        "CUSTOMER_HAS_OPEN_PAYMENTS",
        "CUSTOMER_NOT_FOUND",
        "EVENT_NOT_FOUND",
        "IDEMPOTENCY_KEY_REUSED",
        "INTERNAL",
        "INVALID_FIELD",
        "INVALID_FILTER",
        "INVALID_PAGE_TOKEN",
        "NOTE_REQUIRED",
        "NOTHING_TO_RESOLVE",
        "NOT_REFUNDABLE",
        "OVERLOADED",
        "PAYMENT_DISPUTED",
        "PAYMENT_NOT_CANCELABLE",
        "PAYMENT_NOT_FOUND",
        "PRICE_CHANGED",
        "PROVIDER_UNAVAILABLE",
        "QUOTE_EXPIRED",
        "QUOTE_INVALID",
        "QUOTE_MISMATCH",
        "RATE_LIMITED",
        "RECEIPT_NOT_ATTACHABLE",
        "RECEIPT_NOT_FOUND",
        "REFUND_DESTINATION_REQUIRED",
        "REFUND_EXCEEDS_PAID",
        "REFUND_NOT_FOUND",
        "SHUTTING_DOWN",
        "STORE_UNAVAILABLE",
        "STREAM_UNAVAILABLE",
        "UNKNOWN_METHOD",
        "UNKNOWN_PRODUCT",
        "VERSION_CHANGED",
        "WEBHOOK_REFUSED",
        "WEBHOOK_UNKNOWN",
    }


def test_the_proto_the_schema_and_the_code_name_the_same_statuses() -> None:
    proto = (ROOT / "proto/payment.proto").read_text()
    in_proto = set(re.findall(r"PAYMENT_STATUS_(\w+) = ", proto)) - {"UNSPECIFIED"}
    schema = (ROOT / "migrations/schema.sql").read_text()
    checked = re.search(r"status_is_known CHECK \((.*?)\)\s*\)", schema, re.DOTALL)
    assert checked
    assert (
        in_proto == {status.value for status in Status} == set(re.findall(r"'(\w+)'", checked[1]))
    )
    assert in_proto == {status.value for status in payd_client.Status}


def test_payd_and_the_client_name_the_same_events() -> None:
    assert {event.value for event in payd_client.EventType} == {event.value for event in EventType}


def test_every_crash_point_is_reached_somewhere() -> None:
    code = "".join(path.read_text() for path in (ROOT / "payd/service").glob("*.py"))
    assert set(re.findall(r'crash\.reach\("([\w.]+)"\)', code)) == CRASH_POINTS


def test_the_documentation_lists_every_public_name() -> None:
    reference = (ROOT / "docs/reference.md").read_text()
    names = [
        *(status.value for status in Status),
        *(reason.value for reason in Attention),
        *(event.value for event in EventType),
        *(cls.reason for cls in errors.PaydError.__subclasses__()),
    ]
    assert [name for name in names if f"`{name}`" not in reference] == []


@pytest.mark.parametrize("module", ["payd", "payd.cli.main"])
def test_importing_the_command_line_loads_nothing_heavy(module: str) -> None:
    heavy = (
        "asyncpg grpclib hypercorn nats pydantic quart quart_trio structlog trio web3 eth_abi "
        "stripe yaml"
    )
    script = f"import sys, {module}; print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == ""


def test_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto/generate.py", tmp_path], check=True)
    in_step = {
        name: _meaning(tmp_path / name) == _meaning(ROOT / "client/payd_client/proto" / name)
        for name in ("payment_pb2.pyi", "payment_pb2.py", "payment_grpc.py")
    }
    assert all(in_step.values()), f"run make proto: {in_step}"


def _meaning(code: Path) -> str:
    """The code; of the messages, their descriptor: the rest differs between versions of protoc."""
    text = code.read_text()
    return "".join(re.findall(r"AddSerializedFile\(.*\)", text)) or text


def test_each_test_file_can_be_imported_by_its_name_alone() -> None:
    """pytest does so outside of packages, with the file's folder on the path first."""
    tests = [path for path in (ROOT / "tests").rglob("*.py") if not _is_in_package(path)]
    names = Counter(path.name for path in tests if path.name.startswith("test_"))
    assert not [name for name, times in names.items() if times > 1]
    assert not [str(path) for path in tests if path.stem == path.parent.name]


def _is_in_package(path: Path) -> bool:
    return (path.parent / "__init__.py").exists()


def test_the_parts_of_the_integration_tests_are_all_of_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    parts = re.findall(r"^[A-Z]+_PART := (.*)$", makefile, re.MULTILINE)
    named = set(re.findall(r"\w+", " ".join(parts)))
    folders = {folder.name for folder in (ROOT / "tests/integration").iterdir() if folder.is_dir()}
    assert folders - {"__pycache__"} <= named


def test_the_fast_tests_are_all_but_those_of_the_whole_daemon() -> None:
    """`make fast` runs on each supported Python; what one run of it ignores, another one has."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^fast:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    named = set(re.findall(r"(?<= )tests/\S+", recipe[1]))
    ignored = set(re.findall(r"(?<=--ignore=)\S+", recipe[1]))
    tests = (ROOT / "tests").rglob("test_*.py")
    parts = {f"tests/{path.relative_to(ROOT).parts[1]}" for path in tests}
    assert parts - {"tests/integration", "tests/browser", "tests/torture"} <= named
    assert ignored <= named
