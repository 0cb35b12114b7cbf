"""Every configuration with a mistake stops the start: it names the key, exits 78, and says nothing
secret."""

import os
import random
import time
from pathlib import Path

import attrs
import pytest
from support.config_mutations import Mutation, mutations
from support.forks import run_payd

PRICES = Path(__file__).parents[3] / "config" / "pricing.yaml"
CAMPAIGN_S = 1.0


@attrs.frozen(kw_only=True)
class End:
    """How `payd serve` ended."""

    code: int
    said: str
    seconds: float


def serve(mutation: Mutation, folder: Path) -> End:
    """The real process, to its end."""
    file = folder / "payd.yaml"
    file.write_text(mutation.yaml)
    environment = {
        "PATH": os.environ["PATH"],
        "PAYD_CONFIG": str(file),
        "PRICING_FILE": str(PRICES),
        "GRPC_PORT": "0",
        "HTTP_PORT": "0",
        "METRICS_PORT": "0",
        **mutation.environment,
    }
    began = time.monotonic()
    ended = run_payd("serve", env=environment)
    return End(
        code=ended.returncode,
        said=ended.stdout + ended.stderr,
        seconds=time.monotonic() - began,
    )


def all_mutations(pki: Path) -> list[Mutation]:
    (pki / "password").write_text("canary-file")
    return mutations(pki)


def assert_refused(mutation: Mutation, end: End) -> None:
    assert end.code == 78, (mutation, end)
    assert mutation.key in end.said, (mutation, end)
    assert "canary" not in end.said, (mutation, end)
    assert "Traceback" not in end.said, (mutation, end)
    assert "daemon_started" not in end.said, (mutation, end)


def test_there_are_more_than_two_hundred_mistakes(pki: Path) -> None:
    names = [mutation.name for mutation in all_mutations(pki)]
    assert len(names) == len(set(names)) >= 200


def test_a_dozen_mistakes_of_them_all_stop_the_start(pki: Path, tmp_path: Path) -> None:
    for mutation in random.Random(2).sample(all_mutations(pki), 12):
        assert_refused(mutation, serve(mutation, tmp_path))


@pytest.mark.campaign
def test_every_mistake_stops_the_start_within_a_second(pki: Path, tmp_path: Path) -> None:
    seconds = []
    for mutation in all_mutations(pki):
        end = serve(mutation, tmp_path)
        assert_refused(mutation, end)
        seconds.append((end.seconds, mutation.name))
    assert max(seconds)[0] < CAMPAIGN_S, sorted(seconds)[-5:]
