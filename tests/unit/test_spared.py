"""The daemon does not load what libraries import for functions that payd does not use."""

import subprocess
import sys

import pytest

from payd.spared import without

#: Packages that are installed, and that a daemon uses only where they are configured, or never.
UNUSED = {"aiohttp", "hvac", "redis", "rich", "stripe", "web3"}


def test_the_daemon_loads_no_package_that_it_does_not_use() -> None:
    code = "import sys, payd.nursery; print(*{name.partition('.')[0] for name in sys.modules})"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert not UNUSED & set(result.stdout.split())


def test_what_was_spared_can_be_imported_afterwards() -> None:
    name = "colorsys"
    sys.modules.pop(name, None)

    with pytest.raises(ModuleNotFoundError), without(name):
        __import__(name)

    assert __import__(name) is sys.modules[name]


def test_what_is_loaded_stays() -> None:
    with without("subprocess"):
        assert __import__("subprocess") is subprocess
