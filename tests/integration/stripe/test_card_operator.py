"""What an operator sees of cards: `payd reconciliations` and `payd providers`."""

import json
import uuid

from support.cards import StandIn, running_with_cards
from support.daemon import Place, operator_of, rows
from support.forks import run_payd
from support.waiting import wait_until


def test_a_comparison_and_its_findings_are_shown(place: Place, stripe: StandIn) -> None:
    nobody = str(uuid.uuid4())
    names = {"client_reference_id": nobody, "metadata": {"payment_id": nobody}}
    session = stripe.order("sessions", **names)
    interval = {"PAYD_RECOVERY_RECONCILE_INTERVAL_S": "1"}
    with running_with_cards(place, stripe, **interval) as (daemon, _):
        found = "SELECT 1 FROM reconciliations WHERE findings <> '[]'"
        wait_until(lambda: bool(rows(place, found)), "a finding")
        operator = operator_of(daemon)
        shown = payd(place, stripe, "reconciliations", "--json", **operator)
        as_text = payd(place, stripe, "reconciliations", **operator)

    results = json.loads(shown)["reconciliations"]
    assert {one["provider"] for one in results} == {"stripe"}
    [finding] = next(one["findings"] for one in results if one["findings"])
    assert (finding["kind"], finding["reference"]) == ("object_without_payment", session["id"])
    assert "object_without_payment" in as_text
    assert nobody in as_text


def test_stripe_is_shown_among_the_providers(place: Place, stripe: StandIn) -> None:
    listed = json.loads(payd(place, stripe, "providers", "--json"))["providers"]
    [row] = [one for one in listed if one["provider"] == "stripe"]
    assert (row["enabled"], row["lookup"], row["cancel"]) == (True, "AUTHORITATIVE", "CLOSES")


def payd(place: Place, stripe: StandIn, *arguments: str, **more: str) -> str:
    """What the command prints."""
    done = run_payd(*arguments, env=place.environment(**stripe.environment, **more))
    assert done.returncode == 0, done.stderr
    return done.stdout
