"""docs/providers.md names every member of a Remote and every fault."""

import re
from pathlib import Path

from payd.plugins.testing import Fault, Remote

PAGE = (Path(__file__).parents[3] / "docs/providers.md").read_text()


def first_column(head: str) -> set[str]:
    """Names in the first column of the table whose first heading is `head`."""
    table = PAGE.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    return {
        name
        for line in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)", line.split("|")[1])
    }


def test_each_member_of_a_remote_is_on_the_page() -> None:
    members = {name for name in vars(Remote) if not name.startswith("_")}
    named = first_column("Member of `Remote`") | first_column("Of `Remote`, for these checks")
    assert members - named == set()


def test_each_fault_is_on_the_page() -> None:
    assert first_column("Fault") == {fault.name for fault in Fault}
