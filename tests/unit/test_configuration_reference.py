"""docs/configuration.md is what the settings say."""

from pathlib import Path

from payd.cli.reference import reference
from payd.config import SETTINGS
from payd.providers.loader import manifest_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == reference(), "run: make reference"


def test_every_setting_variable_and_secret_is_on_the_page() -> None:
    page = PAGE.read_text()
    for setting in SETTINGS:
        assert f"`{setting.key}`" in page
        assert f"`{setting.env}`" in page
        assert setting.kind != "secret" or f"`{setting.env}_FILE`" in page
    for provider in ("stripe", "tempo", "mock"):
        for credential in manifest_of(provider).credentials:
            assert f"`{credential}`" in page


def test_it_is_the_same_each_time() -> None:
    assert reference() == reference()
