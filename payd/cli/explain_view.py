"""Print an explanation of a payment: the answer first, then its steps, then what to do."""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import click

from payd.cli import render

#: Columns of text in a pipe, and at most on a terminal: longer lines are hard to read.
_WIDTH = 100

Json = Mapping[str, Any]


def explanation(document: Json, options: str = "") -> None:
    """Print an explanation, given as proto3 JSON.

    Its commands begin with the program's name as it was typed, and have `options`, so that they can
    be copied.
    """
    width = min(shutil.get_terminal_size().columns, _WIDTH) if sys.stdout.isatty() else _WIDTH
    for line in lines(document, width, render.program(), options):
        click.echo(line)


def lines(
    document: Json, width: int = _WIDTH, program: str = "payd", options: str = ""
) -> Iterator[str]:
    """The lines of an explanation. Words are never broken: people copy ids and commands."""
    yield from _wrapped(document["summary"], width)
    yield ""
    yield f"{_dim('status     ')}  {render.status(document['status'])}"
    waiting = document["waiting_for"]
    actor = waiting["actor"].removeprefix("WAITING_FOR_ACTOR_").lower()
    yield from _wrapped(f"{_dim('waiting for')}  {actor}: {waiting['what']}", width, 13)
    if "next_look_time" in document:
        yield f"{_dim('next look  ')}  {_time(document['next_look_time'])}"
    left_out = document["steps_left_out"]
    if left_out:
        yield ""
        yield f"… {left_out} earlier {'step' if left_out == 1 else 'steps'} left out"
    for step in document["steps"]:
        yield ""
        yield from _step(step, width)
    if document["advice"]:
        yield ""
        yield click.style("What to do", bold=True)
    for advice in document["advice"]:
        yield from _wrapped(f"- {advice['text']}", width, 2)
        if advice["command"]:
            _, _, words = advice["command"].partition(" ")
            yield f"    {click.style(f'{program} {words}{options}', fg='cyan')}"


def _step(step: Json, width: int) -> Iterator[str]:
    yield f"{click.style(_time(step['time']), bold=True)}  {step['actor']}"
    yield from _wrapped(f"  {step['what']}", width, 2)
    if step["because"]:
        yield from _wrapped(f"  {_dim('why:')} {step['because']}", width, 7)
    yield from _wrapped(f"  {_dim('from:')} {step['source']}", width, 8)
    for change in step["changes"]:
        before = f"{change['before']} → " if change["before"] else ""
        yield f"    {_dim(change['field'])} {before}{change['after'] or 'none'}"


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _dim(text: str) -> str:
    return click.style(text, dim=True)


def _time(text: str) -> str:
    """`2026-11-23 12:30:00.125 UTC` from a proto3 JSON time; milliseconds only if there are any."""
    found = re.fullmatch(r"(\S+)T([\d:]+)(?:\.(\d{1,3})\d*)?Z", text)
    if found is None:
        return text
    date, time, fraction = found.groups()
    return f"{date} {time}{f'.{fraction}' if fraction else ''} UTC"
