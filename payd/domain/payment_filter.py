"""Which payments to list, and whether they can be found without reading all others.

Lists are read along an index, newest first, and end where the page is full. Every filter has an
index of its own except the amount: it is looked at in each payment that another filter, or the
time, leaves over.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import attrs

from payd.domain.attention import Attention
from payd.domain.errors import InvalidFilter
from payd.domain.payment import Status

#: Longest time in which payments may be searched by their amount alone.
SEARCHED_MAX = timedelta(days=92)

_HEX = re.compile(r"(\d+:)?0x[0-9a-f]+(:\d+)?")
_WORD = re.compile(r"[0-9a-f]{64}")
_NOTHING = "0" * 32
#: Text of 32 bytes: a memo that a person can type.
_TYPED_MEMO = re.compile(r"[0-9A-Z]{32}")


@attrs.frozen(kw_only=True)
class PaymentFilter:
    """Which payments to list: those to which everything applies that is set."""

    customer_id: str = ""
    #: The customer's present address, in any case.
    email: str = ""
    #: Any of these, as with the other sets; empty does not restrict.
    statuses: frozenset[Status] = frozenset()
    methods: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    #: Open reasons for attention.
    attention: frozenset[Attention] = frozenset()
    subscription_id: str = ""
    #: Anything that a person may have in hand: see `names_of`.
    reference: str = ""
    #: A key and its value.
    metadata: tuple[str, str] | None = None
    create_time_from: datetime | None = None
    create_time_before: datetime | None = None
    currency_code: str = ""
    #: Bounds of the amount, in the minor units of each payment's own currency.
    min_minor_units: int | None = None
    max_minor_units: int | None = None

    def check(self, now: datetime) -> None:
        """Raise InvalidFilter if it contradicts itself, or if too many payments would be read."""
        self.check_ranges()
        searched = next(self._searched(), None)
        if searched is None or self._is_selective or self._is_short(now):
            return
        raise InvalidFilter(
            f"{searched} has no index: add create_time_from, at most {SEARCHED_MAX.days} days "
            "before create_time_before or now, or one of customer_id, email, subscription_id, "
            "reference, metadata and attention",
            filter=searched,
            add="create_time_from",
        )

    def check_ranges(self) -> None:
        since, before = self.create_time_from, self.create_time_before
        if since is not None and before is not None and since >= before:
            raise InvalidFilter(
                "create_time_from is not before create_time_before: swap them, or leave one out",
                filter="create_time_from",
            )
        least, most = self.min_minor_units, self.max_minor_units
        if least is not None and most is not None and least > most:
            raise InvalidFilter(
                "min_minor_units is more than max_minor_units: swap them, or leave one out",
                filter="min_minor_units",
            )

    def _searched(self) -> Iterator[str]:
        if self.min_minor_units is not None:
            yield "min_minor_units"
        if self.max_minor_units is not None:
            yield "max_minor_units"
        if self.currency_code:
            yield "currency_code"

    @property
    def _is_selective(self) -> bool:
        texts = self.customer_id, self.email, self.subscription_id, self.reference
        return any(texts) or bool(self.attention) or self.metadata is not None

    def _is_short(self, now: datetime) -> bool:
        since, before = self.create_time_from, self.create_time_before or now
        return since is not None and before - since <= SEARCHED_MAX


@attrs.frozen(kw_only=True)
class Selection:
    """A filter whose e-mail and reference were looked up."""

    filter: PaymentFilter = PaymentFilter()
    #: Of these customers only; None is of any.
    customer_ids: frozenset[str] | None = None
    #: Of these payments only; None is any.
    payment_ids: frozenset[UUID] | None = None


@attrs.frozen(kw_only=True)
class Names:
    """What a reference may mean: each form in which payd stores it."""

    texts: tuple[str, ...]
    #: As the id of a payment or of a refund.
    ids: tuple[UUID, ...] = ()


def names_of(reference: str) -> Names:
    """Everything that a reference may be the name of.

    It is looked up as it is, and hexadecimal digits also in lower case and with `0x`. A memo of 32
    bytes that has only an id names the payment; a memo that a person typed is stored as its bytes.
    """
    texts, lower = [reference], reference.lower()
    if _HEX.fullmatch(lower):
        texts.append(lower)
    digits = lower.removeprefix("0x")
    if _WORD.fullmatch(digits):
        texts.append(f"0x{digits}")
    if _TYPED_MEMO.fullmatch(reference.upper()):
        texts.append(f"0x{reference.upper().encode().hex()}")
    return Names(texts=tuple(dict.fromkeys(texts)), ids=tuple(_ids(reference, digits)))


def _ids(reference: str, digits: str) -> Iterator[UUID]:
    if _WORD.fullmatch(digits) and digits.startswith(_NOTHING):
        yield UUID(digits[32:])
    elif _WORD.fullmatch(digits) and digits.endswith(_NOTHING):
        yield UUID(digits[:32])
    elif re.fullmatch(r"[0-9a-f-]{32,36}", reference.lower()):
        try:
            yield UUID(reference)
        except ValueError:
            return
