"""One daemon with the console for the tests of a module."""

from collections.abc import Iterator

import pytest
from support.console import RunningConsole, running_console
from support.daemon import Place


@pytest.fixture(scope="module")
def console(module_place: Place) -> Iterator[RunningConsole]:
    with running_console(module_place, PAYD_REFUNDS_APPROVAL_FROM="10000") as running:
        yield running
