"""The explanation of each situation is the text that a person has read and found good.

The texts stand in explained.txt. After a wanted change of the sentences write the file anew with
PAYD_WRITE_EXPLAINED=1, and read what has changed as a person on call would.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import click
import pytest
import trio
from unit.service.situations import SITUATIONS

from payd.cli import explain_view, render
from payd.codec.explanations import explanation_message

FILE = Path(__file__).with_name("explained.txt")
HEADING = "=== "

# Each adds its situations.
import_module("unit.service.situations_of_ends")
import_module("unit.service.situations_of_money_back")
import_module("unit.service.situations_after_money_back")


async def _explained(name: str) -> str:
    """The text of `payd explain` in a situation."""
    world = SITUATIONS[name].make()
    payment = await SITUATIONS[name].play(world)
    found = await world.explains.explain(payment.id, None)
    document = render.message_json(explanation_message(found))
    return click.unstyle("\n".join(explain_view.lines(document)))


def _texts() -> Mapping[str, str]:
    """Situation → its text in the file."""
    parts = FILE.read_text().split(HEADING)[1:]
    return {name: text.strip("\n") for name, _, text in (part.partition("\n") for part in parts)}


def _write() -> None:
    texts = [f"{HEADING}{name}\n\n{trio.run(_explained, name)}\n" for name in SITUATIONS]
    FILE.write_text("\n".join(texts))


if os.environ.get("PAYD_WRITE_EXPLAINED"):
    _write()


def test_the_file_has_every_situation() -> None:
    assert list(_texts()) == list(SITUATIONS)
    assert len(SITUATIONS) >= 40


@pytest.mark.parametrize("name", SITUATIONS)
async def test_a_situation_is_explained_as_written(name: str) -> None:
    assert await _explained(name) == _texts()[name]
