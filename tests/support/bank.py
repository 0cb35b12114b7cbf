"""Bank transfers in the tests: the example provider `sepa` and the folder of its statements."""

from pathlib import Path

IBAN = "DE89370400440532013000"
_EXAMPLE = Path(__file__).parents[2] / "examples/providers/sepa"


def bank_environment(folder: Path) -> dict[str, str]:
    """Environment of a daemon with the provider, which is installed into `folder`."""
    statements, info = folder / "in", folder / "site" / "payd_sepa_provider-0.1.0.dist-info"
    statements.mkdir()
    info.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: payd-sepa-provider\nVersion: 0.1\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text("[payd]\nsepa = sepa_provider\n")
    return {
        "PYTHONPATH": f"{info.parent}:{_EXAMPLE}",
        "SEPA_ENABLED": "true",
        "SEPA_IBAN": IBAN,
        "SEPA_INSTRUCTIONS_URL": "https://shop.example/pay?reference={reference}&amount={amount}",
        "SEPA_LEDGER_FILE": str(folder / "sepa.sqlite3"),
        "SEPA_STATEMENTS_DIR": str(statements),
    }
