"""The memo: text that a person can type, that nobody makes without the key, and mistakes in it."""

import random
import string
from collections.abc import Iterator
from uuid import UUID

import pytest
from tempo_provider.memo import Corrections, memo_of, reference_of
from tempo_provider.refund_memo import refund_memo_of
from tempo_provider.typed_memo import ALPHABET

KEY = "a key of the operator's"
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
BARE = ID.hex
ZEROS = "0" * 32
MEMO = memo_of(ID, KEY)
#: The memo of this payment in the form of earlier releases: 16 bytes of id and 16 of a MAC.
OLD_MEMO = f"0x{BARE}0813ed8c412254fce864286a462d7cea"
#: Every character that a keyboard has.
KEYS = string.ascii_letters + string.digits + string.punctuation + " "


def text_of(memo: str) -> str:
    return bytes.fromhex(memo[2:]).decode()


def typed(text: str) -> str:
    """The memo of a wallet that pads text on the right."""
    return "0x" + text.encode().ljust(32, b"\0").hex()


TEXT = text_of(MEMO)


# -- the form ------------------------------------------------------------------------------------


def test_a_memo_is_text_that_fills_all_32_bytes() -> None:
    assert len(TEXT) == 32
    assert set(TEXT) <= set(ALPHABET)
    assert typed(TEXT) == MEMO == MEMO.lower()


def test_a_payment_and_a_key_have_one_memo() -> None:
    assert memo_of(ID, KEY) == memo_of(UUID(str(ID)), KEY)


def test_the_memo_is_the_same_in_every_release() -> None:
    """Memos are shown to customers: another form would leave their money without a payment."""
    assert text_of(memo_of(UUID(int=1), "key")) == "80000000000000000000000001" + "43J4HY"


def test_a_memo_of_a_payment_is_never_one_of_a_refund() -> None:
    assert refund_memo_of(ID, "0x" + "cd" * 20, KEY)[:4] != MEMO[:4]


def test_another_payment_has_another_mac() -> None:
    assert TEXT[26:] != text_of(memo_of(UUID(int=ID.int + 1), KEY))[26:]


def test_without_the_key_nobody_finds_the_mac() -> None:
    assert memo_of(ID, KEY + " ") != MEMO


# -- what it refers to ---------------------------------------------------------------------------


def test_the_memo_refers_to_itself() -> None:
    assert reference_of(MEMO) == MEMO


def test_a_new_key_leaves_the_memos_of_old_payments_alone() -> None:
    """What was made is found by equality: reading a memo asks for no key."""
    assert memo_of(ID, "the next key") != MEMO
    assert reference_of(MEMO) == MEMO


@pytest.mark.parametrize(
    "text",
    [TEXT.lower(), TEXT.capitalize(), TEXT.swapcase(), TEXT.replace("0", "O")],
    ids=["lower", "capitalized", "swapped", "O for 0"],
)
def test_the_memo_is_read_as_a_person_types_it(text: str) -> None:
    assert reference_of(typed(text)) == MEMO


def test_letters_that_look_like_digits_are_read_as_digits() -> None:
    ones = memo_of(UUID(int=sum(1 << 5 * place for place in range(20))), KEY)
    text = text_of(ones)
    assert text.count("1") >= 20
    for alike in "iIlL":
        assert reference_of(typed(text.replace("1", alike))) == ones


def test_a_memo_of_an_earlier_release_refers_to_itself() -> None:
    assert reference_of(OLD_MEMO) == OLD_MEMO


@pytest.mark.parametrize(
    "memo",
    [f"0x{BARE}{ZEROS}", f"0x{ZEROS}{BARE}", typed(BARE), typed(BARE.upper())],
    ids=["padded right", "padded left", "as text", "as text in upper case"],
)
def test_a_bare_id_names_its_payment(memo: str) -> None:
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
        "\N{LATIN SMALL LETTER LONG S}".encode() * 16,
    ],
    ids=["text on the left", "text on the right", "text", "ambiguous", "ones", "beyond ASCII"],
)
def test_whatever_else_a_customer_writes_is_read_and_names_no_payment_of_ours(text: bytes) -> None:
    reference = reference_of("0x" + text.hex())
    assert reference
    assert reference not in (str(ID), MEMO)


def test_an_id_that_is_zeros_on_one_side_is_read_in_one_way() -> None:
    """8 zero bytes in the middle are not a padding."""
    odd = UUID(int=0x1234 << 64)
    assert reference_of(f"0x{odd.hex}{ZEROS}") == str(odd)
    assert reference_of(f"0x{ZEROS}{odd.hex}") == str(odd)


# -- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(32))
def test_no_other_character_at_any_place_names_the_payment(place: int) -> None:
    same = {TEXT[place], TEXT[place].lower()}
    same |= {"0": set("oO"), "1": set("iIlL")}.get(TEXT[place], set())
    for key in set(KEYS) - same:
        assert reference_of(typed(TEXT[:place] + key + TEXT[place + 1 :])) not in (MEMO, str(ID))


def mistakes(text: str, dice: random.Random) -> Iterator[str]:
    """One mistake of each kind at each place."""
    for at in range(32):
        yield text[:at] + dice.choice(KEYS) + text[at + 1 :]
        yield text[:at] + text[at + 1 :]
    for at in range(31):
        yield text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    yield from (text[1:] + " ", " " + text[:31], text[:16] + " " + text[16:31])


def test_no_mistake_in_one_of_a_thousand_memos_names_another_payment() -> None:
    _name_no_other(1_000)


@pytest.mark.campaign
def test_no_mistake_in_one_of_a_hundred_thousand_memos_names_another_payment() -> None:
    _name_no_other(100_000)


def _name_no_other(count: int) -> None:
    dice = random.Random(19)
    ids = [UUID(int=0x01890A5D << 96 | dice.getrandbits(96)) for _ in range(count)]
    memos = {memo_of(one, KEY): one for one in ids}
    names = {str(one) for one in ids}
    for memo in memos:
        for text in mistakes(text_of(memo), dice):
            reference = reference_of(typed(text))
            assert reference not in names
            if reference in memos:
                alike = text.upper().translate(str.maketrans("OIL", "011"))
                assert (reference, alike) == (memo, text_of(memo))


# -- the advice ----------------------------------------------------------------------------------


def meant(memo: str, *keys: str) -> UUID | None:
    return Corrections(keys or (KEY,)).meant_payment(memo)


@pytest.mark.parametrize("place", range(32))
def test_one_mistake_at_any_place_is_corrected_in_the_advice(place: int) -> None:
    other = "7" if TEXT[place] != "7" else "8"
    for wrong in (other, "-", ""):
        assert meant(typed(TEXT[:place] + wrong + TEXT[place + 1 :])) == ID


@pytest.mark.parametrize("place", [at for at in range(31) if TEXT[at] != TEXT[at + 1]])
def test_swapped_characters_are_corrected_in_the_advice(place: int) -> None:
    assert (
        meant(typed(TEXT[:place] + TEXT[place + 1] + TEXT[place] + TEXT[place + 2 :]).lower()) == ID
    )


def test_a_missing_character_is_found_whichever_side_the_wallet_pads() -> None:
    assert meant("0x" + TEXT[1:].encode().rjust(32, b"\0").hex()) == ID


def test_a_memo_of_any_valid_key_is_corrected() -> None:
    wrong = typed("9" + TEXT[1:])
    assert meant(wrong, "the next key", KEY) == ID
    assert meant(wrong, "the next key") is None


@pytest.mark.parametrize(
    "memo",
    [
        MEMO,
        typed(TEXT.lower()),
        OLD_MEMO,
        typed(BARE),
        typed(TEXT[:30]),
        typed("77" + TEXT[2:]) if TEXT[:2] != "77" else "",
        typed("an invoice number of some length"),
        refund_memo_of(ID, "0x" + "cd" * 20, KEY),
        "0x" + "0" * 64,
    ],
    ids=["right", "lower", "old", "an id", "short", "two", "other text", "a refund's", "zeros"],
)
def test_without_exactly_one_mistake_there_is_no_advice(memo: str) -> None:
    assert meant(memo) is None


def test_between_two_payments_payd_does_not_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two payments are so alike by chance: without a MAC they are."""
    monkeypatch.setattr("tempo_provider.memo._mac", lambda payment_id, key: "AAAAAA")
    assert meant(typed(TEXT[:25] + "AAAAAA")) is None


def test_a_flood_of_wrong_memos_gets_a_bounded_number_of_searches() -> None:
    corrections = Corrections((KEY,))
    wrong = typed("9" + TEXT[1:])
    found = [corrections.meant_payment(wrong) for _ in range(Corrections.SEARCHES_MAX + 5)]
    assert found == [ID] * Corrections.SEARCHES_MAX + [None] * 5
