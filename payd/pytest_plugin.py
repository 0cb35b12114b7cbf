"""pytest plugin of the conformance kit: a report after the run, and `--payd-report` for files.

pytest loads it in every environment that has payd, so it imports the kit only after a kit run.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from payd.plugins.testing.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--payd-report`."""
    group = parser.getgroup("payd", "payd's conformance kit")
    group.addoption(
        "--payd-report",
        type=Path,
        metavar="FOLDER",
        help="Write each provider's conformance report to FOLDER/NAME.json.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the collector of verdicts."""
    config.pluginmanager.register(_Verdicts(config.getoption("--payd-report")), "payd-verdicts")


class _Verdicts:
    """Collects the kit's verdicts of this session and reports them at its end."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._items: list[pytest.Item] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._items.append(item)
        yield

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for report in self._reports():
            terminalreporter.section("payd conformance")
            terminalreporter.write_line(report.as_text())
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{report.provider}.json"
                path.write_text(json.dumps(report.as_json(), indent=2) + "\n")
                terminalreporter.write_line(f"written to {path}")

    def _reports(self) -> "list[Report]":
        import sys

        # A test with a verdict has imported the kit.
        if "payd.plugins.testing.certify" not in sys.modules:
            return []
        from payd.plugins.testing.certify import reports_of

        return reports_of(self._items)
