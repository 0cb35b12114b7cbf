"""Domain values → protobuf messages, for gRPC answers and the bodies of events."""

import json
from typing import Any
from uuid import UUID

from payd_client.proto import payment_pb2 as pb

from payd.codec.message_json import message_json
from payd.codec.parts import amount_message, money_message, next_action_message, time_message
from payd.codec.receipts import add_receipts
from payd.codec.refunds import attention_message, dispute_message, refund_message
from payd.domain.dispute import Dispute
from payd.domain.ledger import PaymentReceipts
from payd.domain.money import TokenTerms
from payd.domain.next_action import CryptoTransfer
from payd.domain.payment import LineItem, Payment, Status
from payd.domain.refund import Refund
from payd.domain.request import QuoteAnswer

#: Each status in the proto's terms.
STATUS: dict[Status, Any] = {
    status: pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status.value}") for status in Status
}


def payment_message(
    payment: Payment, page_url: str = "", receipts: PaymentReceipts | None = None
) -> pb.Payment:
    """Build the message of a payment. A payment that is not open has no `next_action`."""
    currency = payment.amount.currency_code
    message = pb.Payment(
        id=str(payment.id),
        status=STATUS[payment.status],
        method=payment.method,
        provider=payment.provider,
        amount=money_message(payment.amount),
        customer_id=payment.customer.id,
        idempotency_key=payment.idempotency_key,
        items=[_item(item) for item in payment.items],
        subscription_ids=payment.subscription_ids,
        provider_reference=payment.provider_reference or "",
        received=amount_message(payment.received, payment.crypto, currency),
        refunded=amount_message(payment.refunded, payment.crypto, currency),
        attention=sorted(reason.value for reason in payment.attention),
        late=payment.late,
        pricing_version=payment.pricing_version,
        create_time=time_message(payment.create_time),
        update_time=time_message(payment.update_time),
        expire_time=time_message(payment.expire_time),
        version=payment.version,
        refunds=[refund_message(payment, refund) for refund in payment.refunds],
        disputes=[dispute_message(payment, dispute) for dispute in payment.disputes],
        attention_records=[attention_message(record) for record in payment.attention_records],
        page_url=page_url,
    )
    # In a constructor each map, even an empty one, goes through Python's MutableMapping.
    for key, value in payment.metadata.items():
        message.metadata[key] = value
    if payment.fee is not None:
        message.fee.CopyFrom(amount_message(payment.fee, payment.crypto, currency))
    if payment.next_action is not None and payment.status.is_open:
        message.next_action.CopyFrom(next_action_message(payment.next_action))
    if payment.crypto is not None:
        message.crypto.CopyFrom(_crypto_facts(payment, payment.crypto))
    if payment.failure is not None:
        message.failure.CopyFrom(
            pb.Failure(code=payment.failure.code, message=payment.failure.message)
        )
    if payment.complete_time is not None:
        message.complete_time.CopyFrom(time_message(payment.complete_time))
    if receipts is not None:
        add_receipts(message, payment, receipts)
    return message


def quote_message(quote: QuoteAnswer) -> pb.Quote:
    """Build the message of a quote."""
    message = pb.Quote(
        items=[_item(item) for item in quote.items],
        total=money_message(quote.total),
        method=quote.method,
        pricing_version=quote.pricing_version,
        expire_time=time_message(quote.expire_time),
        quote_token=quote.quote_token,
        indicative=not quote.quote_token,
    )
    if quote.crypto is not None:
        terms = quote.crypto
        message.crypto.CopyFrom(
            pb.QuoteCrypto(
                currency=terms.currency,
                chain_id=terms.chain_id,
                token_address=terms.token_address,
                decimals=terms.decimals,
                amount_base_units=str(terms.due_base_units),
            )
        )
    return message


def event_body(
    payment: Payment,
    *,
    event_id: UUID,
    event_type: str,
    previous_status: Status,
    reason: str,
    request_id: str,
    refund: Refund | None = None,
    dispute: Dispute | None = None,
) -> bytes:
    """Build the body of an event: the payment as JSON with the proto's names, and more fields.

    `refund` or `dispute` is the one that the event is about. No operator is named, neither who
    requested a refund nor who resolved attention: that is not for every consumer of the stream.
    """
    message = payment_message(payment)
    for listed in message.refunds:
        listed.ClearField("requester")
    for record in message.attention_records:
        record.ClearField("resolved_by")
    body = message_json(message)
    if refund is not None:
        about = refund_message(payment, refund)
        about.ClearField("requester")
        body["refund"] = message_json(about)
    if dispute is not None:
        body["dispute"] = message_json(dispute_message(payment, dispute))
    body |= {
        "event_id": str(event_id),
        "event_type": event_type,
        "previous_status": f"PAYMENT_STATUS_{previous_status.value}",
        "reason": reason,
        "request_id": request_id,
    }
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def _item(item: LineItem) -> pb.PricedItem:
    return pb.PricedItem(
        chain_profile_id=item.chain_profile_id,
        node_type=item.node_type,
        duration=item.duration,
        unit_price=money_message(item.unit_price),
    )


def _crypto_facts(payment: Payment, terms: TokenTerms) -> pb.CryptoFacts:
    asked = payment.next_action
    return pb.CryptoFacts(
        currency=terms.currency,
        token_address=terms.token_address,
        decimals=terms.decimals,
        due_base_units=str(terms.due_base_units),
        received_base_units=str(payment.received),
        confirmed_base_units=str(payment.confirmed),
        receiver_address=asked.receiver_address if isinstance(asked, CryptoTransfer) else "",
    )
