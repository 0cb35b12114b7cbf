"""docs/provider-contract.md has the limits, errors, protocols and capabilities of the code."""

import re
from pathlib import Path

import attrs

from payd.domain import evidence, text
from payd.plugins import capabilities, errors, interface, refunding, sponsoring
from payd.providers import breaker, calls, fence, lifecycle, loop_monitor, watching

PAGE = (Path(__file__).parents[3] / "docs/provider-contract.md").read_text()
MODULES = (evidence, text, interface, breaker, calls, fence, lifecycle, loop_monitor, watching)


def first_column(head: str) -> set[str]:
    """Names in the first column of the table whose first heading is `head`."""
    table = PAGE.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    return {
        name
        for line in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)", line.split("|")[1])
    }


def test_each_limit_has_the_value_of_the_code() -> None:
    written = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert len(written) > 10
    for name, value in written.items():
        known = {getattr(module, name) for module in MODULES if hasattr(module, name)}
        assert known == {float(value)}, name


def test_each_error_and_protocol_is_on_the_page() -> None:
    known = {cls.__name__ for cls in errors.ProviderError.__subclasses__()}
    public = {name for name in known if hasattr(errors, name)}
    assert first_column("Error") == public
    public = {*vars(interface), *vars(refunding), *vars(sponsoring)}
    assert first_column("Protocol") == {name for name in public if name.startswith("Supports")}


def test_each_capability_and_part_of_the_manifest_is_on_the_page() -> None:
    assert first_column("Capability") == {a.name for a in attrs.fields(capabilities.Capabilities)}
    refunds = {a.name for a in attrs.fields(capabilities.RefundCapabilities)}
    assert first_column("Part of `RefundCapabilities`") == refunds
    assert first_column("Part") == {a.name for a in attrs.fields(interface.ProviderManifest)}
