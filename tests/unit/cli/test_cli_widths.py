"""A table never shortens a value: on a terminal of any width, and in a pipe."""

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from payd.cli import render

ID = "2b9b9c6e-6f0c-5b1c-9a36-0d9ad5b6a1f7"
ADDRESS = "0x20c0000000000000000000000000000000000001"
ROWS = [
    (ID, ADDRESS, "92233720368547758.07 USD", "[DISPUTED] by :warning:"),
    (ID.replace("2b", "3c"), ADDRESS, "149.000000 USDC", "—"),
]
PROGRAM = f"""
from payd.cli import render
render.table(("payment", "asset", "amount", "said"), {ROWS!r})
"""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(columns: int) -> list[str]:
    """The lines that are written to a terminal of this width."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={"PATH": os.environ["PATH"], "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        """Linux's way to say that nobody writes any more."""
    os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    return [_COLOURS.sub("", line) for line in shown.decode().splitlines()]


def in_a_pipe() -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()


@pytest.mark.parametrize("columns", [40, 80, 132, 400])
def test_every_value_is_there_in_one_piece_on_a_terminal(columns: int) -> None:
    lines = on_a_terminal(columns)
    assert all(any(value in line for line in lines) for row in ROWS for value in row)


def test_every_value_is_there_in_one_piece_in_a_pipe_and_a_row_is_a_line() -> None:
    lines = in_a_pipe()
    for row in ROWS:
        [line] = [line for line in lines if row[0] in line]
        assert all(value in line for value in row)


@pytest.mark.parametrize("columns", [40, 80])
def test_where_a_table_is_too_wide_each_row_is_a_block_with_names(columns: int) -> None:
    lines = on_a_terminal(columns)
    assert [line for line in lines if line.startswith("amount")] == [
        "amount   92233720368547758.07 USD",
        "amount   149.000000 USDC",
    ]


TOKENS = {ADDRESS: ("USDC", 6)}


@pytest.mark.parametrize(
    ("asset", "units", "shown"),
    [
        ("USD", 14900, "149.00 USD"),
        ("JPY", 1500, "1500 JPY"),
        ("KWD", -7, "-0.007 KWD"),
        (ADDRESS, 149_000_000, "149.000000 USDC"),
        (ADDRESS, -1, "-0.000001 USDC"),
        (ADDRESS.upper().replace("X", "x"), 1, "0.000001 USDC"),
        ("0x" + "1" * 40, 7, "7 base units"),
    ],
)
def test_units_of_an_asset_are_shown_in_its_currency(asset: str, units: int, shown: str) -> None:
    assert render.units(asset, units, TOKENS) == shown
