"""Structured creditor references (ISO 11649), which customers enter in their transfers. Pure.

"RF", two check digits, and up to 21 characters. The check digits detect 99 of 100 typing errors: a
mistyped reference is ignored, and an operator assigns the money.
"""

import hashlib
import re

#: Digits and capital letters without I, L, O and U, which are easily misread.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: 80 bits: collisions do not happen. A fixed length lets us find a reference in free text.
_LENGTH = 16
_OURS = re.compile(rf"(?=(RF[0-9]{{2}}[{_ALPHABET}]{{{_LENGTH}}}))")


def reference_of(operation_id: str) -> str:
    """Derive the reference from the operation id alone, so that every repetition agrees.

    This makes `create` idempotent even if the ledger is lost between two attempts.
    """
    number = int.from_bytes(hashlib.blake2b(operation_id.encode(), digest_size=10).digest())
    body = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
    return f"RF{98 - _mod_97(body + 'RF00'):02}{body}"


def find_reference(text: str) -> str | None:
    """Find the only valid reference in a text; None for no reference or several.

    Banks and people insert spaces and change the case. A transfer with two references pays two
    payments, and an operator has to divide the amount.
    """
    found = {one for one in _OURS.findall(compact(text)) if _mod_97(one[4:] + one[:4]) == 1}
    return found.pop() if len(found) == 1 else None


def compact(text: str) -> str:
    """Remove spaces and capitalize: the electronic form of references and IBANs."""
    return "".join(text.split()).upper()


def has_iban_check(iban: str) -> bool:
    """Whether the check digits are right (ISO 13616)."""
    return _mod_97(iban[4:] + iban[:4]) == 1


def _mod_97(text: str) -> int:
    """Compute the ISO 7064 MOD 97-10 remainder; letters count as 10 to 35."""
    return int("".join(str(int(character, 36)) for character in text)) % 97
