"""Settings: values that are refused because they would lose money."""

# ruff: noqa: S101 - asserts are what tests are made of

import pytest
from pydantic import ValidationError
from sepa_provider.config import SepaConfig
from sepa_provider.conformance import IBAN

SOUND = {
    "iban": "DE89 3704 0044 0532 0130 00",
    "ledger_file": "ledger.sqlite3",
    "statements_dir": "statements",
}


def test_an_iban_may_be_written_with_spaces() -> None:
    assert SepaConfig.model_validate(SOUND).iban == IBAN


@pytest.mark.parametrize(
    "changed",
    [
        {"iban": "DE89370400440532013001"},
    ],
)
def test_a_setting_that_would_lose_money_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SepaConfig.model_validate({**SOUND, **changed})
