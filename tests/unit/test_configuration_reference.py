"""docs/configuration.md is what the settings say."""

from pathlib import Path

from acme_provider import MANIFEST as ACME
from click.testing import CliRunner
from sepa_provider import MANIFEST as SEPA

from payd.cli.main import main
from payd.cli.reference import reference, settings_table
from payd.config import SETTINGS
from payd.providers.discovery import manifest_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"


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


def test_each_setting_of_a_provider_says_what_it_means() -> None:
    for manifest in (*map(manifest_of, ("stripe", "tempo", "mock")), ACME, SEPA):
        fields = manifest.config_model.model_fields
        assert not [name for name, field in fields.items() if not field.description]


def test_the_table_of_an_example_is_not_stale() -> None:
    readme = (ROOT / "examples/providers/sepa/README.md").read_text()
    assert settings_table(SEPA) in readme, f"put this there:\n{settings_table(SEPA)}"


def test_a_command_prints_the_table_of_an_installed_provider() -> None:
    done = CliRunner().invoke(main, ["config", "reference", "--provider", "tempo"])
    assert done.output.strip() == settings_table(manifest_of("tempo"))
    assert done.output.strip() in PAGE.read_text()
    unknown = CliRunner().invoke(main, ["config", "reference", "--provider", "nobody"])
    assert unknown.exit_code == 2
    assert "nobody" in unknown.output


def test_it_is_the_same_each_time() -> None:
    assert reference() == reference()
