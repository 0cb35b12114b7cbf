"""What an operator may set, under `providers.sepa` or as `SEPA_…`."""

import re
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field

from payd.plugins import Method, ProviderConfig
from sepa_provider.references import compact, has_iban_check

#: What the instructions page may be told.
PLACEHOLDERS = frozenset({"iban", "reference", "amount", "currency"})
#: Without these nobody can pay.
_NEEDED = frozenset({"reference", "amount"})
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def _iban(text: str) -> str:
    """As machines write it. A mistyped one would send all money to somebody else."""
    iban = compact(text)
    if not _IBAN.fullmatch(iban) or not has_iban_check(iban):
        raise ValueError("not an IBAN: its form or its check digits are wrong")
    return iban


def _template(text: str) -> str:
    """A URL whose placeholders we know; the host is not among what they may change."""
    url = urlsplit(text)
    is_local = url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1")
    if not url.hostname or "{" in url.netloc or not (url.scheme == "https" or is_local):
        raise ValueError("an https URL is needed; http for localhost only")
    parts = list(Formatter().parse(text))
    names = {name for _, name, _, _ in parts if name is not None}
    if unknown := names - PLACEHOLDERS:
        raise ValueError(f"unknown placeholders: {sorted(unknown)}")
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise ValueError("a placeholder is a name in braces, and nothing else")
    if missing := _NEEDED - names:
        raise ValueError(f"placeholders are missing: {sorted(missing)}")
    return text


class SepaConfig(ProviderConfig):
    """The settings under `providers.sepa`."""

    #: Our account: where customers send money to, and whose statements count.
    iban: Annotated[str, AfterValidator(_iban)]
    #: The shop's page that tells a customer what to transfer.
    instructions_url: Annotated[str, AfterValidator(_template)]
    #: The open claims and the statement entries, in SQLite. On a local disk: all daemons that run
    #: the provider use this one file.
    ledger_file: Path
    #: Where the bank, or a job, puts statements.
    statements_dir: Path
    #: A transfer takes a bank day, a weekend has none, and a customer has to get round to it.
    expiry_days: int = Field(default=7, ge=1, le=90)
    #: False holds money after closing for a person.
    late_payments_complete: bool = True


def methods_of(config: SepaConfig) -> tuple[Method, ...]:
    """One method: SEPA moves euros."""
    return (
        Method(
            key="sepa",
            display_name="Bank transfer (SEPA)",
            currencies=("EUR",),
            default_expiry=timedelta(days=config.expiry_days),
            late_payments_complete=config.late_payments_complete,
        ),
    )


def instructions_url(config: SepaConfig, reference: str, currency: str, minor_units: int) -> str:
    """The page for one payment. The amount is told as people write it: 149.00."""
    told = {
        "iban": config.iban,
        "reference": reference,
        "amount": f"{minor_units // 100}.{minor_units % 100:02}",
        "currency": currency,
    }
    return config.instructions_url.format(
        **{name: quote(value, safe="") for name, value in told.items()}
    )
