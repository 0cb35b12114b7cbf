"""Exports of made-up payments, and damage to them."""

import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from payd.adapters.audit.chain import NOTHING, Head, HeadsDigest, content_of, next_hash
from payd.adapters.audit.checkpoint import Checkpoint, checkpoint_document, checkpoint_of
from payd.adapters.audit.export import ExportedChain, ExportedRow, ExportWriter
from payd.adapters.audit.keys import SigningKey

KEY = SigningKey("5e" * 32)
THEN = datetime(2026, 1, 2, tzinfo=UTC)
CHECKPOINTS = 3
COVERS = {"payment": None, "since": None, "after_checkpoint": 0, "time": THEN.isoformat()}


def an_export(seed: int = 1, payments: int = 12) -> bytes:
    """An export of some payments with their checkpoints, the same for the same seed."""
    rng, written = random.Random(seed), list[str]()
    writer = ExportWriter(written.append, KEY, f"export-{seed}", COVERS)
    ids = sorted(UUID(int=rng.getrandbits(128)) for _ in range(payments))
    chains = [a_chain(payment_id, rng) for payment_id in ids]
    for chain in chains:
        writer.add(chain)
    writer.finish(checkpoints_over(chains))
    return "".join(written).encode()


def a_chain(payment_id: UUID, rng: random.Random) -> ExportedChain:
    """Some versions of a payment, not always from the first one on."""
    after = rng.choice([0, 0, 0, 4])
    start = Head(version=after, hash=rng.randbytes(32) if after else NOTHING)
    rows, last, checkpoint = list[ExportedRow](), start, 1
    for version in range(after + 1, after + 1 + rng.randint(1, 7)):
        checkpoint = min(CHECKPOINTS + 1, checkpoint + rng.choice([0, 0, 1]))
        content = a_content(payment_id, version, rng)
        last = Head(version=version, hash=next_hash(last.hash, content.encode()))
        number = checkpoint if checkpoint <= CHECKPOINTS else None
        rows.append(
            ExportedRow(version=version, content=content, hash=last.hash, checkpoint=number)
        )
    return ExportedChain(payment_id=payment_id, after=start, rows=rows, head=last)


def a_content(payment_id: UUID, version: int, rng: random.Random) -> str:
    """The bytes of a row of the trail."""
    return content_of(
        payment_id,
        version,
        rng.choice(["facts_changed", "status_checked", "payment_completed"]),
        {"changes": {"version": version, "looks": rng.randint(0, 9)}, "reason": "żółć\n"},
        THEN + timedelta(minutes=version),
        actor=rng.choice(["recovery", "provider:stripe", "operator:jörg/shift 2"]),
        request_id=str(rng.getrandbits(32)),
        certificate="main-app",
    )


def checkpoints_over(chains: Sequence[ExportedChain]) -> list[Checkpoint]:
    """The checkpoints that the rows name, as payd would have signed them."""
    made = list[Checkpoint]()
    for number in range(1, CHECKPOINTS + 1):
        heads = HeadsDigest()
        for chain in chains:
            for last in [row for row in chain.rows if row.checkpoint == number][-1:]:
                heads.add(chain.payment_id, Head(version=last.version, hash=last.hash))
        document = checkpoint_document(
            made[-1] if made else None,
            horizon=1000 * number,
            time=THEN + timedelta(hours=number),
            payments=heads.count,
            heads=heads.hex(),
        )
        made.append(checkpoint_of(KEY.signed_line(document)))
    return made


def lines_of(export: bytes) -> list[bytes]:
    """Its lines, with their ends. `bytes.splitlines` would also divide at a carriage return."""
    return [line + b"\n" for line in export.split(b"\n")[:-1]] + [
        rest for rest in export.rpartition(b"\n")[2:] if rest
    ]


# -- damage ----------------------------------------------------------------------------------


def altered(export: bytes, rng: random.Random) -> bytes:
    """With another byte somewhere."""
    position = rng.randrange(len(export))
    return export[:position] + rng.randbytes(1) + export[position + 1 :]


def rewritten(export: bytes, rng: random.Random) -> bytes:
    """With another value in a row, written as payd would write it."""
    lines = lines_of(export)
    number = rng.choice([n for n, line in enumerate(lines) if line.startswith(b'{"actor"')])
    row = json.loads(lines[number])
    row[rng.choice(["actor", "event_type", "create_time", "payment_id"])] = "someone"
    lines[number] = json.dumps(row, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    return b"".join(lines)


def dropped(export: bytes, rng: random.Random) -> bytes:
    """Without one line, or without some that follow one another."""
    lines = lines_of(export)
    start = rng.randrange(len(lines))
    del lines[start : start + rng.choice([1, 1, 1, 2, 10])]
    return b"".join(lines)


def swapped(export: bytes, rng: random.Random) -> bytes:
    """With two lines in each other's place, often neighbours."""
    lines = lines_of(export)
    one = rng.randrange(len(lines) - 1)
    other = rng.choice([one + 1, rng.randrange(len(lines))])
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def inserted(export: bytes, rng: random.Random) -> bytes:
    """With a line more: one of its own, one of another export, or rubbish."""
    lines = lines_of(export)
    more = rng.choice([rng.choice(lines), rng.choice(_FOREIGN), b"\n", b"{}\n", b"[[[\n"])
    lines.insert(rng.randint(0, len(lines)), more)
    return b"".join(lines)


def truncated(export: bytes, rng: random.Random) -> bytes:
    """Without its end."""
    return export[: rng.randrange(len(export))]


_FOREIGN = lines_of(an_export(2, payments=3))
DAMAGES: Sequence[Callable[[bytes, random.Random], bytes]] = (
    *(altered, rewritten, dropped, swapped, inserted, truncated),
)


def first_difference(before: bytes, after: bytes) -> int:
    """The number of the first line that is not the same in both, counted from 1."""
    old, new = lines_of(before), lines_of(after)
    pairs = enumerate(zip(old, new, strict=False), 1)
    return next((n for n, (one, other) in pairs if one != other), min(len(old), len(new)) + 1)
