"""Personal values stand apart from the audit trail, which can be checked and read without them."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from payd.adapters.columns import dumps
from payd.adapters.personal import SALT_BYTES, canonical, commitment, join, part

SALT = bytes(range(SALT_BYTES))
ROW: dict[str, Any] = {
    "id": "0001",
    "customer_id": "user-1",
    "request_hash": "\\x01",
    "return_url": "https://shop.example/ada",
    "cancel_url": "",
    "metadata": {"order": "ada-7"},
    "parameters": {"email": "ada@example.org"},
    "next_action": None,
    "failure_message": None,
    "attention_records": [],
}
REFUND = {
    "id": "0002",
    "amount": 5,
    "destination": "0xada",
    "reason": "ada asked",
    "request_hash": "\\x02",
    "failure_message": None,
    "next_action": {"kind": "redirect", "url": "https://pay.example/ada"},
}
RECEIPT = {"id": "r1", "amount": 5, "details": {"transaction": "0xt", "sender": "0xada"}}
RECORD = {"reason": "UNDERPAID", "note": "ada called", "facts": ["5 of 10"]}


def test_the_first_row_of_a_payment_keeps_what_is_not_personal() -> None:
    parted = part({"row": ROW, "items": [{"position": 0}]}, "", "", SALT)

    assert parted.value == {
        "row": {
            name: ROW[name] for name in ("request_hash", "return_url", "metadata", "parameters")
        }
    }
    assert parted.details["items"] == [{"position": 0}]
    assert parted.details["row"] == ROW | {
        "request_hash": "",
        "return_url": "",
        "metadata": {},
        "parameters": {},
    }
    assert parted.details["personal"]["fields"] == [
        "row.metadata",
        "row.parameters",
        "row.request_hash",
        "row.return_url",
    ]


def test_a_change_keeps_the_transactions_and_amounts_of_what_moved() -> None:
    changes = {
        "version": 2,
        "next_action": REFUND["next_action"],
        "attention_records": [RECORD],
        "failure_message": "ada's card",
    }
    details = {
        "changes": changes,
        "reason": "ada asked",
        "refunds": [REFUND],
        "receipts": [RECEIPT],
        "reports": [7],
    }

    parted = part(details, "203.0.113.7", "10.0.0.7", SALT)

    assert "ada" not in dumps(parted.details)
    assert parted.details["changes"] == {
        "version": 2,
        "next_action": None,
        "attention_records": [RECORD | {"note": ""}],
        "failure_message": "",
    }
    assert parted.details["receipts"] == [RECEIPT | {"details": {"transaction": "0xt"}}]
    assert parted.details["refunds"][0]["amount"] == 5
    assert parted.details["reports"] == [7]
    assert parted.value is not None
    assert parted.value["ip"] == "203.0.113.7"
    assert parted.value["peer"] == "10.0.0.7"
    assert join(parted.details, parted.value) == details


def test_a_row_without_personal_values_says_so() -> None:
    details = {"changes": {"version": 3, "next_action": None}, "receipts": [{"id": "r"}]}
    parted = part(details, "", "", SALT)
    assert parted.value is None
    assert parted.details == details | {"personal": None}
    assert join(parted.details, None) == details


def test_what_was_erased_reads_as_empty() -> None:
    parted = part({"row": ROW, "items": []}, "", "", SALT)
    whole = join(parted.details, None)
    assert whole.keys() == {"row", "items"}
    assert whole["row"]["metadata"] == {}
    assert whole["row"]["customer_id"] == "user-1"


def test_a_row_of_the_previous_version_is_read_as_it_is() -> None:
    details = {"row": ROW, "items": []}
    assert join(details, None) == details


def test_what_is_given_to_part_is_not_changed() -> None:
    details = {"changes": {"attention_records": [RECORD]}, "refunds": [REFUND], "reason": "x"}
    before = json.dumps(details)
    part(details, "", "", SALT)
    assert json.dumps(details) == before


def test_the_commitment_depends_on_the_salt_and_on_each_value() -> None:
    def of(salt: bytes, **more: Any) -> str:
        parted = part({"row": ROW | more, "items": []}, "", "", salt)
        assert parted.value is not None
        mark: str = parted.details["personal"]["commitment"]
        assert mark == commitment(salt, json.loads(dumps(parted.value)))
        return mark

    assert len({of(SALT), of(SALT, return_url="https://x"), of(bytes(SALT_BYTES))}) == 3


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=5))
def test_the_canonical_form_outlives_storage(metadata: dict[str, str]) -> None:
    assert canonical(json.loads(dumps(metadata))) == canonical(metadata)
    assert canonical(dict(reversed(metadata.items()))) == canonical(metadata)
