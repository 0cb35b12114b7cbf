"""The memo: one form of 32 bytes, which cannot be made without the key."""

from uuid import UUID

import pytest
from tempo_provider.memo import memo_of, reference_of, spellings

KEY = "a key of the operator's"
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
BARE = ID.hex
ZEROS = "0" * 32


def test_a_memo_is_32_bytes_of_hex_in_lower_case() -> None:
    memo = memo_of(ID, KEY)
    assert memo.startswith("0x")
    assert len(bytes.fromhex(memo[2:])) == 32
    assert memo == memo.lower()


def test_a_payment_and_a_key_have_one_memo() -> None:
    assert memo_of(ID, KEY) == memo_of(UUID(str(ID)), KEY)


def test_the_memo_is_the_same_in_every_release() -> None:
    """Memos are shown to customers: another form would leave their money without a payment."""
    assert memo_of(UUID(int=1), "key") == (
        "0x00000000000000000000000000000001" + "0813ed8c412254fce864286a462d7cea"
    )


def test_a_memo_begins_with_its_payment() -> None:
    assert memo_of(ID, KEY)[2:34] == BARE


def test_the_memo_refers_to_itself() -> None:
    memo = memo_of(ID, KEY)
    assert reference_of(memo) == memo


def test_another_payment_has_another_mac() -> None:
    assert memo_of(ID, KEY)[34:] != memo_of(UUID(int=ID.int + 1), KEY)[34:]


def test_without_the_key_nobody_finds_the_mac() -> None:
    assert memo_of(ID, KEY) != memo_of(ID, KEY + " ")


def test_a_forged_mac_names_no_payment() -> None:
    """It is no stored memo, and it is not the bare id either."""
    memo = memo_of(ID, KEY)
    forged = memo[:-1] + ("0" if memo[-1] != "0" else "1")
    assert reference_of(forged) == forged
    assert reference_of(forged) not in (memo, str(ID))


def test_a_new_key_leaves_the_memos_of_old_payments_alone() -> None:
    """What was made is found by equality: reading a memo asks for no key."""
    shown = memo_of(ID, KEY)
    assert memo_of(ID, "the next key") != shown
    assert reference_of(shown) == shown


@pytest.mark.parametrize(
    "memo", [f"0x{BARE}{ZEROS}", f"0x{ZEROS}{BARE}"], ids=["padded right", "padded left"]
)
def test_a_bare_id_names_its_payment_however_the_wallet_padded_it(memo: str) -> None:
    assert reference_of(memo) == str(ID)


def test_zeros_name_nothing() -> None:
    assert reference_of("0x" + "0" * 64) == ""


@pytest.mark.parametrize(
    "text",
    [
        b"INV-2026-0001".ljust(32, b"\0"),
        b"INV-2026-0001".rjust(32, b"\0"),
        b"an invoice number of some length",
        bytes(15) + b"\1" + bytes(15) + b"\1",
        b"\xff" * 32,
    ],
    ids=["text on the left", "text on the right", "text", "ambiguous", "ones"],
)
def test_whatever_else_a_customer_writes_is_read_and_names_no_payment_of_ours(text: bytes) -> None:
    reference = reference_of("0x" + text.hex())
    assert reference
    assert reference not in (str(ID), memo_of(ID, KEY))


def test_an_id_that_is_zeros_on_one_side_is_read_in_one_way() -> None:
    """8 zero bytes in the middle are not a padding."""
    odd = UUID(int=0x1234 << 64)
    assert reference_of(f"0x{odd.hex}{ZEROS}") == str(odd)
    assert reference_of(f"0x{ZEROS}{odd.hex}") == str(odd)


def test_every_spelling_of_a_payment_leads_to_it() -> None:
    memo = memo_of(ID, KEY)
    exact, *bare = spellings(memo)
    assert exact == memo
    assert {reference_of(one) for one in bare} == {str(ID)}
    assert len({exact, *bare}) == 3
