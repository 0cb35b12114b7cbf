"""One headless Chromium and one `payd dev` for all of these tests."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.dev_process import running_dev, state_folder
from support.dev_site import DevSite

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def dev(request: pytest.FixtureRequest) -> Iterator[DevSite]:
    """With the example's shop, the console, and the local chain where there can be one."""
    environment = {"TEMPO_ENABLED": "false", "PAYD_REFUNDS_APPROVAL_FROM": "10000"}
    with contextlib.suppress(pytest.skip.Exception):
        anvil: Path = request.getfixturevalue("anvil")
        path = f"{anvil.parent}{os.pathsep}{os.environ['PATH']}"
        environment |= {"TEMPO_ENABLED": "true", "PATH": path}
    with (
        state_folder() as state,
        running_dev(state, "--ephemeral", "--with-example", **environment) as (process, addresses),
    ):
        yield DevSite(state=state, process=process, addresses=addresses)
