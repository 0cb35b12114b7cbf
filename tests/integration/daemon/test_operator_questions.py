"""Each question of docs/operations.md is one command, and gets its answer from a running payd."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from payd_client.proto import payment_pb2 as pb
from support.daemon import Client
from support.dev_process import running_dev, state_folder
from support.forks import run_payd
from support.planted_secrets import WATCH
from support.waiting import wait_until

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
SECTION = PAGE.read_text().partition("## An operator's questions")[2].partition("\n## ")[0]
#: Question → its command, as a person types it.
QUESTIONS = dict(re.findall(r"^\| (.+\?) \| `payd (.+)` \|$", SECTION, re.MULTILINE))
SHOP = "https://shop.example.org/"


@attrs.frozen(kw_only=True)
class Site:
    """A running `payd dev` and its payments."""

    state: Path
    #: Completed: of user-42, for order 1042.
    paid: Any
    #: Another one, to refund.
    to_refund: Any
    failed: Any
    waiting: Any
    underpaid: Any
    #: Paid twice, to resolve.
    doubled: Any

    def payd(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`payd …` in a shell that knows of no daemon."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.state.parent)}
        done = run_payd(*words, env=env, cwd=self.state.parent)
        WATCH.search(done.stdout + done.stderr, f"payd {' '.join(words)}")
        return done


@attrs.frozen
class Answer:
    """What a question's command is about, and what it must say."""

    #: Word of the page → the word that is typed here.
    typed: Callable[[Site], Mapping[str, str]]
    said: Callable[[Site], tuple[str, ...]]
    not_said: Callable[[Site], tuple[str, ...]] = lambda site: ()


def nothing(site: Site) -> Mapping[str, str]:
    return {}


def about(name: str) -> Callable[[Site], Mapping[str, str]]:
    return lambda site: {"ID": getattr(site, name).id}


ANSWERS: Mapping[str, Answer] = {
    "which payment is this transaction, session, refund or memo?": Answer(
        lambda site: {"0x5c1f…": site.paid.provider_reference},
        lambda site: (site.paid.id,),
        lambda site: (site.waiting.id,),
    ),
    "what has this customer paid?": Answer(
        nothing, lambda site: (site.paid.id,), lambda site: (site.failed.id,)
    ),
    "what has this e-mail address paid?": Answer(
        nothing, lambda site: (site.paid.id,), lambda site: (site.failed.id,)
    ),
    "which payment is for this order?": Answer(
        nothing, lambda site: (site.paid.id,), lambda site: (site.failed.id,)
    ),
    "which payments are for this subscription?": Answer(
        nothing, lambda site: (site.paid.id,), lambda site: (site.failed.id,)
    ),
    "which payments failed today?": Answer(
        nothing, lambda site: (site.failed.id,), lambda site: (site.paid.id,)
    ),
    "which card payments are still open?": Answer(
        nothing, lambda site: (site.waiting.id,), lambda site: (site.paid.id, site.failed.id)
    ),
    "who paid between 1,000 and 2,000 euros last week?": Answer(
        lambda site: {"1000": "100", "2000": "200", "EUR": "USD"}, lambda site: (site.paid.id,)
    ),
    "what did this provider do this month, as a table for a spreadsheet?": Answer(
        lambda site: {"stripe": "mock"},
        lambda site: ("id,status,method", f"{site.paid.id},COMPLETED"),
    ),
    "what came in this month, by day, for the accounts?": Answer(
        lambda site: dict.fromkeys(("2026-11-01", "2026-11-30"), str(datetime.now(UTC).date())),
        lambda site: ("gross", "mock,mock,USD"),
    ),
    "what has to be looked at, the oldest first?": Answer(
        nothing,
        lambda site: (site.underpaid.id, "UNDERPAID"),
        lambda site: (site.paid.id,),
    ),
    "which payments were paid in part?": Answer(
        nothing, lambda site: (site.underpaid.id,), lambda site: (site.doubled.id,)
    ),
    "why is this payment as it is, and what now?": Answer(
        about("underpaid"), lambda site: ("What to do", "UNDERPAID", "waiting for")
    ),
    "which webhooks and reports of the provider came for it?": Answer(
        about("paid"), lambda site: ("from: report ", "provider:mock")
    ),
    "what does the provider say about it now?": Answer(
        about("waiting"), lambda site: (site.waiting.id, "PENDING")
    ),
    "how do I send its money back?": Answer(
        about("to_refund"), lambda site: ("SUCCEEDED", "149.00 USD", "ordered twice")
    ),
    "how do I close what I have looked at?": Answer(
        about("doubled"), lambda site: (site.doubled.id, "sent back by hand")
    ),
    "which money belongs to no payment?": Answer(nothing, lambda site: ("no unmatched receipts",)),
    "what waits in the outbox, and how are payments and payd today?": Answer(
        nothing, lambda site: ("events to publish", "COMPLETED", "UNDERPAID", "ok  database")
    ),
    "how does the main app get the events of this payment again?": Answer(
        about("paid"), lambda site: ("1 event already in the stream, dropped as duplicates",)
    ),
    "which events could the main app not handle?": Answer(
        nothing, lambda site: ("no dead letters",)
    ),
    "who changed what?": Answer(
        about("paid"), lambda site: ("main-app", "provider:mock", "intact")
    ),
    "is the trail intact?": Answer(nothing, lambda site: ("intact",)),
    "where do a provider and payd differ?": Answer(nothing, lambda site: ("findings",)),
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with state_folder() as folder:
        state = folder.with_name(".payd")
        with (
            running_dev(state, "--ephemeral") as (_, announced),
            Client(announced["grpc"], state / "pki", "client") as client,
        ):
            site = Site(state=state, **_payments(client))
            _export_trail(site)
            yield site


def _export_trail(site: Site) -> None:
    """Write what an auditor gets, as docs/audit.md says."""
    for command, file in (("public-key", "audit.pem"), ("export", "audit-2026-11.jsonl")):
        done = site.payd("audit", command)
        assert done.returncode == 0, done.stderr
        (site.state.parent / file).write_text(done.stdout)


def _payments(client: Client) -> dict[str, Any]:
    mine: dict[str, Any] = {
        "customer": pb.Customer(id="user-42", email="ann@example.org"),
        "subscription_ids": ["sub-7"],
        "metadata": {"order": "1042"},
    }
    made = {
        "paid": client.initiate(**mine),
        "to_refund": client.initiate(),
        "failed": client.initiate(scenario="decline"),
        "waiting": client.initiate(method="card", return_url=SHOP, cancel_url=SHOP),
        "underpaid": client.initiate(scenario="underpay"),
        "doubled": client.initiate(scenario="pay_twice"),
    }

    def has_attention(name: str) -> bool:
        return bool(client.get(made[name].id).attention)

    for name in ("paid", "to_refund"):
        client.wait_for(made[name].id, "COMPLETED")
    for name in ("underpaid", "doubled"):
        wait_until(partial(has_attention, name), f"{name} has attention")
    return {name: client.get(payment.id) for name, payment in made.items()}


def test_every_question_of_the_page_has_an_answer_here() -> None:
    assert QUESTIONS.keys() == ANSWERS.keys()
    assert len(QUESTIONS) >= 20


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_by_one_command(site: Site, question: str) -> None:
    answer = ANSWERS[question]
    typed = answer.typed(site)
    words = shlex.split(QUESTIONS[question])
    assert typed.keys() <= set(words), "the page names another placeholder"
    done = site.payd(*(typed.get(word, word) for word in words))
    assert (done.returncode, done.stderr) == (0, ""), done
    for text in answer.said(site):
        assert text in done.stdout, done.stdout
    for text in answer.not_said(site):
        assert text not in done.stdout, done.stdout
