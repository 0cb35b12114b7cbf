"""Settings under `providers.sepa`, or as `SEPA_…` in the environment."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from payd.plugins import Method, ProviderConfig
from sepa_provider.references import compact, has_iban_check

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")


def checked_iban(text: str) -> str:
    """Normalize an IBAN. Raises ValueError for a mistyped one: its money would go to a stranger."""
    iban = compact(text)
    if not _IBAN.fullmatch(iban) or not has_iban_check(iban):
        raise ValueError("not an IBAN: its form or its check digits are wrong")
    return iban


class SepaConfig(ProviderConfig):
    """Settings under `providers.sepa`."""

    iban: Annotated[str, AfterValidator(checked_iban)] = Field(
        description=(
            "IBAN of the account that receives the transfers; use a dedicated one, as every "
            "credit on it is reported to payd."
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
