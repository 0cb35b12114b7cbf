"""The examples of docs/providers.md are programs: they are type-checked, and some are run."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import Any
from uuid import uuid4

import attrs
import click
import pytest
import trio
import yaml
from click.testing import CliRunner

import payd.plugins
from payd.plugins import (
    Absent,
    CommandContext,
    Conflict,
    Created,
    CreateOperation,
    CryptoTransfer,
    Declined,
    Money,
    OutcomeUnknown,
    PaymentRef,
    ProviderStatus,
    ReceiptState,
    Redirect,
    Snapshot,
    TokenTerms,
    WebhookRequest,
)
from payd.plugins.testing import BenchSink

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/providers.md").read_text()
#: Blocks that `payd plugin new` writes; tests/integration/kit/test_from_nothing.py compares them.
SKELETON = ("async def refund(", "from hooli_provider", "@asynccontextmanager\nasync def open_comp")
#: What the page says about its examples: their names are the SDK's, or those of the skeleton.
BEFORE = f"""\
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import click
import httpx
import trio
from pydantic import Field

from payd.plugins import {", ".join(payd.plugins.__all__)}
from payd.plugins.oauth import ClientCredentials
from payd.plugins.testing import CannotHappen, Fault, Remote

Json = Mapping[str, Any]


class Api(Protocol):
    async def get(self, path: str, **query: str) -> Json | None: ...
    async def post(
        self, path: str, body: Json, *, idempotency_key: str = ""
    ) -> Json | None: ...


class FakeOrders(Protocol):
    url: str
    api_key: str
    requests: int
    fault: Fault | None

    def of_payment(self, payment_id: str) -> list[dict[str, str]]: ...
    def pay(self, payment_id: str, amount: str) -> None: ...
    def expire(self, payment_id: str) -> None: ...


class Midnight:
    def now(self) -> datetime:
        return datetime(2026, 1, 3, tzinfo=UTC)


class Example:
    def __init__(self, api: Api, clock: Clock | None = None) -> None:
        self._api = api
        self._clock: Clock = clock or Midnight()


def authentic(request: WebhookRequest, secrets: Sequence[str], now: datetime) -> bytes:
    return request.body


MANIFEST: ProviderManifest
"""


def blocks() -> list[str]:
    found = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return [block for block in found if not block.startswith(SKELETON)]


def program() -> str:
    """All examples as one module. Methods without a class become those of an Example."""
    parts = [BEFORE]
    for number, block in enumerate(blocks()):
        lines = block.splitlines()
        methods, rest = list[str](), list[str]()
        for node in ast.parse(block).body:
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(one.lineno for one in decorators)])
            text = "\n".join(lines[first - 1 : node.end_lineno])
            is_method = (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.args.args
                and node.args.args[0].arg == "self"
            )
            (methods if is_method else rest).append(text)
        if methods:
            body = indent("\n\n".join(methods), "    ")
            parts.append(f"class Example{number}(Example):\n{body}\n")
        parts += rest
    return "\n\n".join(parts) + "\n"


@pytest.fixture(scope="module")
def examples() -> ModuleType:
    module = ModuleType("page")
    exec(compile(program(), "docs/providers.md", "exec"), vars(module))
    return module


def test_each_example_has_the_types_of_the_sdk(tmp_path: Path) -> None:
    assert len(blocks()) > 15
    file = tmp_path / "page.py"
    file.write_text(program())
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_example_is_wider_than_the_page() -> None:
    assert not [line for block in blocks() for line in block.splitlines() if len(line) > 100]


class FakeApi:
    """Answers each path with a document, or with the next of several."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.sent: list[tuple[str, Any]] = []

    async def get(self, path: str, **query: str) -> Any:
        return await self._answer(path, query)

    async def post(self, path: str, body: Any, *, idempotency_key: str = "") -> Any:
        return await self._answer(path, body)

    async def _answer(self, path: str, sent: Any) -> Any:
        await trio.lowlevel.checkpoint()
        self.sent.append((path, sent))
        answer = self.answers[path.strip("/")]
        return answer.pop(0) if isinstance(answer, list) else answer


def example(examples: ModuleType, method: str) -> Callable[[FakeApi], Any]:
    """The class of the only example with this method."""
    [cls] = [
        value
        for name, value in vars(examples).items()
        if name.startswith("Example") and method in vars(value)
    ]
    return cls


def creating(examples: ModuleType) -> list[Any]:
    """The two examples of `create`: of cards, of addresses."""
    return [
        value
        for name, value in vars(examples).items()
        if name.startswith("Example") and "create" in vars(value)
    ]


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PAYMENT_ID = uuid4()
ORDER = {
    "id": "o1",
    "merchant_reference": str(PAYMENT_ID),
    "status": "paid",
    "currency": "EUR",
    "amount": "149.00",
    "paid": "149.00",
    "changed": NOW.isoformat(),
    "test": False,
}


def operation(crypto: TokenTerms | None = None) -> CreateOperation:
    return CreateOperation(
        operation_id=f"create:{PAYMENT_ID}",
        payment_id=PAYMENT_ID,
        method="hooli",
        amount=Money(currency_code="EUR", minor_units=14900),
        crypto=crypto,
        items=(),
        customer_id="42",
        create_time=NOW,
        expire_time=NOW + timedelta(minutes=30),
        return_url="https://shop.example/paid",
        cancel_url="",
        metadata={},
    )


async def test_the_polling_watch_reports_and_continues(
    examples: ModuleType, autojump_clock: object
) -> None:
    foreign = {**ORDER, "id": "o2", "merchant_reference": "basket 7"}
    unreadable = {**ORDER, "id": "o3", "paid": "much"}
    pages = [
        {"orders": [unreadable, ORDER, foreign], "next": 7, "more": True},
        {"orders": [ORDER], "next": 9, "more": False},
        {"orders": [], "next": 9, "more": False},
    ]
    api, sink = FakeApi(orders=pages), BenchSink()
    watch = examples.Polling(api, 2.0)
    with trio.move_on_after(3):
        await watch.watch(sink, task_status=trio.TASK_STATUS_IGNORED)
    assert [query["changed_since"] for _, query in api.sent] == ["0", "7", "9"]
    assert sink.at == "9"
    first, again = sink.stored
    assert first == again
    assert first.reference == str(PAYMENT_ID)
    assert isinstance(first.fact, Snapshot)
    assert first.fact.status is ProviderStatus.PAID
    assert first.fact.confirmed == 14900


def test_an_unreadable_order_is_not_reported(examples: ModuleType) -> None:
    for wrong in ({"paid": 149.0}, {"status": "new"}, {"changed": "today"}):
        with pytest.raises(OutcomeUnknown):
            examples.order_snapshot({**ORDER, **wrong})
    assert isinstance(examples.fact({**ORDER, "test": True}, is_live=True), Conflict)
    later = NOW + timedelta(hours=1)
    assert examples.order_snapshot(ORDER, later).as_of == later


async def test_a_card_is_charged_asked_about_or_refused(examples: ModuleType) -> None:
    cards, _ = creating(examples)
    asked = {"id": "c1", "status": "needs_authentication", "authentication_url": "https://3ds"}
    refused = {"status": "refused", "refusal": {"code": "stolen", "message": "No."}}
    vault = cards(FakeApi(charges=[{"id": "c1", "status": "charged"}, asked, refused, None]))
    assert (await vault.create(operation())).next_action is None
    assert (await vault.create(operation())).next_action == Redirect(url="https://3ds")
    for code in ("stolen", "no_card"):
        with pytest.raises(Declined) as declined:
            await vault.create(operation())
        assert declined.value.code == code


async def test_an_address_is_made_once_and_found_again(examples: ModuleType) -> None:
    _, addresses = creating(examples)
    due = TokenTerms(
        currency="USDC", chain_id=1, token_address="0x" + "a" * 40, decimals=6, due_base_units=149
    )

    class Wallet(FakeApi):
        made: list[str]

        async def _answer(self, path: str, sent: Any) -> Any:
            await trio.lowlevel.checkpoint()
            if "label" in sent and len(self.sent) == 1:
                self.answers["addresses"] = {"addresses": ["0xb", "0xa"]}
            self.sent.append((path, sent))
            return self.answers["addresses"]

    wallet = Wallet(addresses={"addresses": []})
    created = await addresses(wallet).create(operation(due))
    assert created.reference == "0xa"
    assert isinstance(created.next_action, CryptoTransfer)
    assert created.next_action.amount_base_units == 149
    assert await addresses(wallet).create(operation(due)) == created


@pytest.mark.parametrize(
    ("block", "removed", "state"),
    [
        (5, False, ReceiptState.CONFIRMED),
        (6, False, ReceiptState.SEEN),
        (6, True, ReceiptState.DROPPED),
    ],
)
def test_a_transfer_is_one_receipt_in_every_state(
    examples: ModuleType, block: int, removed: bool, state: ReceiptState
) -> None:
    transfer = {
        "block": block,
        "removed": removed,
        "transaction": "0x1",
        "index": 3,
        "token": "0x2",
        "value": "0x95",
        "block_time": 1_767_323_045,
        "from": "0x3",
        "to": "0x4",
    }
    report = examples.receipt(transfer, final_block=5)
    [receipt] = report.fact
    assert (receipt.id, receipt.amount, receipt.state) == ("0x1:3", 149, state)
    assert report.reference == "0x4"
    ref = PaymentRef(
        operation_id="", payment_id=PAYMENT_ID, reference="0x4", asset="0x2", create_time=NOW
    )
    assert examples.standing(ref, NOW).as_of == NOW


def test_late_money_is_not_confirmed_by_a_look(examples: ModuleType) -> None:
    entries = [
        {"amount": "100.00", "booked": NOW.isoformat()},
        {"amount": "49.00", "booked": (NOW + timedelta(days=1)).isoformat()},
    ]
    snapshot = examples.look({"read_until": NOW.isoformat()}, entries, NOW)
    assert (snapshot.received, snapshot.confirmed) == (14900, 10000)


async def test_prepared_parameters_are_sent(examples: ModuleType) -> None:
    api = FakeApi(orders={"id": "o1", "url": "https://pay"})
    provider = examples.Prepared(api, "Thank you")
    assert provider.prepare(operation())["text"] == "Thank you"
    assert (await provider.create(operation())).reference == "o1"


async def test_all_objects_are_listed(examples: ModuleType) -> None:
    foreign = [{**ORDER, "merchant_reference": name} for name in ("", "basket 7", None)]
    api = FakeApi(orders={"orders": [ORDER, *foreign], "next": None})
    page = await example(examples, "objects")(api).objects(NOW, NOW, None)
    assert [one.payment_id for one in page.objects] == [PAYMENT_ID, None, None, None]
    balances = {"balances": [{"token": "0x2", "opening": 0, "balance": 149}]}
    audited = example(examples, "holdings")(FakeApi(balances=balances))
    [holding] = await audited.holdings("7")
    assert (holding.balance, holding.at) == (149, "7")


async def test_a_look_finds_an_order_by_either_name(examples: ModuleType) -> None:
    waiting = {**ORDER, "status": "waiting", "paid": "0.00", "url": "https://pay"}
    answers: dict[str, Any] = {
        "orders/o1": waiting,
        "orders/o1/close": {**waiting, "status": "closed"},
    }
    answers |= {"orders": {"orders": [waiting]}, "orders/o2": None, "account": {}}
    provider = example(examples, "fetch")(FakeApi(**answers))
    ref = PaymentRef(
        operation_id="", payment_id=PAYMENT_ID, reference="o1", asset="EUR", create_time=NOW
    )
    for one in (ref, attrs.evolve(ref, reference=None)):
        found = await provider.fetch(one)
        assert found.created == Created(reference="o1", next_action=Redirect(url="https://pay"))
        assert found.snapshot.as_of == datetime(2026, 1, 3, tzinfo=UTC)
    assert await provider.fetch(attrs.evolve(ref, reference="o2")) == Absent()
    assert (await provider.cancel(ref)).status is ProviderStatus.CANCELED
    await provider.health()


async def test_a_scanned_event_is_translated(examples: ModuleType) -> None:
    event = {"id": "e1", "type": "order.paid", "order": ORDER}
    provider = example(examples, "scan")(
        FakeApi(events={"events": [event], "next": 7, "more": False})
    )
    page = await provider.scan(None)
    assert page.cursor == "7"
    [observation] = provider.translate(page.events[0])
    assert observation.reference == str(PAYMENT_ID)


def test_the_command_prints_the_page(examples: ModuleType) -> None:
    assert examples.payd_commands("acme") == ()
    [page] = examples.payd_commands("hooli")
    assert isinstance(page, click.Command)
    payment = {"next_action": {"redirect": {"url": "https://pay"}}}
    context = CommandContext(config=None, dev={}, get_payment=lambda _id: payment)
    done = CliRunner().invoke(page, ["p1"], obj=context)
    assert done.output == "https://pay\n"


def test_the_amounts_are_right(examples: ModuleType) -> None:
    examples.amounts()
    [method] = examples.methods(type("Config", (), {"currencies": ("EUR",)}))
    assert method.key == "hooli"


async def test_a_batch_is_several_events(examples: ModuleType) -> None:
    body = (
        b'{"payments": [{"id": 1, "charge": "c", "amount": 2, "status": "paid", "time": 3},'
        b' {"id": 2, "charge": "c", "amount": 2, "status": "paid", "time": 3}]}'
    )
    provider = example(examples, "verify")(FakeApi())
    request = WebhookRequest(body=body, headers={})
    events = provider.verify(request, {"webhook_secret": ()}, NOW)
    assert [event.id for event in events] == ["payment:1:paid", "payment:2:paid"]


def test_the_skeletons_workflow_installs_and_tests_as_the_page_does() -> None:
    """payd by hash and by path, from a checkout in a folder that pytest leaves alone."""
    folder = ROOT / "examples/providers/acme"
    [job] = yaml.safe_load((folder / ".github/workflows/check.yml").read_text())["jobs"].values()
    [_, payd] = [step for step in job["steps"] if "actions/checkout@" in step.get("uses", "")]
    assert job["env"]["PAYD"] == payd["with"]["path"]
    assert payd["with"]["path"].startswith(".")
    assert payd["with"]["repository"] == "${{ vars.PAYD_REPOSITORY }}"
    install, _, editable, _, _ = first_commands(PAGE)
    environment, *commands = [step["run"] for step in job["steps"] if "run" in step]
    assert environment.startswith("python -m venv ")
    assert commands == [
        install,
        editable.replace("./hooli[test]", ".[test]"),
        "pytest --payd-report=report",
    ]
    assert first_commands((folder / "README.md").read_text()) == [*commands[:2], "pytest"]


def first_commands(page: str) -> list[str]:
    """The lines of the page's first block of commands."""
    return page.partition("```sh\n")[2].partition("```")[0].splitlines()
