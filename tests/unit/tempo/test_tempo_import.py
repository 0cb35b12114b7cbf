"""What loading the wheel's libraries does to the process that they are loaded into."""

import subprocess
import sys

from packaging.specifiers import SpecifierSet
from tempo_provider import MANIFEST

from payd.plugins import SDK_VERSION


def test_deep_json_ends_in_an_error_and_not_the_process() -> None:
    """A library of web3's lifts Python's recursion limit to where C has no stack left."""
    script = """
import json, trio
from payd import telemetry
from payd.adapters.system import SystemClock
from payd.providers.discovery import EnabledPlugin
from payd.providers.loader import FailureMode, open_providers

settings = {"chain_id": 42431, "rpc_url": "http://127.0.0.1:9"}
settings["receiver_address"] = "0x" + "11" * 20
plugin = EnabledPlugin(name="tempo", settings=settings, secrets={"tempo_memo_key": ("key",)})

async def main():
    async with open_providers(
        [plugin], environment="test", clock=SystemClock(), failure_mode=FailureMode.STRICT,
        log_of=telemetry.get_logger, random=lambda: 0.5,
    ):
        try:
            json.loads("[" * 100_000)
        except RecursionError:
            print("refused")

telemetry.configure_logging("critical", "json")
trio.run(main)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert ended.stdout.strip() == "refused", f"ended with {ended.returncode}: {ended.stderr}"


def test_a_payd_without_sponsors_of_fees_refuses_the_wheel_by_its_version() -> None:
    """The wheel names a sponsor in its tokens, which an older SDK does not know."""
    assert not SpecifierSet(MANIFEST.sdk).contains("1.4")
    assert SpecifierSet(MANIFEST.sdk).contains(SDK_VERSION)
