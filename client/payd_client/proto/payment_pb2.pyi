import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PaymentStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYMENT_STATUS_UNSPECIFIED: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_CREATING: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_PENDING: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_PROCESSING: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_COMPLETED: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_CANCELING: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_CANCELED: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_EXPIRED: _ClassVar[PaymentStatus]
    PAYMENT_STATUS_FAILED: _ClassVar[PaymentStatus]

class ShowKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHOW_KIND_UNSPECIFIED: _ClassVar[ShowKind]
    SHOW_KIND_QR: _ClassVar[ShowKind]
    SHOW_KIND_BANK_TRANSFER: _ClassVar[ShowKind]
    SHOW_KIND_TEXT: _ClassVar[ShowKind]

class RefundStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUND_STATUS_UNSPECIFIED: _ClassVar[RefundStatus]
    REFUND_STATUS_AWAITING_APPROVAL: _ClassVar[RefundStatus]
    REFUND_STATUS_CREATING: _ClassVar[RefundStatus]
    REFUND_STATUS_PENDING: _ClassVar[RefundStatus]
    REFUND_STATUS_AWAITING_TRANSFER: _ClassVar[RefundStatus]
    REFUND_STATUS_SUCCEEDED: _ClassVar[RefundStatus]
    REFUND_STATUS_FAILED: _ClassVar[RefundStatus]
    REFUND_STATUS_CANCELED: _ClassVar[RefundStatus]

class DisputeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPUTE_STATUS_UNSPECIFIED: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_INQUIRY: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_INQUIRY_CLOSED: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_NEEDS_RESPONSE: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_UNDER_REVIEW: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_WITHDRAWN: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_WON: _ClassVar[DisputeStatus]
    DISPUTE_STATUS_LOST: _ClassVar[DisputeStatus]

class WaitingForActor(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WAITING_FOR_ACTOR_UNSPECIFIED: _ClassVar[WaitingForActor]
    WAITING_FOR_ACTOR_CUSTOMER: _ClassVar[WaitingForActor]
    WAITING_FOR_ACTOR_PROVIDER: _ClassVar[WaitingForActor]
    WAITING_FOR_ACTOR_PAYD: _ClassVar[WaitingForActor]
    WAITING_FOR_ACTOR_OPERATOR: _ClassVar[WaitingForActor]
    WAITING_FOR_ACTOR_NOBODY: _ClassVar[WaitingForActor]

class ExportBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_BY_UNSPECIFIED: _ClassVar[ExportBy]
    EXPORT_BY_DAY: _ClassVar[ExportBy]
    EXPORT_BY_PAYMENT: _ClassVar[ExportBy]

class MovementKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOVEMENT_KIND_UNSPECIFIED: _ClassVar[MovementKind]
    MOVEMENT_KIND_PAYMENT: _ClassVar[MovementKind]
    MOVEMENT_KIND_REFUND: _ClassVar[MovementKind]
    MOVEMENT_KIND_DISPUTE: _ClassVar[MovementKind]
    MOVEMENT_KIND_DISPUTE_RETURN: _ClassVar[MovementKind]

class ReceiptState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECEIPT_STATE_UNSPECIFIED: _ClassVar[ReceiptState]
    RECEIPT_STATE_SEEN: _ClassVar[ReceiptState]
    RECEIPT_STATE_DROPPED: _ClassVar[ReceiptState]
    RECEIPT_STATE_HELD: _ClassVar[ReceiptState]
    RECEIPT_STATE_CONFIRMED: _ClassVar[ReceiptState]
PAYMENT_STATUS_UNSPECIFIED: PaymentStatus
PAYMENT_STATUS_CREATING: PaymentStatus
PAYMENT_STATUS_PENDING: PaymentStatus
PAYMENT_STATUS_PROCESSING: PaymentStatus
PAYMENT_STATUS_COMPLETED: PaymentStatus
PAYMENT_STATUS_CANCELING: PaymentStatus
PAYMENT_STATUS_CANCELED: PaymentStatus
PAYMENT_STATUS_EXPIRED: PaymentStatus
PAYMENT_STATUS_FAILED: PaymentStatus
SHOW_KIND_UNSPECIFIED: ShowKind
SHOW_KIND_QR: ShowKind
SHOW_KIND_BANK_TRANSFER: ShowKind
SHOW_KIND_TEXT: ShowKind
REFUND_STATUS_UNSPECIFIED: RefundStatus
REFUND_STATUS_AWAITING_APPROVAL: RefundStatus
REFUND_STATUS_CREATING: RefundStatus
REFUND_STATUS_PENDING: RefundStatus
REFUND_STATUS_AWAITING_TRANSFER: RefundStatus
REFUND_STATUS_SUCCEEDED: RefundStatus
REFUND_STATUS_FAILED: RefundStatus
REFUND_STATUS_CANCELED: RefundStatus
DISPUTE_STATUS_UNSPECIFIED: DisputeStatus
DISPUTE_STATUS_INQUIRY: DisputeStatus
DISPUTE_STATUS_INQUIRY_CLOSED: DisputeStatus
DISPUTE_STATUS_NEEDS_RESPONSE: DisputeStatus
DISPUTE_STATUS_UNDER_REVIEW: DisputeStatus
DISPUTE_STATUS_WITHDRAWN: DisputeStatus
DISPUTE_STATUS_WON: DisputeStatus
DISPUTE_STATUS_LOST: DisputeStatus
WAITING_FOR_ACTOR_UNSPECIFIED: WaitingForActor
WAITING_FOR_ACTOR_CUSTOMER: WaitingForActor
WAITING_FOR_ACTOR_PROVIDER: WaitingForActor
WAITING_FOR_ACTOR_PAYD: WaitingForActor
WAITING_FOR_ACTOR_OPERATOR: WaitingForActor
WAITING_FOR_ACTOR_NOBODY: WaitingForActor
EXPORT_BY_UNSPECIFIED: ExportBy
EXPORT_BY_DAY: ExportBy
EXPORT_BY_PAYMENT: ExportBy
MOVEMENT_KIND_UNSPECIFIED: MovementKind
MOVEMENT_KIND_PAYMENT: MovementKind
MOVEMENT_KIND_REFUND: MovementKind
MOVEMENT_KIND_DISPUTE: MovementKind
MOVEMENT_KIND_DISPUTE_RETURN: MovementKind
RECEIPT_STATE_UNSPECIFIED: ReceiptState
RECEIPT_STATE_SEEN: ReceiptState
RECEIPT_STATE_DROPPED: ReceiptState
RECEIPT_STATE_HELD: ReceiptState
RECEIPT_STATE_CONFIRMED: ReceiptState

class Money(_message.Message):
    __slots__ = ("currency_code", "minor_units")
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    currency_code: str
    minor_units: int
    def __init__(self, currency_code: _Optional[str] = ..., minor_units: _Optional[int] = ...) -> None: ...

class Customer(_message.Message):
    __slots__ = ("id", "wallet_address", "email")
    ID_FIELD_NUMBER: _ClassVar[int]
    WALLET_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    wallet_address: str
    email: str
    def __init__(self, id: _Optional[str] = ..., wallet_address: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("chain_profile_id", "node_type", "duration")
    CHAIN_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    chain_profile_id: str
    node_type: str
    duration: str
    def __init__(self, chain_profile_id: _Optional[str] = ..., node_type: _Optional[str] = ..., duration: _Optional[str] = ...) -> None: ...

class PricedItem(_message.Message):
    __slots__ = ("chain_profile_id", "node_type", "duration", "unit_price")
    CHAIN_PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_TYPE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    chain_profile_id: str
    node_type: str
    duration: str
    unit_price: Money
    def __init__(self, chain_profile_id: _Optional[str] = ..., node_type: _Optional[str] = ..., duration: _Optional[str] = ..., unit_price: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class QuoteCrypto(_message.Message):
    __slots__ = ("currency", "chain_id", "token_address", "decimals", "amount_base_units")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    chain_id: int
    token_address: str
    decimals: int
    amount_base_units: str
    def __init__(self, currency: _Optional[str] = ..., chain_id: _Optional[int] = ..., token_address: _Optional[str] = ..., decimals: _Optional[int] = ..., amount_base_units: _Optional[str] = ...) -> None: ...

class Quote(_message.Message):
    __slots__ = ("items", "total", "method", "crypto", "pricing_version", "expire_time", "quote_token", "indicative")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_FIELD_NUMBER: _ClassVar[int]
    PRICING_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    QUOTE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INDICATIVE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[PricedItem]
    total: Money
    method: str
    crypto: QuoteCrypto
    pricing_version: str
    expire_time: _timestamp_pb2.Timestamp
    quote_token: str
    indicative: bool
    def __init__(self, items: _Optional[_Iterable[_Union[PricedItem, _Mapping]]] = ..., total: _Optional[_Union[Money, _Mapping]] = ..., method: _Optional[str] = ..., crypto: _Optional[_Union[QuoteCrypto, _Mapping]] = ..., pricing_version: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., quote_token: _Optional[str] = ..., indicative: _Optional[bool] = ...) -> None: ...

class GetQuoteRequest(_message.Message):
    __slots__ = ("items", "method", "crypto_currency", "currency_code")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    method: str
    crypto_currency: str
    currency_code: str
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., method: _Optional[str] = ..., crypto_currency: _Optional[str] = ..., currency_code: _Optional[str] = ...) -> None: ...

class GetQuoteResponse(_message.Message):
    __slots__ = ("quote",)
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    quote: Quote
    def __init__(self, quote: _Optional[_Union[Quote, _Mapping]] = ...) -> None: ...

class InitiatePaymentRequest(_message.Message):
    __slots__ = ("idempotency_key", "customer", "items", "method", "crypto_currency", "subscription_ids", "return_url", "cancel_url", "metadata", "quote_token", "expected_total", "currency_code")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_IDS_FIELD_NUMBER: _ClassVar[int]
    RETURN_URL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_URL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    QUOTE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    customer: Customer
    items: _containers.RepeatedCompositeFieldContainer[Item]
    method: str
    crypto_currency: str
    subscription_ids: _containers.RepeatedScalarFieldContainer[str]
    return_url: str
    cancel_url: str
    metadata: _containers.ScalarMap[str, str]
    quote_token: str
    expected_total: Money
    currency_code: str
    def __init__(self, idempotency_key: _Optional[str] = ..., customer: _Optional[_Union[Customer, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., method: _Optional[str] = ..., crypto_currency: _Optional[str] = ..., subscription_ids: _Optional[_Iterable[str]] = ..., return_url: _Optional[str] = ..., cancel_url: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., quote_token: _Optional[str] = ..., expected_total: _Optional[_Union[Money, _Mapping]] = ..., currency_code: _Optional[str] = ...) -> None: ...

class InitiatePaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class GetPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "idempotency_key")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    idempotency_key: str
    def __init__(self, payment_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class GetPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class WatchPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "after_version", "linger")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    LINGER_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    after_version: int
    linger: _duration_pb2.Duration
    def __init__(self, payment_id: _Optional[str] = ..., after_version: _Optional[int] = ..., linger: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class CancelPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "reason")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    reason: str
    def __init__(self, payment_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class NextAction(_message.Message):
    __slots__ = ("redirect", "crypto_transfer", "show")
    REDIRECT_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_TRANSFER_FIELD_NUMBER: _ClassVar[int]
    SHOW_FIELD_NUMBER: _ClassVar[int]
    redirect: Redirect
    crypto_transfer: CryptoTransfer
    show: Show
    def __init__(self, redirect: _Optional[_Union[Redirect, _Mapping]] = ..., crypto_transfer: _Optional[_Union[CryptoTransfer, _Mapping]] = ..., show: _Optional[_Union[Show, _Mapping]] = ...) -> None: ...

class Redirect(_message.Message):
    __slots__ = ("url",)
    URL_FIELD_NUMBER: _ClassVar[int]
    url: str
    def __init__(self, url: _Optional[str] = ...) -> None: ...

class CryptoTransfer(_message.Message):
    __slots__ = ("currency", "chain_id", "token_address", "receiver_address", "amount_base_units", "decimals", "memo", "calldata", "payment_uri", "memo_text", "wallet_request")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    MEMO_FIELD_NUMBER: _ClassVar[int]
    CALLDATA_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_URI_FIELD_NUMBER: _ClassVar[int]
    MEMO_TEXT_FIELD_NUMBER: _ClassVar[int]
    WALLET_REQUEST_FIELD_NUMBER: _ClassVar[int]
    currency: str
    chain_id: int
    token_address: str
    receiver_address: str
    amount_base_units: str
    decimals: int
    memo: str
    calldata: str
    payment_uri: str
    memo_text: str
    wallet_request: str
    def __init__(self, currency: _Optional[str] = ..., chain_id: _Optional[int] = ..., token_address: _Optional[str] = ..., receiver_address: _Optional[str] = ..., amount_base_units: _Optional[str] = ..., decimals: _Optional[int] = ..., memo: _Optional[str] = ..., calldata: _Optional[str] = ..., payment_uri: _Optional[str] = ..., memo_text: _Optional[str] = ..., wallet_request: _Optional[str] = ...) -> None: ...

class Show(_message.Message):
    __slots__ = ("payload", "kind", "fields", "expire_time")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    payload: str
    kind: ShowKind
    fields: _containers.RepeatedCompositeFieldContainer[ShowField]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, payload: _Optional[str] = ..., kind: _Optional[_Union[ShowKind, str]] = ..., fields: _Optional[_Iterable[_Union[ShowField, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShowField(_message.Message):
    __slots__ = ("label", "value", "copyable")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    COPYABLE_FIELD_NUMBER: _ClassVar[int]
    label: str
    value: str
    copyable: bool
    def __init__(self, label: _Optional[str] = ..., value: _Optional[str] = ..., copyable: _Optional[bool] = ...) -> None: ...

class CryptoFacts(_message.Message):
    __slots__ = ("currency", "token_address", "decimals", "due_base_units", "received_base_units", "confirmed_base_units", "left_to_refund_base_units", "receiver_address")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    DUE_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    LEFT_TO_REFUND_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    token_address: str
    decimals: int
    due_base_units: str
    received_base_units: str
    confirmed_base_units: str
    left_to_refund_base_units: str
    receiver_address: str
    def __init__(self, currency: _Optional[str] = ..., token_address: _Optional[str] = ..., decimals: _Optional[int] = ..., due_base_units: _Optional[str] = ..., received_base_units: _Optional[str] = ..., confirmed_base_units: _Optional[str] = ..., left_to_refund_base_units: _Optional[str] = ..., receiver_address: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class RefundCrypto(_message.Message):
    __slots__ = ("currency", "token_address", "decimals", "amount_base_units")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    token_address: str
    decimals: int
    amount_base_units: str
    def __init__(self, currency: _Optional[str] = ..., token_address: _Optional[str] = ..., decimals: _Optional[int] = ..., amount_base_units: _Optional[str] = ...) -> None: ...

class Refund(_message.Message):
    __slots__ = ("id", "payment_id", "idempotency_key", "status", "amount", "crypto", "reason", "destination", "provider_reference", "next_action", "failure", "create_time", "update_time", "complete_time", "external", "requester")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_ACTION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    payment_id: str
    idempotency_key: str
    status: RefundStatus
    amount: Money
    crypto: RefundCrypto
    reason: str
    destination: str
    provider_reference: str
    next_action: NextAction
    failure: Failure
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    complete_time: _timestamp_pb2.Timestamp
    external: bool
    requester: str
    def __init__(self, id: _Optional[str] = ..., payment_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., status: _Optional[_Union[RefundStatus, str]] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., crypto: _Optional[_Union[RefundCrypto, _Mapping]] = ..., reason: _Optional[str] = ..., destination: _Optional[str] = ..., provider_reference: _Optional[str] = ..., next_action: _Optional[_Union[NextAction, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., external: _Optional[bool] = ..., requester: _Optional[str] = ...) -> None: ...

class Dispute(_message.Message):
    __slots__ = ("id", "status", "amount", "reason", "open_time", "close_time", "evidence_due_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_DUE_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: DisputeStatus
    amount: Money
    reason: str
    open_time: _timestamp_pb2.Timestamp
    close_time: _timestamp_pb2.Timestamp
    evidence_due_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[DisputeStatus, str]] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., reason: _Optional[str] = ..., open_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., evidence_due_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AttentionRecord(_message.Message):
    __slots__ = ("reason", "since", "resolved_time", "resolved_by", "note")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_TIME_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_BY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    since: _timestamp_pb2.Timestamp
    resolved_time: _timestamp_pb2.Timestamp
    resolved_by: str
    note: str
    def __init__(self, reason: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_by: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("id", "status", "method", "provider", "amount", "customer_id", "idempotency_key", "items", "subscription_ids", "next_action", "provider_reference", "received", "refunded", "crypto", "attention", "failure", "late", "pricing_version", "metadata", "create_time", "update_time", "expire_time", "complete_time", "version", "refunds", "disputes", "attention_records", "fee", "page_url", "receipts", "receipts_total", "confirmed", "left_to_refund")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_IDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_ACTION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    PRICING_VERSION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    DISPUTES_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_RECORDS_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    PAGE_URL_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    LEFT_TO_REFUND_FIELD_NUMBER: _ClassVar[int]
    id: str
    status: PaymentStatus
    method: str
    provider: str
    amount: Money
    customer_id: str
    idempotency_key: str
    items: _containers.RepeatedCompositeFieldContainer[PricedItem]
    subscription_ids: _containers.RepeatedScalarFieldContainer[str]
    next_action: NextAction
    provider_reference: str
    received: Money
    refunded: Money
    crypto: CryptoFacts
    attention: _containers.RepeatedScalarFieldContainer[str]
    failure: Failure
    late: bool
    pricing_version: str
    metadata: _containers.ScalarMap[str, str]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    complete_time: _timestamp_pb2.Timestamp
    version: int
    refunds: _containers.RepeatedCompositeFieldContainer[Refund]
    disputes: _containers.RepeatedCompositeFieldContainer[Dispute]
    attention_records: _containers.RepeatedCompositeFieldContainer[AttentionRecord]
    fee: Money
    page_url: str
    receipts: _containers.RepeatedCompositeFieldContainer[PaymentReceipt]
    receipts_total: int
    confirmed: Money
    left_to_refund: Money
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[PaymentStatus, str]] = ..., method: _Optional[str] = ..., provider: _Optional[str] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., customer_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., items: _Optional[_Iterable[_Union[PricedItem, _Mapping]]] = ..., subscription_ids: _Optional[_Iterable[str]] = ..., next_action: _Optional[_Union[NextAction, _Mapping]] = ..., provider_reference: _Optional[str] = ..., received: _Optional[_Union[Money, _Mapping]] = ..., refunded: _Optional[_Union[Money, _Mapping]] = ..., crypto: _Optional[_Union[CryptoFacts, _Mapping]] = ..., attention: _Optional[_Iterable[str]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., late: _Optional[bool] = ..., pricing_version: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., refunds: _Optional[_Iterable[_Union[Refund, _Mapping]]] = ..., disputes: _Optional[_Iterable[_Union[Dispute, _Mapping]]] = ..., attention_records: _Optional[_Iterable[_Union[AttentionRecord, _Mapping]]] = ..., fee: _Optional[_Union[Money, _Mapping]] = ..., page_url: _Optional[str] = ..., receipts: _Optional[_Iterable[_Union[PaymentReceipt, _Mapping]]] = ..., receipts_total: _Optional[int] = ..., confirmed: _Optional[_Union[Money, _Mapping]] = ..., left_to_refund: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class PaymentReceipt(_message.Message):
    __slots__ = ("id", "amount", "asset", "state", "time", "transaction", "sender", "explorer_url", "amount_base_units")
    ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    EXPLORER_URL_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    id: str
    amount: Money
    asset: str
    state: ReceiptState
    time: _timestamp_pb2.Timestamp
    transaction: str
    sender: str
    explorer_url: str
    amount_base_units: str
    def __init__(self, id: _Optional[str] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., asset: _Optional[str] = ..., state: _Optional[_Union[ReceiptState, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., transaction: _Optional[str] = ..., sender: _Optional[str] = ..., explorer_url: _Optional[str] = ..., amount_base_units: _Optional[str] = ...) -> None: ...

class RefundPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "amount", "idempotency_key", "reason", "destination")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    amount: Money
    idempotency_key: str
    reason: str
    destination: str
    def __init__(self, payment_id: _Optional[str] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., reason: _Optional[str] = ..., destination: _Optional[str] = ...) -> None: ...

class RefundPaymentResponse(_message.Message):
    __slots__ = ("refund",)
    REFUND_FIELD_NUMBER: _ClassVar[int]
    refund: Refund
    def __init__(self, refund: _Optional[_Union[Refund, _Mapping]] = ...) -> None: ...

class GetRefundRequest(_message.Message):
    __slots__ = ("refund_id", "idempotency_key")
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    refund_id: str
    idempotency_key: str
    def __init__(self, refund_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class GetRefundResponse(_message.Message):
    __slots__ = ("refund",)
    REFUND_FIELD_NUMBER: _ClassVar[int]
    refund: Refund
    def __init__(self, refund: _Optional[_Union[Refund, _Mapping]] = ...) -> None: ...

class ListRefundsRequest(_message.Message):
    __slots__ = ("payment_id", "statuses", "page_size", "page_token")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    statuses: _containers.RepeatedScalarFieldContainer[RefundStatus]
    page_size: int
    page_token: str
    def __init__(self, payment_id: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[RefundStatus, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRefundsResponse(_message.Message):
    __slots__ = ("refunds", "next_page_token")
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    refunds: _containers.RepeatedCompositeFieldContainer[Refund]
    next_page_token: str
    def __init__(self, refunds: _Optional[_Iterable[_Union[Refund, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelRefundRequest(_message.Message):
    __slots__ = ("refund_id", "note")
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    refund_id: str
    note: str
    def __init__(self, refund_id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class CancelRefundResponse(_message.Message):
    __slots__ = ("refund",)
    REFUND_FIELD_NUMBER: _ClassVar[int]
    refund: Refund
    def __init__(self, refund: _Optional[_Union[Refund, _Mapping]] = ...) -> None: ...

class ApproveRefundRequest(_message.Message):
    __slots__ = ("refund_id", "note")
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    refund_id: str
    note: str
    def __init__(self, refund_id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ApproveRefundResponse(_message.Message):
    __slots__ = ("refund",)
    REFUND_FIELD_NUMBER: _ClassVar[int]
    refund: Refund
    def __init__(self, refund: _Optional[_Union[Refund, _Mapping]] = ...) -> None: ...

class SettleRefundRequest(_message.Message):
    __slots__ = ("refund_id", "outcome", "reference", "note")
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    refund_id: str
    outcome: RefundStatus
    reference: str
    note: str
    def __init__(self, refund_id: _Optional[str] = ..., outcome: _Optional[_Union[RefundStatus, str]] = ..., reference: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class SettleRefundResponse(_message.Message):
    __slots__ = ("refund",)
    REFUND_FIELD_NUMBER: _ClassVar[int]
    refund: Refund
    def __init__(self, refund: _Optional[_Union[Refund, _Mapping]] = ...) -> None: ...

class ResolveAttentionRequest(_message.Message):
    __slots__ = ("payment_id", "reasons", "note", "expected_version")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    note: str
    expected_version: int
    def __init__(self, payment_id: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ..., note: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class ResolveAttentionResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class ForgetCustomerRequest(_message.Message):
    __slots__ = ("customer_id", "dry_run", "note")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    dry_run: bool
    note: str
    def __init__(self, customer_id: _Optional[str] = ..., dry_run: _Optional[bool] = ..., note: _Optional[str] = ...) -> None: ...

class ForgetCustomerResponse(_message.Message):
    __slots__ = ("payments", "erased", "retained_events", "waiting_reports")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    RETAINED_EVENTS_FIELD_NUMBER: _ClassVar[int]
    WAITING_REPORTS_FIELD_NUMBER: _ClassVar[int]
    payments: int
    erased: _containers.RepeatedCompositeFieldContainer[ErasedRows]
    retained_events: _containers.RepeatedCompositeFieldContainer[RetainedEvent]
    waiting_reports: int
    def __init__(self, payments: _Optional[int] = ..., erased: _Optional[_Iterable[_Union[ErasedRows, _Mapping]]] = ..., retained_events: _Optional[_Iterable[_Union[RetainedEvent, _Mapping]]] = ..., waiting_reports: _Optional[int] = ...) -> None: ...

class ErasedRows(_message.Message):
    __slots__ = ("table", "rows", "columns")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    table: str
    rows: int
    columns: str
    def __init__(self, table: _Optional[str] = ..., rows: _Optional[int] = ..., columns: _Optional[str] = ...) -> None: ...

class RetainedEvent(_message.Message):
    __slots__ = ("event_id", "payment_id", "subject", "publish_time")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    payment_id: str
    subject: str
    publish_time: _timestamp_pb2.Timestamp
    def __init__(self, event_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., subject: _Optional[str] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MetadataPair(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class PaymentFilter(_message.Message):
    __slots__ = ("customer_id", "email", "statuses", "methods", "providers", "attention", "subscription_id", "reference", "metadata", "create_time_from", "create_time_before", "min_minor_units", "max_minor_units", "currency_code")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FROM_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    MIN_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAX_MINOR_UNITS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    email: str
    statuses: _containers.RepeatedScalarFieldContainer[PaymentStatus]
    methods: _containers.RepeatedScalarFieldContainer[str]
    providers: _containers.RepeatedScalarFieldContainer[str]
    attention: _containers.RepeatedScalarFieldContainer[str]
    subscription_id: str
    reference: str
    metadata: MetadataPair
    create_time_from: _timestamp_pb2.Timestamp
    create_time_before: _timestamp_pb2.Timestamp
    min_minor_units: int
    max_minor_units: int
    currency_code: str
    def __init__(self, customer_id: _Optional[str] = ..., email: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[PaymentStatus, str]]] = ..., methods: _Optional[_Iterable[str]] = ..., providers: _Optional[_Iterable[str]] = ..., attention: _Optional[_Iterable[str]] = ..., subscription_id: _Optional[str] = ..., reference: _Optional[str] = ..., metadata: _Optional[_Union[MetadataPair, _Mapping]] = ..., create_time_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., min_minor_units: _Optional[int] = ..., max_minor_units: _Optional[int] = ..., currency_code: _Optional[str] = ...) -> None: ...

class ListPaymentsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: PaymentFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[PaymentFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPaymentsResponse(_message.Message):
    __slots__ = ("payments", "next_page_token")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payments: _containers.RepeatedCompositeFieldContainer[Payment]
    next_page_token: str
    def __init__(self, payments: _Optional[_Iterable[_Union[Payment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListAttentionRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: PaymentFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[PaymentFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAttentionResponse(_message.Message):
    __slots__ = ("payments", "next_page_token")
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payments: _containers.RepeatedCompositeFieldContainer[Payment]
    next_page_token: str
    def __init__(self, payments: _Optional[_Iterable[_Union[Payment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExplainPaymentRequest(_message.Message):
    __slots__ = ("payment_id", "at_time")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AT_TIME_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    at_time: _timestamp_pb2.Timestamp
    def __init__(self, payment_id: _Optional[str] = ..., at_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExplainPaymentResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: Explanation
    def __init__(self, explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("summary", "status", "waiting_for", "next_look_time", "steps", "advice", "steps_left_out", "time")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    NEXT_LOOK_TIME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    STEPS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    summary: str
    status: PaymentStatus
    waiting_for: WaitingFor
    next_look_time: _timestamp_pb2.Timestamp
    steps: _containers.RepeatedCompositeFieldContainer[ExplanationStep]
    advice: _containers.RepeatedCompositeFieldContainer[Advice]
    steps_left_out: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, summary: _Optional[str] = ..., status: _Optional[_Union[PaymentStatus, str]] = ..., waiting_for: _Optional[_Union[WaitingFor, _Mapping]] = ..., next_look_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[ExplanationStep, _Mapping]]] = ..., advice: _Optional[_Iterable[_Union[Advice, _Mapping]]] = ..., steps_left_out: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WaitingFor(_message.Message):
    __slots__ = ("what", "actor")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    what: str
    actor: WaitingForActor
    def __init__(self, what: _Optional[str] = ..., actor: _Optional[_Union[WaitingForActor, str]] = ...) -> None: ...

class ExplanationStep(_message.Message):
    __slots__ = ("time", "actor", "source", "what", "because", "changes")
    TIME_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    actor: str
    source: str
    what: str
    because: str
    changes: _containers.RepeatedCompositeFieldContainer[StepChange]
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., source: _Optional[str] = ..., what: _Optional[str] = ..., because: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[StepChange, _Mapping]]] = ...) -> None: ...

class StepChange(_message.Message):
    __slots__ = ("field", "before", "after")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    field: str
    before: str
    after: str
    def __init__(self, field: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class Advice(_message.Message):
    __slots__ = ("text", "command")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    text: str
    command: str
    def __init__(self, text: _Optional[str] = ..., command: _Optional[str] = ...) -> None: ...

class SyncPaymentRequest(_message.Message):
    __slots__ = ("payment_id",)
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    def __init__(self, payment_id: _Optional[str] = ...) -> None: ...

class SyncPaymentResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class ExportPaymentsRequest(_message.Message):
    __slots__ = ("first_day", "last_day", "time_zone", "by", "page_size", "page_token")
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    first_day: str
    last_day: str
    time_zone: str
    by: ExportBy
    page_size: int
    page_token: str
    def __init__(self, first_day: _Optional[str] = ..., last_day: _Optional[str] = ..., time_zone: _Optional[str] = ..., by: _Optional[_Union[ExportBy, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExportPaymentsResponse(_message.Message):
    __slots__ = ("days", "movements", "next_page_token")
    DAYS_FIELD_NUMBER: _ClassVar[int]
    MOVEMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    days: _containers.RepeatedCompositeFieldContainer[DaySums]
    movements: _containers.RepeatedCompositeFieldContainer[Movement]
    next_page_token: str
    def __init__(self, days: _Optional[_Iterable[_Union[DaySums, _Mapping]]] = ..., movements: _Optional[_Iterable[_Union[Movement, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExportUnit(_message.Message):
    __slots__ = ("currency", "decimals", "chain_id", "token_address")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    decimals: int
    chain_id: int
    token_address: str
    def __init__(self, currency: _Optional[str] = ..., decimals: _Optional[int] = ..., chain_id: _Optional[int] = ..., token_address: _Optional[str] = ...) -> None: ...

class ExportAmounts(_message.Message):
    __slots__ = ("gross", "refunded", "disputed", "fee", "net")
    GROSS_FIELD_NUMBER: _ClassVar[int]
    REFUNDED_FIELD_NUMBER: _ClassVar[int]
    DISPUTED_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    gross: str
    refunded: str
    disputed: str
    fee: str
    net: str
    def __init__(self, gross: _Optional[str] = ..., refunded: _Optional[str] = ..., disputed: _Optional[str] = ..., fee: _Optional[str] = ..., net: _Optional[str] = ...) -> None: ...

class DaySums(_message.Message):
    __slots__ = ("day", "provider", "method", "unit", "amounts", "payments", "refunds", "disputes", "dispute_returns", "payments_with_fee")
    DAY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_FIELD_NUMBER: _ClassVar[int]
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    REFUNDS_FIELD_NUMBER: _ClassVar[int]
    DISPUTES_FIELD_NUMBER: _ClassVar[int]
    DISPUTE_RETURNS_FIELD_NUMBER: _ClassVar[int]
    PAYMENTS_WITH_FEE_FIELD_NUMBER: _ClassVar[int]
    day: str
    provider: str
    method: str
    unit: ExportUnit
    amounts: ExportAmounts
    payments: int
    refunds: int
    disputes: int
    dispute_returns: int
    payments_with_fee: int
    def __init__(self, day: _Optional[str] = ..., provider: _Optional[str] = ..., method: _Optional[str] = ..., unit: _Optional[_Union[ExportUnit, _Mapping]] = ..., amounts: _Optional[_Union[ExportAmounts, _Mapping]] = ..., payments: _Optional[int] = ..., refunds: _Optional[int] = ..., disputes: _Optional[int] = ..., dispute_returns: _Optional[int] = ..., payments_with_fee: _Optional[int] = ...) -> None: ...

class Movement(_message.Message):
    __slots__ = ("time", "day", "kind", "payment_id", "refund_id", "provider", "method", "reference", "payment_reference", "aliases", "unit", "amounts", "customer_id", "idempotency_key")
    TIME_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    REFUND_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    day: str
    kind: MovementKind
    payment_id: str
    refund_id: str
    provider: str
    method: str
    reference: str
    payment_reference: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    unit: ExportUnit
    amounts: ExportAmounts
    customer_id: str
    idempotency_key: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., day: _Optional[str] = ..., kind: _Optional[_Union[MovementKind, str]] = ..., payment_id: _Optional[str] = ..., refund_id: _Optional[str] = ..., provider: _Optional[str] = ..., method: _Optional[str] = ..., reference: _Optional[str] = ..., payment_reference: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., unit: _Optional[_Union[ExportUnit, _Mapping]] = ..., amounts: _Optional[_Union[ExportAmounts, _Mapping]] = ..., customer_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("id", "provider", "payment_id", "asset", "amount_base_units", "currency", "decimals", "state", "time", "reference", "details")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    id: str
    provider: str
    payment_id: str
    asset: str
    amount_base_units: str
    currency: str
    decimals: int
    state: ReceiptState
    time: _timestamp_pb2.Timestamp
    reference: str
    details: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., provider: _Optional[str] = ..., payment_id: _Optional[str] = ..., asset: _Optional[str] = ..., amount_base_units: _Optional[str] = ..., currency: _Optional[str] = ..., decimals: _Optional[int] = ..., state: _Optional[_Union[ReceiptState, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reference: _Optional[str] = ..., details: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ReceiptFilter(_message.Message):
    __slots__ = ("unmatched", "provider", "payment_id", "time_from", "time_before")
    UNMATCHED_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FROM_FIELD_NUMBER: _ClassVar[int]
    TIME_BEFORE_FIELD_NUMBER: _ClassVar[int]
    unmatched: bool
    provider: str
    payment_id: str
    time_from: _timestamp_pb2.Timestamp
    time_before: _timestamp_pb2.Timestamp
    def __init__(self, unmatched: _Optional[bool] = ..., provider: _Optional[str] = ..., payment_id: _Optional[str] = ..., time_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListReceiptsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: ReceiptFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[ReceiptFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReceiptsResponse(_message.Message):
    __slots__ = ("receipts", "next_page_token")
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[Receipt]
    next_page_token: str
    def __init__(self, receipts: _Optional[_Iterable[_Union[Receipt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AttachReceiptRequest(_message.Message):
    __slots__ = ("receipt_id", "payment_id", "note")
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    receipt_id: str
    payment_id: str
    note: str
    def __init__(self, receipt_id: _Optional[str] = ..., payment_id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class AttachReceiptResponse(_message.Message):
    __slots__ = ("payment",)
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    payment: Payment
    def __init__(self, payment: _Optional[_Union[Payment, _Mapping]] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("from_time", "before_time")
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    from_time: _timestamp_pb2.Timestamp
    before_time: _timestamp_pb2.Timestamp
    def __init__(self, from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RepublishEventsRequest(_message.Message):
    __slots__ = ("payment_id", "event_id", "publish_time", "page_token")
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    event_id: str
    publish_time: TimeRange
    page_token: str
    def __init__(self, payment_id: _Optional[str] = ..., event_id: _Optional[str] = ..., publish_time: _Optional[_Union[TimeRange, _Mapping]] = ..., page_token: _Optional[str] = ...) -> None: ...

class RepublishEventsResponse(_message.Message):
    __slots__ = ("stored", "duplicates", "next_page_token")
    STORED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    stored: int
    duplicates: int
    next_page_token: str
    def __init__(self, stored: _Optional[int] = ..., duplicates: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("sequence", "subject", "event_id", "reason", "time", "deliveries", "headers", "data", "payment_id")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    subject: str
    event_id: str
    reason: str
    time: _timestamp_pb2.Timestamp
    deliveries: int
    headers: _containers.ScalarMap[str, str]
    data: bytes
    payment_id: str
    def __init__(self, sequence: _Optional[int] = ..., subject: _Optional[str] = ..., event_id: _Optional[str] = ..., reason: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deliveries: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., data: _Optional[bytes] = ..., payment_id: _Optional[str] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "sequence")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    sequence: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token", "total")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    total: int
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class ReplayDeadLettersRequest(_message.Message):
    __slots__ = ("sequences",)
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sequences: _Optional[_Iterable[int]] = ...) -> None: ...

class ReplayDeadLettersResponse(_message.Message):
    __slots__ = ("replayed",)
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    replayed: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, replayed: _Optional[_Iterable[int]] = ...) -> None: ...

class ReconciliationFinding(_message.Message):
    __slots__ = ("kind", "reference", "payment_id", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    reference: str
    payment_id: str
    detail: str
    def __init__(self, kind: _Optional[str] = ..., reference: _Optional[str] = ..., payment_id: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class Reconciliation(_message.Message):
    __slots__ = ("provider", "since", "until", "start_time", "end_time", "objects", "payments", "findings")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    objects: int
    payments: int
    findings: _containers.RepeatedCompositeFieldContainer[ReconciliationFinding]
    def __init__(self, provider: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., objects: _Optional[int] = ..., payments: _Optional[int] = ..., findings: _Optional[_Iterable[_Union[ReconciliationFinding, _Mapping]]] = ...) -> None: ...

class ListReconciliationsRequest(_message.Message):
    __slots__ = ("provider", "page_size", "page_token")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    page_size: int
    page_token: str
    def __init__(self, provider: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReconciliationsResponse(_message.Message):
    __slots__ = ("reconciliations", "next_page_token")
    RECONCILIATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reconciliations: _containers.RepeatedCompositeFieldContainer[Reconciliation]
    next_page_token: str
    def __init__(self, reconciliations: _Optional[_Iterable[_Union[Reconciliation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetOverviewRequest(_message.Message):
    __slots__ = ("days",)
    DAYS_FIELD_NUMBER: _ClassVar[int]
    days: int
    def __init__(self, days: _Optional[int] = ...) -> None: ...

class GetOverviewResponse(_message.Message):
    __slots__ = ("overview",)
    OVERVIEW_FIELD_NUMBER: _ClassVar[int]
    overview: Overview
    def __init__(self, overview: _Optional[_Union[Overview, _Mapping]] = ...) -> None: ...

class DailySum(_message.Message):
    __slots__ = ("day", "method", "status", "payments", "amount")
    DAY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    day: str
    method: str
    status: PaymentStatus
    payments: int
    amount: Money
    def __init__(self, day: _Optional[str] = ..., method: _Optional[str] = ..., status: _Optional[_Union[PaymentStatus, str]] = ..., payments: _Optional[int] = ..., amount: _Optional[_Union[Money, _Mapping]] = ...) -> None: ...

class OpenAttention(_message.Message):
    __slots__ = ("reason", "payments", "since")
    REASON_FIELD_NUMBER: _ClassVar[int]
    PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    payments: int
    since: _timestamp_pb2.Timestamp
    def __init__(self, reason: _Optional[str] = ..., payments: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class HealthCheck(_message.Message):
    __slots__ = ("name", "ok", "required", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OK_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    ok: bool
    required: bool
    detail: str
    def __init__(self, name: _Optional[str] = ..., ok: _Optional[bool] = ..., required: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class LoopHealth(_message.Message):
    __slots__ = ("name", "restarts", "failures")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    name: str
    restarts: int
    failures: int
    def __init__(self, name: _Optional[str] = ..., restarts: _Optional[int] = ..., failures: _Optional[int] = ...) -> None: ...

class Backlog(_message.Message):
    __slots__ = ("events", "oldest_event_age", "reports", "unmatched_receipts")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_EVENT_AGE_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    events: int
    oldest_event_age: _duration_pb2.Duration
    reports: int
    unmatched_receipts: int
    def __init__(self, events: _Optional[int] = ..., oldest_event_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reports: _Optional[int] = ..., unmatched_receipts: _Optional[int] = ...) -> None: ...

class TrailState(_message.Message):
    __slots__ = ("checkpoint", "checkpoint_time", "unsigned_rows", "unsigned_payments", "unchained_rows")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_TIME_FIELD_NUMBER: _ClassVar[int]
    UNSIGNED_ROWS_FIELD_NUMBER: _ClassVar[int]
    UNSIGNED_PAYMENTS_FIELD_NUMBER: _ClassVar[int]
    UNCHAINED_ROWS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: int
    checkpoint_time: _timestamp_pb2.Timestamp
    unsigned_rows: int
    unsigned_payments: int
    unchained_rows: int
    def __init__(self, checkpoint: _Optional[int] = ..., checkpoint_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., unsigned_rows: _Optional[int] = ..., unsigned_payments: _Optional[int] = ..., unchained_rows: _Optional[int] = ...) -> None: ...

class Overview(_message.Message):
    __slots__ = ("time", "sums", "attention", "checks", "loops", "backlog", "trail")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    LOOPS_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    sums: _containers.RepeatedCompositeFieldContainer[DailySum]
    attention: _containers.RepeatedCompositeFieldContainer[OpenAttention]
    checks: _containers.RepeatedCompositeFieldContainer[HealthCheck]
    loops: _containers.RepeatedCompositeFieldContainer[LoopHealth]
    backlog: Backlog
    trail: TrailState
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sums: _Optional[_Iterable[_Union[DailySum, _Mapping]]] = ..., attention: _Optional[_Iterable[_Union[OpenAttention, _Mapping]]] = ..., checks: _Optional[_Iterable[_Union[HealthCheck, _Mapping]]] = ..., loops: _Optional[_Iterable[_Union[LoopHealth, _Mapping]]] = ..., backlog: _Optional[_Union[Backlog, _Mapping]] = ..., trail: _Optional[_Union[TrailState, _Mapping]] = ...) -> None: ...

class GetStoredRowsRequest(_message.Message):
    __slots__ = ("payment_id",)
    PAYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    payment_id: str
    def __init__(self, payment_id: _Optional[str] = ...) -> None: ...

class StoredTable(_message.Message):
    __slots__ = ("name", "rows", "has_more")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    rows: _containers.RepeatedScalarFieldContainer[str]
    has_more: bool
    def __init__(self, name: _Optional[str] = ..., rows: _Optional[_Iterable[str]] = ..., has_more: _Optional[bool] = ...) -> None: ...

class GetStoredRowsResponse(_message.Message):
    __slots__ = ("tables",)
    TABLES_FIELD_NUMBER: _ClassVar[int]
    tables: _containers.RepeatedCompositeFieldContainer[StoredTable]
    def __init__(self, tables: _Optional[_Iterable[_Union[StoredTable, _Mapping]]] = ...) -> None: ...

class GetConfigurationRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConfigurationResponse(_message.Message):
    __slots__ = ("configuration",)
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    configuration: Configuration
    def __init__(self, configuration: _Optional[_Union[Configuration, _Mapping]] = ...) -> None: ...

class Setting(_message.Message):
    __slots__ = ("key", "value", "variable", "source")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    variable: str
    source: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., variable: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class ProviderVersion(_message.Message):
    __slots__ = ("name", "version", "methods", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    problem: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ..., problem: _Optional[str] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("version", "environment", "pricing_version", "providers", "settings")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PRICING_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    version: str
    environment: str
    pricing_version: str
    providers: _containers.RepeatedCompositeFieldContainer[ProviderVersion]
    settings: _containers.RepeatedCompositeFieldContainer[Setting]
    def __init__(self, version: _Optional[str] = ..., environment: _Optional[str] = ..., pricing_version: _Optional[str] = ..., providers: _Optional[_Iterable[_Union[ProviderVersion, _Mapping]]] = ..., settings: _Optional[_Iterable[_Union[Setting, _Mapping]]] = ...) -> None: ...
