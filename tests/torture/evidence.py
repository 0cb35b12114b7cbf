"""What everybody else has in the end: the database, the stream, Stripe and the chain."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from support.daemon import Message, events, rows
from support.tempo import ALPHA, BETA, RECEIVER, Chain
from tempo_provider.contracts import TRANSFER_WITH_MEMO, topic_of
from torture.world import World

Row = Mapping[str, Any]

_OPEN_WORK = """
    SELECT 'report ' || event_id FROM inbox WHERE settle_time IS NULL
    UNION ALL SELECT 'event ' || event_id FROM outbox WHERE publish_time IS NULL
    UNION ALL SELECT 'payment ' || id || ', ' || status FROM payments
    WHERE status IN ('CREATING', 'CANCELING')
    UNION ALL SELECT 'refund ' || id || ', ' || status FROM refunds
    WHERE status IN ('CREATING', 'PENDING')
"""


@attrs.frozen(kw_only=True)
class Evidence:
    """All of it, read at one time."""

    payments: Mapping[str, Row]
    refunds: Sequence[Row]
    #: Events of the outbox, in their order.
    outbox: Sequence[Row]
    stream: Sequence[Message]
    #: Receipts without a payment.
    unmatched: Sequence[Row]
    sessions: Mapping[str, Sequence[Row]]
    stripe_refunds: Sequence[Row]
    #: Memo → base units that came with it.
    transfers: Mapping[str, int]


def open_work(world: World) -> list[str]:
    """What has to come to an end by itself, and has not yet."""
    return [row["?column?"] for row in rows(world.place, _OPEN_WORK)]


def gather(world: World) -> Evidence:
    """Read everything."""
    place = world.place
    sessions: dict[str, list[Row]] = defaultdict(list)
    for session in world.stripe.sessions():
        sessions[session["client_reference_id"]].append(session)
    payments = rows(
        place,
        "SELECT id::text, idempotency_key, status, version, attention,"
        " (SELECT count(*) FROM payment_events AS e WHERE e.payment_id = p.id) AS audit_rows"
        " FROM payments AS p",
    )
    return Evidence(
        payments={row["id"]: row for row in payments},
        refunds=rows(place, "SELECT *, payment_id::text AS payment FROM refunds"),
        outbox=rows(
            place,
            "SELECT event_id::text AS id, payment_id::text AS payment, subject"
            " FROM outbox ORDER BY outbox.id",
        ),
        stream=events(place),
        unmatched=rows(place, "SELECT * FROM receipts WHERE payment_id IS NULL"),
        sessions=sessions,
        stripe_refunds=world.stripe.ask("refunds")["refunds"],
        transfers=transfers(world.chain),
    )


def transfers(chain: Chain) -> Mapping[str, int]:
    """Ask the chain itself what came with which memo."""
    found: dict[str, int] = defaultdict(int)
    wanted = {
        "fromBlock": "0x0",
        "toBlock": "latest",
        "address": [ALPHA, BETA],
        "topics": [TRANSFER_WITH_MEMO, None, topic_of(RECEIVER)],
    }
    for log in chain.rpc("eth_getLogs", wanted):
        found[log["topics"][3]] += int(log["data"], 16)
    return found
