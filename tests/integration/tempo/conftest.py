"""A chain with a daemon that watches it, which a module's tests share; and viem from npm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.tempo.till import Till, open_till
from integration.tempo.viem import VIEM
from support.daemon import Place
from support.npm import install
from support.tempo import Chain, running_chain


@pytest.fixture
def chain(anvil: Path) -> Iterator[Chain]:
    with running_chain(anvil) as running:
        yield running


@pytest.fixture(scope="module")
def till(request: pytest.FixtureRequest, anvil: Path, module_place: Place) -> Iterator[Till]:
    """With the module's own TILL settings, where it has any."""
    settings = getattr(request.module, "TILL", {})
    with running_chain(anvil) as chain, open_till(module_place, chain, **settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def viem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with viem, in which modules put their programs: npm works for some seconds."""
    return install(tmp_path_factory.mktemp("viem"), VIEM)
