"""Bank transfers in the tests: the example provider `sepa` and the folder of its statements."""

from pathlib import Path

from support.site import install

IBAN = "DE89370400440532013000"
_EXAMPLE = Path(__file__).parents[2] / "examples/providers/sepa"


def bank_environment(folder: Path) -> dict[str, str]:
    """Environment of a daemon with the provider, which is installed into `folder`."""
    statements, site = folder / "in", folder / "site"
    statements.mkdir()
    install(site, "sepa", "sepa_provider")
    return {
        "PYTHONPATH": f"{site}:{_EXAMPLE}",
        "SEPA_ENABLED": "true",
        "SEPA_IBAN": IBAN,
        "SEPA_LEDGER_FILE": str(folder / "sepa.sqlite3"),
        "SEPA_STATEMENTS_DIR": str(statements),
    }
