"""Structured creditor references (ISO 11649): what a customer writes into his transfer. Pure.

"RF", two check digits, and up to 21 characters of ours. The check digits make 99 of 100 slips of the
pen visible: such a reference is none, and a person places the money.
"""

import hashlib
import re

#: Digits and capital letters without I, L, O and U, which people take for others.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Of ours: 80 bits, so that two payments never meet; all have it, so that one is found in a text.
_LENGTH = 16
_OURS = re.compile(rf"(?=(RF[0-9]{{2}}[{_ALPHABET}]{{{_LENGTH}}}))")


def reference_of(operation_id: str) -> str:
    """The reference of an operation: the same at every repetition, without asking anybody.

    That is what makes `create` idempotent, even if the ledger is lost between two attempts.
    """
    number = int.from_bytes(hashlib.blake2b(operation_id.encode(), digest_size=10).digest())
    body = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
    return f"RF{98 - _mod_97(body + 'RF00'):02}{body}"


def find_reference(text: str) -> str | None:
    """The one reference of our form in a text; None where there is none, or more than one.

    Banks and people insert spaces and change the case. Two references are two payments that one
    transfer pays: how much is for which, only a person can tell.
    """
    found = {one for one in _OURS.findall(compact(text)) if _mod_97(one[4:] + one[:4]) == 1}
    return found.pop() if len(found) == 1 else None


def compact(text: str) -> str:
    """As machines write references and IBANs."""
    return "".join(text.split()).upper()


def has_iban_check(iban: str) -> bool:
    """Whether the check digits are right (ISO 13616)."""
    return _mod_97(iban[4:] + iban[:4]) == 1


def _mod_97(text: str) -> int:
    """ISO 7064, MOD 97-10: letters count as 10 to 35."""
    return int("".join(str(int(character, 36)) for character in text)) % 97
