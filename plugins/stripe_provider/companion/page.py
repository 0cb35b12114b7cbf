"""The hosted page: line items, and a button for each thing that a customer may do."""

from html import escape

from stripe_provider.companion.currencies import written
from stripe_provider.companion.objects import Json

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1f36; --soft: #697386; --line: #e3e8ee;
  --paper: #fff; --desk: #f6f9fc; --accent: #635bff; --bad: #b3093c; }
@media (prefers-color-scheme: dark) { :root { --ink: #f5f6f8; --soft: #a3acba;
  --line: #3a4150; --paper: #1c2130; --desk: #10131c; --accent: #7a73ff; --bad: #ff8aa5; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--desk); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 27rem; background: var(--paper); border-radius: 14px;
  padding: 2rem; box-shadow: 0 12px 40px rgb(20 30 60 / 12%); }
.badge { display: inline-block; font-size: .75rem; font-weight: 600; color: var(--soft);
  border: 1px solid var(--line); border-radius: 99px; padding: .1rem .6rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: .75rem 0 1.25rem; font-variant-numeric:
  tabular-nums; }
ul { list-style: none; margin: 0 0 1.5rem; padding: 0; }
li { display: flex; justify-content: space-between; gap: 1rem; padding: .6rem 0;
  border-bottom: 1px solid var(--line); }
small { display: block; color: var(--soft); }
.price { white-space: nowrap; font-variant-numeric: tabular-nums; }
form { display: grid; gap: .6rem; }
button { font: inherit; font-weight: 600; padding: .7rem; border-radius: 8px; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: inherit; }
button:hover { border-color: var(--accent); }
button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
#pay { background: var(--accent); border-color: var(--accent); color: #fff; }
#notice { border-left: 3px solid var(--bad); color: var(--bad); padding-left: .75rem;
  margin: 0 0 1.25rem; }
a { color: var(--accent); }
footer { margin-top: 1.5rem; color: var(--soft); font-size: .8rem; }
"""


def open_page(session: Json, sold: Json, *, declined: bool) -> str:
    """Render the page of an open session."""
    total = written(session["amount_total"], session["currency"])
    notice = (
        '<p id="notice" role="alert">Your card was declined. Try another way to pay.</p>'
        if declined
        else ""
    )
    items = "".join(_item(item) for item in sold.get("items", []))
    buttons = "".join(
        f'<button id="{name}" formaction="/pay/{escape(session["id"])}/{name}">{text}</button>'
        for name, text in (
            ("pay", f"Pay {escape(total)}"),
            ("pay-async", "Pay later by bank (async)"),
            ("decline", "Decline"),
            ("walk-away", "Walk away"),
        )
    )
    return _page(
        f"Pay {total}",
        f'<h1 id="total">{escape(total)}</h1>{notice}<ul id="items">{items}</ul>'
        f'<form method="post">{buttons}</form>{_back(session, "Cancel and go back")}',
    )


def closed_page(session: Json) -> str:
    """Render the page of a complete or expired session."""
    paid = session["payment_status"] == "paid"
    text = {
        "expired": "This session has expired. Nothing was charged.",
        "complete": "This payment is complete."
        if paid
        else "This checkout is complete; the payment is not settled yet.",
    }[session["status"]]
    return _page(
        "Checkout is over",
        f'<h1>{session["status"].capitalize()}</h1><p id="status">{text}</p>'
        f"{_back(session, 'Back to the shop')}",
    )


def missing_page() -> str:
    """Render the page of an unknown session."""
    return _page("Not found", '<h1>Not found</h1><p id="status">There is no such session.</p>')


def shop_page(has_paid: bool) -> str:
    """Render the page in place of the shop's own; opening it changes nothing."""
    title, text = ("Thank you", "The shop's own page would be here, and would ask payd.")
    if not has_paid:
        title, text = ("Back in the shop", "Nothing was paid. The checkout is still open.")
    return _page(title, f'<h1>{title}</h1><p id="status">{text}</p>')


def _item(item: Json) -> str:
    price = item["price_data"]
    product = price["product_data"]
    name = escape(product["name"])
    if item["quantity"] > 1:
        name = f"{name} &times; {item['quantity']}"
    if product.get("description"):
        name += f"<small>{escape(product['description'])}</small>"
    amount = written(price["unit_amount"] * item["quantity"], price["currency"].lower())
    return f'<li><span>{name}</span><span class="price">{escape(amount)}</span></li>'


def _back(session: Json, text: str) -> str:
    if not session["cancel_url"]:
        return ""
    return f'<p><a id="back" href="{escape(session["cancel_url"])}">{text}</a></p>'


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<span class="badge">Stand-in for Stripe</span>{content}'
        "<footer>A stand-in for development: no card is asked for, and no money moves.</footer>"
        "</main></body></html>"
    )
