"""Build Stripe's objects as JSON, with Stripe's fields and types."""

import secrets
import string
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

API_VERSION = "2026-10-28.endive"
SESSION = "checkout.session"
PAYMENT_INTENT = "payment_intent"
CHARGE = "charge"
DISPUTE = "dispute"
REFUND = "refund"
BALANCE_TRANSACTION = "balance_transaction"
EVENT = "event"

#: The account's payment methods, in the order in which the page offers them.
_METHODS = ("card", "link", "us_bank_account")
_ALPHABET = string.ascii_letters + string.digits
_NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
#: Fields that are null by default.
_SESSION_NULLS = (
    "after_expiration allow_promotion_codes billing_address_collection client_secret consent "
    "consent_collection collected_information currency_conversion customer customer_account "
    "customer_details integration_identifier invoice origin_context payment_intent payment_link "
    "permissions recovered_from saved_payment_method_options setup_intent "
    "shipping_address_collection shipping_cost subscription url wallet_options"
)
_INTENT_NULLS = (
    "amount_details application application_fee_amount automatic_payment_methods canceled_at "
    "cancellation_reason customer customer_account excluded_payment_method_types "
    "last_payment_error latest_charge next_action on_behalf_of payment_method "
    "payment_method_configuration_details processing receipt_email review setup_future_usage "
    "shipping source statement_descriptor statement_descriptor_suffix transfer_data "
    "transfer_group"
)
_CHARGE_NULLS = (
    "application application_fee application_fee_amount customer "
    "failure_balance_transaction failure_code failure_message on_behalf_of "
    "receipt_email receipt_number receipt_url review shipping source source_transfer "
    "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
)


def new_id(prefix: str, length: int = 24) -> str:
    """Return a random id in Stripe's alphabet."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_session_id(*, livemode: bool) -> str:
    """Return an id as long as a real session's, which is longer than other ids."""
    return new_id("cs_live_a1" if livemode else "cs_test_a1", 56)


def session(params: Json, *, now: int, livemode: bool) -> Json:
    """Build an open session. Its `url` is added when it is shown: the port may change."""
    amount = params["amount"]
    allowed = params.get("allowed_payment_method_types")
    own = {
        "id": new_session_id(livemode=livemode),
        "object": SESSION,
        "adaptive_pricing": {"enabled": True, **params.get("adaptive_pricing", {})},
        "allowed_payment_method_types": allowed,
        "amount_subtotal": amount,
        "amount_total": amount,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": params["currency"],
        "customer_email": params.get("customer_email"),
        "expires_at": params.get("expires_at", now + 24 * 3600),
        "livemode": livemode,
        "locale": params.get("locale"),
        "metadata": params.get("metadata", {}),
        "payment_method_configuration_details": {"id": new_id("pmc_1"), "parent": None},
        # The methods of the account that the merchant allows.
        "payment_method_types": [one for one in _METHODS if one in (allowed or _METHODS)],
        "submit_type": params.get("submit_type"),
        "success_url": params.get("success_url"),
    }
    return {**_session_defaults(), **own}


def _session_defaults() -> Json:
    return {
        **dict.fromkeys(_SESSION_NULLS.split()),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer_creation": "if_required",
        "discounts": [],
        "invoice_creation": {"enabled": False, "invoice_data": _invoice_data()},
        "managed_payments": {"enabled": False},
        "mode": "payment",
        "payment_method_collection": "if_required",
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    }


def _invoice_data() -> Json:
    names = ("account_tax_ids", "custom_fields", "description", "footer", "issuer")
    return {**dict.fromkeys(names), "metadata": {}, "rendering_options": None}


def customer_details(email: str | None) -> Json:
    """Build the customer's details."""
    return {
        "address": {**_NO_ADDRESS, "country": "US", "postal_code": "42424"},
        "business_name": None,
        "email": email or "jenny.rosen@example.com",
        "individual_name": None,
        "name": "Jenny Rosen",
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def line_items(params: Json, session_id: str) -> Json:
    """Build the line items as an expanded list."""
    return {
        "object": "list",
        "data": [_line_item(item) for item in params["line_items"]],
        "has_more": False,
        "url": f"/v1/checkout/sessions/{session_id}/line_items",
    }


def _line_item(item: Json) -> Json:
    price = item["price_data"]
    amount = price["unit_amount"] * item["quantity"]
    return {
        "id": new_id("li_1"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"].lower(),
        "description": price["product_data"]["name"],
        "metadata": {},
        "quantity": item["quantity"],
    }


def payment_intent(sold: Json, data: Json, *, now: int) -> Json:
    """Build a session's payment intent, at the first attempt to pay."""
    intent_id = new_id("pi_3", 23)
    return {
        **dict.fromkeys(_INTENT_NULLS.split()),
        "id": intent_id,
        "object": PAYMENT_INTENT,
        "amount": sold["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": "automatic_async",
        "client_secret": new_id(f"{intent_id}_secret_"),
        "confirmation_method": "automatic",
        "created": now,
        "currency": sold["currency"],
        "description": data.get("description"),
        "livemode": sold["livemode"],
        "managed_payments": {"enabled": False},
        "metadata": data.get("metadata", {}),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": sold["payment_method_types"],
        "status": "requires_payment_method",
    }


def payment_failure(failed: Json) -> Json:
    """Build `last_payment_error` of an intent from its failed charge."""
    method = failed["payment_method_details"]["type"]
    anchor = failed["failure_code"].replace("_", "-")
    error = {
        "charge": failed["id"],
        "code": failed["failure_code"],
        "doc_url": f"https://stripe.com/docs/error-codes/{anchor}",
        "message": failed["failure_message"],
        "payment_method": {
            "id": failed["payment_method"],
            "object": "payment_method",
            "billing_details": failed["billing_details"],
            "created": failed["created"],
            "customer": None,
            "livemode": failed["livemode"],
            "metadata": {},
            "type": method,
        },
        "type": "card_error" if method == "card" else "invalid_request_error",
    }
    return {**error, "decline_code": "generic_decline"} if method == "card" else error


def charge(intent: Json, status: str, method: str, *, now: int) -> Json:
    """Build a charge that is `succeeded`, `pending` or `failed`."""
    succeeded = status == "succeeded"
    return {
        **dict.fromkeys(_CHARGE_NULLS.split()),
        "id": new_id("ch_3", 23),
        "object": CHARGE,
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if succeeded else 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": _billing_details(),
        "calculated_statement_descriptor": "PAYD STAND-IN",
        "captured": succeeded,
        "created": now,
        "currency": intent["currency"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "livemode": intent["livemode"],
        "metadata": intent["metadata"],
        "outcome": _outcome(status),
        "paid": succeeded,
        "payment_intent": intent["id"],
        "payment_method": new_id("pm_1"),
        "payment_method_details": _method_details(method, intent["amount"]),
        "refunded": False,
        "status": status,
    }


def _billing_details() -> Json:
    return {
        "address": dict(_NO_ADDRESS),
        "email": "jenny.rosen@example.com",
        "name": "Jenny Rosen",
        "phone": None,
        "tax_id": None,
    }


def _outcome(status: str) -> Json:
    failed = status == "failed"
    return {
        "advice_code": "try_again_later" if failed else None,
        "network_advice_code": None,
        "network_decline_code": "05" if failed else None,
        "network_status": "declined_by_network" if failed else "approved_by_network",
        "reason": "generic_decline" if failed else None,
        "seller_message": "The bank did not return any further details with this decline."
        if failed
        else "Payment complete.",
        "type": "issuer_declined" if failed else "authorized",
    }


def _method_details(method: str, amount: int) -> Json:
    if method != "card":
        names = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4")
        bank = {**dict.fromkeys(names), "bank_name": "STAND-IN BANK", "last4": "6789"}
        return {"type": method, method: bank}
    return {"type": "card", "card": _card(amount)}


def _card(amount: int) -> Json:
    checks = ("address_line1_check", "address_postal_code_check", "cvc_check")
    return {
        "amount_authorized": amount,
        "authorization_code": None,
        "brand": "visa",
        "checks": {**dict.fromkeys(checks), "cvc_check": "pass"},
        "country": "US",
        "exp_month": 8,
        "exp_year": 2030,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": new_id("", 16),
        "funding": "credit",
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": "4242",
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": "visa",
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": None,
    }
