"""Settings under `providers.sepa`, or as `SEPA_…` in the environment."""

import re
from datetime import timedelta
from pathlib import Path
from string import Formatter
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field

from payd.plugins import Method, ProviderConfig, currency_exponent, format_units
from sepa_provider.references import compact, has_iban_check

#: Placeholders that `instructions_url` may contain.
PLACEHOLDERS = frozenset({"iban", "reference", "amount", "currency"})
#: Placeholders that a customer needs to pay.
_NEEDED = frozenset({"reference", "amount"})
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def checked_iban(text: str) -> str:
    """Normalize an IBAN. Raises ValueError for a mistyped one: its money would go to a stranger."""
    iban = compact(text)
    if not _IBAN.fullmatch(iban) or not has_iban_check(iban):
        raise ValueError("not an IBAN: its form or its check digits are wrong")
    return iban


def _template(text: str) -> str:
    """Check a URL template: only known placeholders, and none of them in the host."""
    url = urlsplit(text)
    is_local = url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1")
    if not url.hostname or "{" in url.netloc or not (url.scheme == "https" or is_local):
        raise ValueError("use an https URL; http is allowed for localhost only")
    parts = list(Formatter().parse(text))
    names = {name for _, name, _, _ in parts if name is not None}
    if unknown := names - PLACEHOLDERS:
        raise ValueError(f"unknown placeholders: {sorted(unknown)}")
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise ValueError("write a placeholder as a name in braces, without a format")
    if missing := _NEEDED - names:
        raise ValueError(f"placeholders are missing: {sorted(missing)}")
    return text


class SepaConfig(ProviderConfig):
    """Settings under `providers.sepa`."""

    iban: Annotated[str, AfterValidator(checked_iban)] = Field(
        description=(
            "IBAN of the account that receives the transfers; use a dedicated one, as every "
            "credit on it is reported to payd."
        )
    )
    instructions_url: Annotated[str, AfterValidator(_template)] = Field(
        description=(
            "URL of the shop's page with the transfer details, with {reference}, {amount} "
            "and optionally {iban}, {currency}."
        )
    )
    ledger_file: Path = Field(
        description=(
            "SQLite file with the claims and the entries; on a local disk, and in your "
            "backups. All daemons that run the provider share it."
        )
    )
    statements_dir: Path = Field(
        description="Folder into which the bank, or a job, puts statements."
    )
    expiry_days: int = Field(
        default=7,
        ge=1,
        le=90,
        description=(
            "Days until a payment expires. A transfer takes a bank day, and weekends have none."
        ),
    )
    late_payments_complete: bool = Field(
        default=True,
        description=(
            "Whether money that arrives after closing completes the payment; if not, an "
            "operator decides."
        ),
    )


def methods_of(config: SepaConfig) -> tuple[Method, ...]:
    """Offer one method, in EUR: SEPA transfers are in euros."""
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
    """Build the page's URL for one payment, with the amount in decimal form: 149.00."""
    values = {
        "iban": config.iban,
        "reference": reference,
        "amount": format_units(minor_units, currency_exponent(currency)),
        "currency": currency,
    }
    return config.instructions_url.format(
        **{name: quote(value, safe="") for name, value in values.items()}
    )
