"""Quote tokens: a signed quote that the caller keeps, so that payd stores none.

A token has the prices of its quote, and digests of what they are for. InitiatePayment names the
items and the method again, so their names need no place in it. Every daemon with the same key reads
the tokens of the others.

    version     1 byte
    expiry      8 bytes, microseconds since 1970
    currency    3 bytes
    request     32 bytes, SHA-256 of items, method and token symbol
    terms       32 bytes, SHA-256 of the token terms
    prices      1 byte for their number, then 8 bytes each, minor units
    list        the pricing version, in ASCII
    signature   32 bytes, HMAC-SHA256 of all before
"""

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs

from payd.domain.errors import QuoteExpired, QuoteInvalid, QuoteMismatch
from payd.domain.money import Money, TokenTerms
from payd.domain.payment import LineItem
from payd.domain.pricing import Quote
from payd.domain.request import QuoteAnswer, QuoteRequest

#: Least length of a key, in characters: 128 bits in hex.
KEY_LENGTH_MIN = 32

_VERSION = 1
_HEAD = struct.Struct(">BQ3s32s32sB")
_SIGNATURE_BYTES = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@attrs.frozen(kw_only=True)
class Locked:
    """A quote whose token was verified: what is charged, and until when."""

    quote: Quote
    expire_time: datetime
    terms_digest: bytes

    def check_terms(self, terms: TokenTerms | None) -> None:
        """Raise QuoteMismatch unless these are the token terms of the quote."""
        if not hmac.compare_digest(_terms_digest(terms), self.terms_digest):
            raise QuoteMismatch(
                "the method takes another token than at the time of the quote: get a new quote"
            )


def sign_quote(request: QuoteRequest, answer: QuoteAnswer, key: str) -> str:
    """Return the token of a quote: printable ASCII, about 200 characters for one item."""
    head = _HEAD.pack(
        _VERSION,
        (answer.expire_time - _EPOCH) // _MICROSECOND,
        answer.total.currency_code.encode(),
        _request_digest(request),
        _terms_digest(answer.crypto),
        len(answer.items),
    )
    prices = [item.unit_price.minor_units for item in answer.items]
    body = head + struct.pack(f">{len(prices)}Q", *prices) + answer.pricing_version.encode()
    return _text(body + _signature(body, key))


def open_quote(token: str, request: QuoteRequest, keys: Sequence[str], now: datetime) -> Locked:
    """Return the quote of a token that is good for this request now.

    `keys` are all that may have signed it. Raises QuoteInvalid, QuoteExpired and QuoteMismatch.
    """
    body = _verified(token, keys)
    if body[0] != _VERSION:
        raise QuoteInvalid("quote_token was made by another version of payd: get a new quote")
    _, expiry, currency, request_digest, terms_digest, count = _HEAD.unpack_from(body)
    expire_time = _EPOCH + expiry * _MICROSECOND
    if now >= expire_time:
        raise QuoteExpired(
            f"the quote expired at {expire_time:%Y-%m-%d %H:%M:%S} UTC: get a new one",
            expire_time=expire_time.isoformat(),
        )
    if not hmac.compare_digest(_request_digest(request), request_digest):
        raise QuoteMismatch("the quote is for other items, or for another method: get a new quote")
    if request.currency_code not in ("", currency.decode()):
        raise QuoteMismatch(
            f"the quote is in {currency.decode()}, not in {request.currency_code}: get a new quote"
        )
    prices = struct.unpack_from(f">{count}Q", body, _HEAD.size)
    version_start = _HEAD.size + 8 * count
    return Locked(
        quote=_quote(request, currency.decode(), prices, body[version_start:].decode()),
        expire_time=expire_time,
        terms_digest=terms_digest,
    )


def _verified(token: str, keys: Sequence[str]) -> bytes:
    """Return the signed part of a token. Raises QuoteInvalid."""
    try:
        content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        content = b""
    body, signature = content[:-_SIGNATURE_BYTES], content[-_SIGNATURE_BYTES:]
    good = [hmac.compare_digest(_signature(body, key), signature) for key in keys]
    # base64 ignores foreign characters and spare bits: only the text that payd wrote is a token.
    if not any(good) or _text(content) != token:
        raise QuoteInvalid("quote_token is not from this payd, or was changed: get a new quote")
    return body


def _quote(
    request: QuoteRequest, currency: str, prices: Sequence[int], pricing_version: str
) -> Quote:
    items = tuple(
        LineItem(
            chain_profile_id=item.chain_profile_id,
            node_type=item.node_type,
            duration=item.duration,
            unit_price=Money(currency_code=currency, minor_units=price),
        )
        for item, price in zip(request.items, prices, strict=True)
    )
    total = Money(currency_code=currency, minor_units=sum(prices))
    return Quote(items=items, total=total, pricing_version=pricing_version)


def _request_digest(request: QuoteRequest) -> bytes:
    items = [[item.chain_profile_id, item.node_type, item.duration] for item in request.items]
    return _digest([items, request.method, request.crypto_currency])


def _terms_digest(terms: TokenTerms | None) -> bytes:
    return _digest(attrs.astuple(terms) if terms else None)


def _digest(meaning: object) -> bytes:
    return hashlib.sha256(json.dumps(meaning, separators=(",", ":")).encode()).digest()


def _signature(body: bytes, key: str) -> bytes:
    return hmac.digest(key.encode(), body, "sha256")


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
