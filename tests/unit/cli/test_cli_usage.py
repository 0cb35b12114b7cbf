"""What was typed or configured wrongly ends with 2 or 78, and says what is wrong."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click
import pytest
from unit.cli.conftest import Alone, Process
from unit.cli.scripted_daemon import ITEM

from payd.cli.main import main
from payd.cli.typed import Time
from payd.dev.state import open_state

PAY = ("pay", "--item", ITEM, "--method", "mock")


# -- wrong usage -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pay", "--method", "mock"), "--item"),
        (("pay", "--item", ITEM), "--method"),
        (("pay", "--item", "ethereum-mainnet/full", "--method", "mock"), "CHAIN/NODE/DURATION"),
        (("quote", "--item", "a/b/c/d", "--method", "mock"), "CHAIN/NODE/DURATION"),
        ((*PAY, "--metadata", "order"), "KEY=VALUE"),
        ((*PAY, "--timeout", "soon"), "--timeout"),
        ((*PAY, "--timeout", "-1"), "--timeout"),
        ((*PAY, "--timeout", "nan"), "nan is not a number of seconds"),
        ((*PAY, "--timeout", "inf"), "inf is not a number of seconds"),
        (("get",), "PAYMENT_ID or --idempotency-key"),
        (("get", "7", "--idempotency-key", "k"), "PAYMENT_ID or --idempotency-key"),
        (("cancel",), "PAYMENT_ID"),
        (("dev", "--port-base", "80"), "--port-base"),
        (("events", "tail", "--count", "0"), "--count"),
        (("events", "tail", "--since", "yesterday"), "'yesterday' is not a span like 10m"),
        (("events", "republish"), "--since"),
        (("pricing", "burn"), "No such command"),
        (("serve", "--fast"), "--fast"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_ends_with_2_and_names_what_is_wrong(
    alone: Alone, arguments: tuple[str, ...], message: str
) -> None:
    result = alone(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stdout == ""


# -- since -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(hours=24)),
        ("30d", timedelta(days=30)),
    ],
)
def test_since_a_span_is_that_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    since = Time().convert(text, None, None)
    assert before - ago <= since <= datetime.now(UTC) - ago


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00"])
def test_since_a_time_is_that_time(text: str) -> None:
    assert Time().convert(text, None, None) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_since_a_time_without_a_zone_is_local() -> None:
    since = Time().convert("2026-01-02T03:04:05", None, None)
    assert since == datetime(2026, 1, 2, 3, 4, 5).astimezone()


@pytest.mark.parametrize("text", ["", "10", "m", "-10m", "10m ", "1.5h", "10 m", "next week"])
def test_since_nonsense_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Time().convert(text, None, None)


@pytest.mark.parametrize("text", ["99999999999d", "9999999d"])
def test_since_before_all_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Time().convert(text, None, None)


# -- where the daemon is -----------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["--ca", "--cert", "--key"])
def test_a_target_needs_the_three_files(alone: Alone, missing: str) -> None:
    files = [(name, "x.pem") for name in ("--ca", "--cert", "--key") if name != missing]
    result = alone(*PAY, "--target", "localhost:1", *(word for pair in files for word in pair))
    assert result.exit_code == 2
    assert "--target needs --ca, --cert and --key too" in result.stderr


@pytest.mark.parametrize(
    "target", ["localhost", "localhost:grpc", ":50051", "localhost:0", "localhost:65536"]
)
def test_a_target_must_be_host_and_port(alone: Alone, pki: Path, target: str) -> None:
    files = ("--ca", "ca.crt"), ("--cert", "client.crt"), ("--key", "client.key")
    named = (word for option, name in files for word in (option, str(pki / name)))
    result = alone("get", "7", "--target", target, *named)
    assert result.exit_code == 2
    assert "is not host:port" in result.stderr


@pytest.mark.parametrize(
    "command", [PAY, ("get", "7"), ("cancel", "7"), ("events", "tail")], ids=lambda c: c[0]
)
def test_without_a_daemon_it_says_how_to_get_one(
    alone: Alone, tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = alone(*command, "--state-dir", str(tmp_path))
    assert result.exit_code == 1
    assert f"no `payd dev` is running on {tmp_path}: start it" in result.stderr


@pytest.mark.parametrize(
    "command", [PAY, ("events", "tail"), ("config", "show")], ids=lambda c: c[0]
)
def test_while_payd_dev_starts_a_command_says_that_it_is_not_ready(
    alone: Alone, tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its directory, and where it is the usual one."""
    monkeypatch.chdir(tmp_path)
    state = tmp_path / ".payd"
    with open_state(state, ephemeral=False):
        for where, name in ((("--state-dir", str(state)), state), ((), ".payd")):
            result = alone(*command, *where)
            assert result.exit_code == 1
            assert f"`payd dev` on {name} is not ready: try again" in result.stderr


@pytest.mark.parametrize("url", ["nats://[", "nonsense", "127.0.0.1:4222", "nats://", ","])
def test_what_is_no_url_of_a_nats_server_is_named(process: Process, url: str) -> None:
    ran = process("events", "tail", "--nats", url)
    assert ran.returncode == 1, ran
    assert ran.stderr.startswith(f"Error: {url!r} is not a list of URLs like nats://host:4222")


def test_an_error_that_nobody_foresaw_is_one_line(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def broken() -> None:
        try:
            raise RuntimeError("two\nlines")
        except RuntimeError as error:
            raise ExceptionGroup("tasks", [ExceptionGroup("more", [error])]) from None

    monkeypatch.setattr(main, "get_command", lambda ctx, name: broken)
    result = alone("get")
    assert result.exit_code == 70
    assert result.stderr == (
        "Error: unexpected RuntimeError: two lines (test_cli_usage.py, line"
        f" {cast(Any, broken.callback).__code__.co_firstlineno + 3})."
        " This is a bug in payd: report it\n"
    )


def test_a_folder_that_cannot_be_written_is_reported(alone: Alone) -> None:
    result = alone("plugin", "new", "hooli", "--folder", "/proc/hooli")
    assert result.exit_code == 1
    assert result.stderr == "Error: [Errno 2] No such file or directory: '/proc/hooli'\n"


def test_an_error_in_a_task_is_reported_like_one_of_the_command(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def broken() -> None:
        raise ExceptionGroup("tasks", [click.ClickException("check this")])

    monkeypatch.setattr(main, "get_command", lambda ctx, name: broken)
    result = alone("get")
    assert (result.exit_code, result.stderr) == (1, "Error: check this\n")


def test_missing_files_are_reported(alone: Alone) -> None:
    files = ("--ca", "/nowhere/ca", "--cert", "/nowhere/crt", "--key", "/nowhere/key")
    result = alone(*PAY, "--target", "localhost:1", *files)
    assert result.exit_code == 1
    assert "No such file" in result.stderr


# -- wrong configuration -----------------------------------------------------------------------

READERS = [
    ("serve",),
    ("migrate",),
    ("config", "check"),
    ("config", "show"),
    ("providers",),
    ("doctor",),
]


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_an_invalid_configuration_ends_with_78_and_reports_each_problem(
    process: Process, command: tuple[str, ...]
) -> None:
    ran = process(*command, GRPC_PORT="many", LOG_LEVEL="loud")
    assert ran.returncode == 78
    assert ran.stdout == ""
    problems = {line.partition(" ")[0] for line in ran.stderr.splitlines()}
    # Showing the providers needs no password.
    password = set() if command == ("providers",) else {"database.password"}
    assert problems == {"grpc.port", "log.level"} | password


@pytest.mark.parametrize("secret", [{}, {"DB_PASSWORD_FILE": "/nowhere/at/all"}])
def test_the_providers_are_shown_without_the_database_password(
    process: Process, secret: dict[str, str]
) -> None:
    ran = process("providers", "--json", MOCK_ENABLED="true", HTTP_PORT="1", **secret)
    assert ran.returncode == 0, ran.stderr
    [mock] = [r for r in json.loads(ran.stdout)["providers"] if r["provider"] == "mock"]
    assert (mock["enabled"], mock["methods"]) == (True, ["mock"])


def test_a_good_configuration_is_said_to_be_good_and_keeps_its_secret(process: Process) -> None:
    ran = process("config", "check", DB_PASSWORD="hunter2")
    assert (ran.returncode, ran.stdout) == (0, "configuration is valid\n")
    for form in ((), ("--json",)):
        shown = process("config", "show", *form, DB_PASSWORD="hunter2")
        assert shown.returncode == 0
        assert "database.password" in shown.stdout
        assert "hunter2" not in shown.stdout + shown.stderr


def test_the_configuration_is_one_document(process: Process) -> None:
    shown = process("config", "show", "--json", DB_PASSWORD="hunter2", GRPC_PORT="6000")
    [port] = [row for row in json.loads(shown.stdout) if row["key"] == "grpc.port"]
    assert (port["value"], port["env"]) == ("6000", "GRPC_PORT")


def test_wrong_prices_end_with_78_and_the_file_is_named(process: Process, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("currency: USD\nprices: [oops]\n")
    ran = process("pricing", "check", str(prices))
    assert ran.returncode == 78
    assert str(prices) in ran.stderr
    assert ran.stdout == ""


#: Stripe charges KWD, which has three decimals, in steps of ten units.
NOT_CHARGEABLE = "currency: KWD\nprices: {ethereum-mainnet: {full: {30d: 10001}}}\n"
BY_CARD = {
    "ENVIRONMENT": "test",
    "DB_PASSWORD": "x",
    "STRIPE_ENABLED": "true",
    "STRIPE_CURRENCIES": "KWD",
}


@pytest.mark.parametrize("command", [("pricing", "check"), ("doctor",)])
def test_a_price_that_no_enabled_provider_can_charge_is_reported(
    process: Process, tmp_path: Path, command: tuple[str, ...]
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(NOT_CHARGEABLE)
    ran = process(*command, **BY_CARD, PRICING_FILE=str(prices), HTTP_PORT="1", DB_PORT="1")
    assert ran.returncode == (78 if command[0] == "pricing" else 1)
    assert f"{prices}: prices.ethereum-mainnet.full.30d: method 'card'" in ran.stdout + ran.stderr


def test_a_price_file_alone_is_checked_without_a_configuration(
    process: Process, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(NOT_CHARGEABLE)
    assert process("pricing", "check", str(prices), **BY_CARD).returncode == 78
    unconfigured = process("pricing", "check", str(prices))
    assert unconfigured.returncode == 0, unconfigured.stderr
    assert "amount rules not checked: see `payd config check`" in unconfigured.stderr


FOUR_CURRENCIES = """\
currencies: [KWD, EUR, JPY, BRL]
prices:
  eth:
    full: {1d: {KWD: 2250, EUR: 690}, 30d: {KWD: 45000, EUR: 13900, JPY: 22000, BRL: 79900}}
"""


def test_prices_in_several_currencies_are_shown_exactly(process: Process, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(FOUR_CURRENCIES)
    shown = process("pricing", "show", str(prices))
    assert shown.returncode == 0, shown.stderr
    rows = [tuple(filter(None, line.split("  "))) for line in shown.stdout.splitlines()]
    cells = [tuple(cell.strip() for cell in row) for row in rows]
    assert ("chain", "node", "duration", "KWD", "EUR", "JPY", "BRL") in cells
    assert ("eth", "full", "1d", "2.250 KWD", "6.90 EUR", "-", "-") in cells
    assert ("eth", "full", "30d", "45.000 KWD", "139.00 EUR", "22000 JPY", "799.00 BRL") in cells

    document = json.loads(process("pricing", "show", str(prices), "--json").stdout)
    assert (document["currency"], document["currencies"]) == ("KWD", ["KWD", "EUR", "JPY", "BRL"])
    assert {
        "chain_profile_id": "eth",
        "node_type": "full",
        "duration": "30d",
        "currency_code": "JPY",
        "minor_units": 22000,
    } in document["prices"]
    assert len(document["prices"]) == 6


def test_every_currency_is_checked_by_the_rules_of_its_methods(
    process: Process, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(FOUR_CURRENCIES)
    by_card = {**BY_CARD, "STRIPE_CURRENCIES": "KWD,JPY"}
    good = process("pricing", "check", str(prices), **by_card)
    assert good.returncode == 0, good.stderr
    assert good.stdout.splitlines()[0].startswith("2 prices (KWD, EUR, JPY, BRL), version ")
    assert good.stdout.splitlines()[1:] == [
        "KWD: card",
        "EUR: no enabled method takes it",
        "JPY: card",
        "BRL: no enabled method takes it",
    ]

    prices.write_text(FOUR_CURRENCIES.replace("45000", "45001").replace("22000", "1000000000000"))
    wrong = process("pricing", "check", str(prices), **by_card)
    assert wrong.returncode == 78
    [kwd, jpy] = sorted(wrong.stderr.splitlines(), reverse=True)
    assert "prices.eth.full.30d.KWD: method 'card': the price 45.001 KWD is not a multiple" in kwd
    assert "prices.eth.full.30d.JPY: method 'card': the price 1,000,000,000,000 JPY is" in jpy


def test_the_shipped_prices_are_good_and_one_document(process: Process) -> None:
    shipped = str(Path(__file__).parents[3] / "config" / "pricing.yaml")
    checked = process("pricing", "check", shipped)
    assert checked.returncode == 0, checked.stderr
    document = json.loads(process("pricing", "show", shipped, "--json").stdout)
    assert checked.stdout.startswith(f"{len(document['prices'])} prices ({document['currency']})")
    assert document["pricing_version"] in checked.stdout
