"""The collection of the tests refuses a clock that pytest-trio would not use."""

from pathlib import Path
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

#: The tests' own hooks are registered under this name.
CONFTEST = str(Path(__file__).parents[1] / "conftest.py")


class Hook:
    """The one hook of the tests that is tried here."""

    def __init__(self, config: pytest.Config) -> None:
        self._of_the_tests = config.pluginmanager.get_plugin(CONFTEST)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        assert self._of_the_tests is not None
        self._of_the_tests.pytest_itemcollected(item)


FIXTURES = """
    import pytest

    @pytest.fixture
    def other():
        pass

    @pytest.fixture
    def patient(autojump_clock):
        pass
"""


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        pytest.param(
            """
            async def test_clock(autojump_clock, other): ...
            async def test_mock(mock_clock): ...
            async def test_none(other): ...
            """,
            pytest.ExitCode.OK,
            id="in the test's own arguments, or not at all",
        ),
        pytest.param(
            "async def test(patient): ...", pytest.ExitCode.USAGE_ERROR, id="by a fixture"
        ),
        pytest.param(
            "@pytest.mark.usefixtures('mock_clock')\nasync def test(): ...",
            pytest.ExitCode.USAGE_ERROR,
            id="by a mark",
        ),
    ],
)
def test_a_clock_is_asked_for(
    pytester: pytest.Pytester,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    tests: str,
    code: pytest.ExitCode,
) -> None:
    # Of all the plugins that are installed, only that of the clocks.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(dedent(FIXTURES) + dedent(tests))
    options = ("--collect-only", "-q", "-p", "pytest_trio.plugin")
    ran = pytester.inline_run(*options, plugins=[Hook(pytestconfig)])
    assert ran.ret == code
