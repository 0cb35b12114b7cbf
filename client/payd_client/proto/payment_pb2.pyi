import datetime

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
PAYMENT_STATUS_UNSPECIFIED: PaymentStatus
PAYMENT_STATUS_CREATING: PaymentStatus
PAYMENT_STATUS_PENDING: PaymentStatus
PAYMENT_STATUS_PROCESSING: PaymentStatus
PAYMENT_STATUS_COMPLETED: PaymentStatus
PAYMENT_STATUS_CANCELING: PaymentStatus
PAYMENT_STATUS_CANCELED: PaymentStatus
PAYMENT_STATUS_EXPIRED: PaymentStatus
PAYMENT_STATUS_FAILED: PaymentStatus

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
    __slots__ = ("items", "total", "method", "crypto", "pricing_version", "expire_time")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_FIELD_NUMBER: _ClassVar[int]
    PRICING_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[PricedItem]
    total: Money
    method: str
    crypto: QuoteCrypto
    pricing_version: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, items: _Optional[_Iterable[_Union[PricedItem, _Mapping]]] = ..., total: _Optional[_Union[Money, _Mapping]] = ..., method: _Optional[str] = ..., crypto: _Optional[_Union[QuoteCrypto, _Mapping]] = ..., pricing_version: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetQuoteRequest(_message.Message):
    __slots__ = ("items", "method", "crypto_currency")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    method: str
    crypto_currency: str
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., method: _Optional[str] = ..., crypto_currency: _Optional[str] = ...) -> None: ...

class GetQuoteResponse(_message.Message):
    __slots__ = ("quote",)
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    quote: Quote
    def __init__(self, quote: _Optional[_Union[Quote, _Mapping]] = ...) -> None: ...

class InitiatePaymentRequest(_message.Message):
    __slots__ = ("idempotency_key", "customer", "items", "method", "crypto_currency", "subscription_ids", "return_url", "cancel_url", "metadata")
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
    idempotency_key: str
    customer: Customer
    items: _containers.RepeatedCompositeFieldContainer[Item]
    method: str
    crypto_currency: str
    subscription_ids: _containers.RepeatedScalarFieldContainer[str]
    return_url: str
    cancel_url: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, idempotency_key: _Optional[str] = ..., customer: _Optional[_Union[Customer, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., method: _Optional[str] = ..., crypto_currency: _Optional[str] = ..., subscription_ids: _Optional[_Iterable[str]] = ..., return_url: _Optional[str] = ..., cancel_url: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

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
    __slots__ = ("redirect", "crypto_transfer")
    REDIRECT_FIELD_NUMBER: _ClassVar[int]
    CRYPTO_TRANSFER_FIELD_NUMBER: _ClassVar[int]
    redirect: Redirect
    crypto_transfer: CryptoTransfer
    def __init__(self, redirect: _Optional[_Union[Redirect, _Mapping]] = ..., crypto_transfer: _Optional[_Union[CryptoTransfer, _Mapping]] = ...) -> None: ...

class Redirect(_message.Message):
    __slots__ = ("url",)
    URL_FIELD_NUMBER: _ClassVar[int]
    url: str
    def __init__(self, url: _Optional[str] = ...) -> None: ...

class CryptoTransfer(_message.Message):
    __slots__ = ("currency", "chain_id", "token_address", "receiver_address", "amount_base_units", "decimals", "memo", "calldata", "payment_uri")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    MEMO_FIELD_NUMBER: _ClassVar[int]
    CALLDATA_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_URI_FIELD_NUMBER: _ClassVar[int]
    currency: str
    chain_id: int
    token_address: str
    receiver_address: str
    amount_base_units: str
    decimals: int
    memo: str
    calldata: str
    payment_uri: str
    def __init__(self, currency: _Optional[str] = ..., chain_id: _Optional[int] = ..., token_address: _Optional[str] = ..., receiver_address: _Optional[str] = ..., amount_base_units: _Optional[str] = ..., decimals: _Optional[int] = ..., memo: _Optional[str] = ..., calldata: _Optional[str] = ..., payment_uri: _Optional[str] = ...) -> None: ...

class CryptoFacts(_message.Message):
    __slots__ = ("currency", "token_address", "decimals", "due_base_units", "received_base_units", "confirmed_base_units")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    DUE_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_BASE_UNITS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    token_address: str
    decimals: int
    due_base_units: str
    received_base_units: str
    confirmed_base_units: str
    def __init__(self, currency: _Optional[str] = ..., token_address: _Optional[str] = ..., decimals: _Optional[int] = ..., due_base_units: _Optional[str] = ..., received_base_units: _Optional[str] = ..., confirmed_base_units: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("id", "status", "method", "provider", "amount", "customer_id", "idempotency_key", "items", "subscription_ids", "next_action", "provider_reference", "received", "refunded", "crypto", "attention", "failure", "late", "pricing_version", "metadata", "create_time", "update_time", "expire_time", "complete_time")
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
    def __init__(self, id: _Optional[str] = ..., status: _Optional[_Union[PaymentStatus, str]] = ..., method: _Optional[str] = ..., provider: _Optional[str] = ..., amount: _Optional[_Union[Money, _Mapping]] = ..., customer_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., items: _Optional[_Iterable[_Union[PricedItem, _Mapping]]] = ..., subscription_ids: _Optional[_Iterable[str]] = ..., next_action: _Optional[_Union[NextAction, _Mapping]] = ..., provider_reference: _Optional[str] = ..., received: _Optional[_Union[Money, _Mapping]] = ..., refunded: _Optional[_Union[Money, _Mapping]] = ..., crypto: _Optional[_Union[CryptoFacts, _Mapping]] = ..., attention: _Optional[_Iterable[str]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., late: _Optional[bool] = ..., pricing_version: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
