"""Log lines: each can be read by a machine, names its payment, and shows no secret."""

import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
from prometheus_client import Counter
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from payd import telemetry
from payd.telemetry import MASK, Metrics, get_logger, register_secret, rpc_observer
from payd.telemetry.samples import unlabelled_samples

ROOT = Path(__file__).parents[2]


@attrs.frozen(kw_only=True)
class Caller:
    """The part of an origin that the line of an RPC names."""

    actor: str = "user:42"
    certificate: str = "main-app"
    peer: str = "10.0.0.7"
    request_id: str = "req-7"


@pytest.fixture(autouse=True)
def lines_as_json() -> Iterator[None]:
    """As in production, and nothing of it is left behind."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook)
    telemetry.configure_logging("info", "json")
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], level, sys.excepthook = before
    root.setLevel(level)


@pytest.fixture
def written_lines(capfd: pytest.CaptureFixture[str]) -> Any:
    """Every line that was written since, parsed."""

    def lines() -> list[dict[str, Any]]:
        written = capfd.readouterr()
        assert written.out == "", "lines go to stderr"
        return [json.loads(line) for line in written.err.splitlines()]

    return lines


# -- a line ------------------------------------------------------------------------------------


def test_a_line_says_when_what_and_of_which_payment(written_lines: Any) -> None:
    structlog.contextvars.bind_contextvars(
        request_id="req-1", payment_id="pay-1", client="main-app"
    )

    get_logger("payd.settle").info("payment_settled", status="COMPLETED")

    [line] = written_lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "payd.settle",
        "event": "payment_settled",
        "status": "COMPLETED",
        "request_id": "req-1",
        "payment_id": "pay-1",
        "client": "main-app",
    }


def test_a_librarys_line_has_the_shape_of_ours(written_lines: Any) -> None:
    structlog.contextvars.bind_contextvars(request_id="req-1")

    logging.getLogger("asyncpg.pool").warning("resetting %s", "a connection")

    [line] = written_lines()
    assert (line["logger"], line["level"]) == ("asyncpg.pool", "warning")
    assert (line["event"], line["request_id"]) == ("resetting a connection", "req-1")


def test_a_librarys_broken_line_is_logged_all_the_same(written_lines: Any) -> None:
    [ours] = [
        h for h in logging.getLogger().handlers if type(h).__module__.startswith(telemetry.__name__)
    ]

    ours.handle(logging.LogRecord("pluggy", logging.ERROR, "", 1, "%d plugins", ("three",), None))

    [line] = written_lines()
    assert line["event"] == "%d plugins"


def test_a_warning_of_the_interpreter_is_a_line(written_lines: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old API", DeprecationWarning, stacklevel=1)

    [line] = written_lines()
    assert line["logger"] == "py.warnings"
    assert "old API" in line["event"]


def test_the_level_changes_while_we_run_also_for_loggers_in_use(written_lines: Any) -> None:
    log = get_logger("payd.nursery")
    log.debug("loop_turned")
    telemetry.set_level("debug")
    log.debug("loop_turned_again")
    telemetry.set_level("error")
    log.warning("task_failed")
    logging.getLogger("asyncpg").warning("slow")

    assert [line["event"] for line in written_lines()] == ["loop_turned_again"]


def test_no_field_passes_for_one_of_ours(written_lines: Any) -> None:
    register_secret("sk_live_levelled")

    get_logger("plugin").info("x", level="sk_live_levelled", logger="payd", timestamp="never")

    [line] = written_lines()
    assert (line["level"], line["logger"]) == ("info", "plugin")
    assert line["timestamp"] != "never"


def test_a_value_that_json_cannot_express_is_logged_as_its_repr(written_lines: Any) -> None:
    circle: list[Any] = []
    circle.append(circle)

    get_logger("payd").info("odd", where=Path("/etc"), by_id={(1, 2): "pair"})

    [line] = written_lines()
    assert "/etc" in line["where"]
    assert "pair" in line["by_id"]


def test_an_exception_is_logged_without_local_variables(written_lines: Any) -> None:
    def charge(card: str) -> None:
        raise RuntimeError("no route to the bank")

    try:
        charge("4242" * 4)
    except RuntimeError:
        get_logger("payd").exception("charge_failed")

    [line] = written_lines()
    assert line["level"] == "error"
    assert "RuntimeError: no route to the bank" in line["exception"]
    assert "4242" * 4 not in json.dumps(line)


def test_on_a_terminal_a_line_is_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logging("info", "console")
    register_secret("whsec_for_people")
    try:
        raise RuntimeError("whsec_for_people is wrong")
    except RuntimeError:
        get_logger("payd").exception("webhook_refused", hint="whsec_for_people")

    written = capfd.readouterr().err
    assert "webhook_refused" in written
    assert "RuntimeError" in written
    assert "whsec_for_people" not in written
    assert not written.startswith("{")


# -- nothing secret ----------------------------------------------------------------------------

AWKWARD = 'p@ss"w\\ö rd/ü'


def test_a_secret_that_is_worth_nothing_any_more_is_not_looked_for(written_lines: Any) -> None:
    register_secret("open sesame")
    telemetry.forget_secret("open sesame")

    get_logger("payd").info("called", answer="open sesame")

    [line] = written_lines()
    assert line["answer"] == "open sesame"


@pytest.mark.parametrize(
    "field",
    [
        AWKWARD,
        f"postgres://payd:{AWKWARD}@db/payd",
        "postgres://payd:p%40ss%22w%5C%C3%B6%20rd%2F%C3%BC@db/payd",
        {"nested": [{"deep": (AWKWARD,)}]},
        {AWKWARD: 1},
        {"set": {AWKWARD}},
        [AWKWARD.encode(), repr(AWKWARD)],
        RuntimeError(AWKWARD),
    ],
    ids=lambda field: type(field).__name__,
)
def test_a_registered_secret_is_masked_wherever_it_is(
    field: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    register_secret(AWKWARD)
    register_secret(AWKWARD.encode().__repr__()[2:-1])

    get_logger("payd").info("connected", field=field)

    written = capfd.readouterr().err
    assert MASK in written
    assert all(look not in written for look in _looks(AWKWARD))
    json.loads(written)


def test_a_secret_in_an_exception_and_its_cause_is_masked(
    capfd: pytest.CaptureFixture[str],
) -> None:
    register_secret(AWKWARD)
    try:
        try:
            raise ValueError(f"bad password {AWKWARD!r}")
        except ValueError as error:
            raise RuntimeError({"dsn": AWKWARD}) from error
    except RuntimeError as error:
        get_logger("payd").error("connect_failed", exc_info=error, error=str(error))
        logging.getLogger("asyncpg").exception("connect failed")

    written = capfd.readouterr().err
    assert "bad password" in written
    assert all(look not in written for look in _looks(AWKWARD))


def test_each_line_of_a_key_file_is_masked(capfd: pytest.CaptureFixture[str]) -> None:
    register_secret("-----BEGIN KEY-----\nMC4CAQAwBQYDK2Vw\n-----END KEY-----\n")

    get_logger("payd").warning("key_refused", line="line 2: MC4CAQAwBQYDK2Vw")

    assert "MC4CAQAwBQYDK2Vw" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "stripe_webhook_secret",
        "Authorization",
        "auth_token",
        "nats_account_signing_seed",
        "tempo_memo_key",
        "private_key",
        "key_material",
        "api_key",
    ],
)
def test_what_is_kept_under_a_secret_name_is_never_shown(name: str, written_lines: Any) -> None:
    get_logger("payd").info("called", **{name: "open sesame"}, headers=[{name: "open sesame"}])

    [line] = written_lines()
    assert line[name] == MASK
    assert line["headers"] == [{name: MASK}]


@pytest.mark.parametrize("name", ["idempotency_key", "token_address", "method", "payment_id"])
def test_what_an_operator_searches_for_is_shown(name: str, written_lines: Any) -> None:
    get_logger("payd").info("called", **{name: "open sesame"})

    [line] = written_lines()
    assert line[name] == "open sesame"


def test_what_ends_the_process_is_a_masked_line() -> None:
    code = """
from payd import telemetry
telemetry.configure_logging("info", "json")
telemetry.register_secret("hunter22")
raise SystemError("could not log in with hunter22")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
    )

    assert ended.returncode == 1
    line = json.loads(ended.stderr)
    assert (line["event"], line["level"]) == ("process_failed", "critical")
    assert "could not log in" in line["exception"]
    assert "hunter22" not in ended.stderr


def _looks(secret: str) -> set[str]:
    return {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(repr(secret))[2:-2]}


# -- a reader that stalls ----------------------------------------------------------------------


def test_a_stalled_reader_of_stderr_costs_lines_and_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    with open(writer, "w") as stderr:  # noqa: PTH123 - a pipe has no path
        monkeypatch.setattr(sys, "stderr", stderr)
        log = get_logger("payd")
        # A log that waited for its reader would never come to its end here.
        for number in range(300):
            log.info("payment_settled", number=number, padding="x" * 1000)
        taken = os.read(reader, 1 << 20)
        log.info("reader_is_back")
        taken += os.read(reader, 1 << 20)
        monkeypatch.undo()
    os.close(reader)

    lines = [json.loads(line) for line in taken.split(b"\n") if line.endswith(b"}")]
    kept = sum(line["event"] == "payment_settled" for line in lines)
    [lost] = [line["count"] for line in lines if line["event"] == "log_lines_dropped"]
    assert kept + lost == 300
    assert lines[-1]["event"] == "reader_is_back"


def test_a_closed_stderr_stops_nobody(written_lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stderr:  # noqa: PTH123 - a pipe has no path
        monkeypatch.setattr(sys, "stderr", stderr)
        get_logger("payd").info("nobody_listens")
        monkeypatch.undo()

    get_logger("payd").info("somebody_listens")

    assert [line["event"] for line in written_lines()] == ["log_lines_dropped", "somebody_listens"]


# -- metrics -----------------------------------------------------------------------------------


def test_an_rpc_is_logged_in_one_line_and_counted(written_lines: Any) -> None:
    metrics = Metrics("1.2.3")
    structlog.contextvars.bind_contextvars(payment_id="pay-1")

    rpc_observer(metrics)("GetPayment", "OK", 0.0123, Caller(), None)

    [line] = written_lines()
    assert (line["event"], line["method"], line["code"]) == ("rpc_finished", "GetPayment", "OK")
    assert (line["duration_ms"], line["actor"]) == (12.3, "user:42")
    assert (line["certificate"], line["peer"]) == ("main-app", "10.0.0.7")
    assert (line["request_id"], line["payment_id"]) == ("req-7", "pay-1")
    labels = {"method": "GetPayment", "code": "OK"}
    assert metrics.registry.get_sample_value("payd_grpc_requests_total", labels) == 1
    name = "payd_grpc_request_duration_seconds_bucket"
    assert metrics.registry.get_sample_value(name, {"method": "GetPayment", "le": "0.01"}) == 0
    assert metrics.registry.get_sample_value(name, {"method": "GetPayment", "le": "0.025"}) == 1


def test_a_failed_rpc_is_logged_with_its_cause(written_lines: Any) -> None:
    try:
        raise ZeroDivisionError("a defect")
    except ZeroDivisionError as error:
        rpc_observer(Metrics("1"))("GetQuote", "INTERNAL", 0.001, Caller(), error)

    [line] = written_lines()
    assert line["level"] == "error"
    assert "ZeroDivisionError: a defect" in line["exception"]


def test_a_refused_rpc_names_the_reason_and_is_no_error_of_ours(written_lines: Any) -> None:
    class Refused(Exception):
        reason = "UNKNOWN_PRODUCT"

    rpc_observer(Metrics("1"))("GetQuote", "INVALID_ARGUMENT", 0.001, Caller(), Refused())

    [line] = written_lines()
    assert (line["level"], line["reason"]) == ("info", "UNKNOWN_PRODUCT")
    assert "exception" not in line


def test_every_metric_can_be_read_in_both_formats_and_keeps_the_conventions() -> None:
    metrics = Metrics("1.2.3")
    metrics.payments.labels("card", "completed").inc()
    metrics.batch_size.labels("insert_payments").observe(4)

    families = list(parse(generate_latest(metrics.registry).decode()))
    by_openmetrics = list(parse_openmetrics(generate_openmetrics(metrics.registry).decode()))

    assert {"payd_payments", "payd_build_info", "payd_db_batch_size"} <= {f.name for f in families}
    assert {family.name for family in by_openmetrics} >= {"payd_payments", "payd_grpc_requests"}
    for family in families:
        assert family.name.startswith(("payd_", "process_"))
        assert family.documentation
        labels = {label for sample in family.samples for label in sample.labels}
        assert not labels & {"payment_id", "request_id", "customer_id", "idempotency_key"}


def test_every_metric_is_in_the_reference_with_its_labels_and_no_other_is() -> None:
    text = (ROOT / "docs/reference.md").read_text()
    rows = re.findall(r"^\| `(payd_\w+)` \| (.*?) \|", text, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}

    metrics = [
        value for value in vars(Metrics("1")).values() if isinstance(value, MetricWrapperBase)
    ]
    names = {metric: metric._name + "_total" * isinstance(metric, Counter) for metric in metrics}
    exported = {names[metric]: set(metric._labelnames) for metric in metrics}

    assert documented == {"payd_build_info": {"version"}} | exported


def test_a_providers_own_figures_are_exported_under_its_name() -> None:
    metrics = Metrics("1")
    figures = metrics.of_provider("tempo")

    figures.set("lag_blocks", 3)
    figures.set("lag_blocks", 2)
    figures.count("rpc_errors_total")
    figures.count("rpc_errors_total", 4)
    figures.set("Höhe-of chain", 1)

    value = metrics.registry.get_sample_value
    assert value("payd_tempo_lag_blocks") == 2
    assert value("payd_tempo_rpc_errors_total") == 5
    assert value("payd_tempo_h_he_of_chain") == 1
    assert list(parse(generate_latest(metrics.registry).decode()))


def test_a_provider_cannot_flood_or_spoil_the_metrics() -> None:
    metrics = Metrics("1")
    figures, other = metrics.of_provider("tempo"), metrics.of_provider("db")

    for number in range(1000):
        figures.set(f"figure_{number}", 1)
    other.set("pool_size", 99)
    other.count("pool_size")
    other.set("errors", 1)
    other.count("errors")
    other.count("faults_total", 2)
    other.count("faults_total", -1)

    value = metrics.registry.get_sample_value
    names = [family.name for family in metrics.registry.collect()]
    assert sum(name.startswith("payd_tempo_") for name in names) == 50
    assert value("payd_db_pool_size") == 0, "payd's own"
    assert value("payd_db_errors") == 1, "a gauge does not count"
    assert value("payd_db_faults_total") == 2, "a counter does not fall"


def test_the_version_is_a_label_of_one() -> None:
    registry = Metrics("1.2.3").registry

    assert registry.get_sample_value("payd_build_info", {"version": "1.2.3"}) == 1


def test_the_process_is_measured() -> None:
    memory = Metrics("1").registry.get_sample_value("process_resident_memory_bytes")

    assert memory is not None
    assert memory > 1024 * 1024


def test_the_text_of_metrics_is_read_by_name() -> None:
    text = '# TYPE payd_a gauge\npayd_a 3.5\n# TYPE payd_b gauge\npayd_b{provider="x"} 1\n'
    assert unlabelled_samples(text) == {"payd_a": 3.5}
    with pytest.raises(ValueError, match="could not convert"):
        unlabelled_samples("payd_a many")
