// The shop: choose, see the price, pay, watch. It asks the main app, never payd.

const POLL_MS = 1000;
const PATIENCE_MS = 15000;
const METHOD_NAMES = { card: "Card", mock: "Test payment" };
const OPEN = new Set(["CREATING", "PENDING", "PROCESSING", "CANCELING"]);
const SUBSCRIPTION = {
  pending_payment: "waiting for payment",
  active: "active",
  canceled: "canceled",
  ended: "ended, the money went back",
};
// Of a payment that has ended, while its event is on its way to the shop.
const ENDED = { COMPLETED: "paid, being started", CANCELED: "canceled", EXPIRED: "canceled", FAILED: "not paid" };
const REFUND = {
  requested: "active, a refund is requested",
  granted: "active, the money is on its way back",
  refused: "active, the refund was refused",
};

const $ = (id) => document.getElementById(id);
const names = new Map();
let currentId = null;
let shown = null;
let subscribed = [];
let watching = 0;

// -- asking the main app ------------------------------------------------------------------------

class Problem extends Error {
  constructor(message, retryAfterSeconds, reason) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
    this.reason = reason;
  }
}

async function ask(method, path, body) {
  // Browsers of 2021 have no AbortSignal.timeout.
  const stop = new AbortController();
  setTimeout(() => stop.abort(), PATIENCE_MS);
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal: stop.signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw new Problem("The shop does not answer. Nothing is lost: try again.", 2);
    throw new Problem("The shop cannot be reached. Are you online?", 2);
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const patience = Number(answer.headers.get("Retry-After")) || 0;
    throw new Problem(document.detail || `The shop answered ${answer.status}.`, patience, document.reason);
  }
  return document;
}

function tell(problem) {
  $("problem").textContent = problem ? problem.message : "";
  $("problem").hidden = !problem;
  $("retrying").hidden = !problem?.retryAfterSeconds;
}

// -- choosing -----------------------------------------------------------------------------------

function fill(select, choices) {
  for (const { id, name } of choices) {
    names.set(id, name);
    select.append(new Option(name, id));
  }
}

function chosenItem() {
  return {
    chain_profile_id: $("chain").value,
    node_type: $("node-type").value,
    duration: $("duration").value,
  };
}

function chosenMethod() {
  const chosen = document.querySelector('input[name="method"]:checked');
  const [method, crypto_currency = ""] = chosen ? chosen.value.split("/") : ["card"];
  return { method, crypto_currency };
}

function showMethods(methods) {
  const real = methods.filter(({ method }) => method !== "mock");
  const offers = (real.length ? real : methods).flatMap(({ method, display_name, crypto_currencies = [] }) =>
    crypto_currencies.length
      ? crypto_currencies.map((currency) => [`${method}/${currency}`, currency])
      : [[method, METHOD_NAMES[method] || display_name || method]],
  );
  for (const [value, text] of offers) {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "method", value });
    const label = document.createElement("label");
    label.append(input, text);
    $("methods").append(label);
  }
  $("methods").querySelector("input").checked = true;
}

let asked = 0;
// Of the price on the button: that is what is charged.
let quoteToken = "";
async function showPrice() {
  const mine = ++asked;
  $("pay").disabled = true;
  try {
    const quote = await ask("POST", "/api/v1/quotes", { items: [chosenItem()], ...chosenMethod() });
    if (mine !== asked) return;
    quoteToken = quote.quote_token;
    const total = money(quote.total);
    $("price").textContent = total;
    $("pay").textContent = `Pay ${total}`;
    $("pay").disabled = false;
    tell(null);
  } catch (problem) {
    if (mine !== asked) return;
    $("price").textContent = "not available";
    $("pay").textContent = "Pay";
    tell(problem);
    retryNow = showPrice;
  }
}

// -- paying -------------------------------------------------------------------------------------

// One key for one press of the button: pressed twice, or sent twice by the network, it pays once.
let key = null;

async function pay(event) {
  event.preventDefault();
  key ??= [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const label = $("pay").textContent;
  $("pay").disabled = true;
  $("pay").textContent = "One moment …";
  tell(null);
  try {
    const payment = await ask("POST", "/api/v1/payments", {
      idempotency_key: key,
      items: [chosenItem()],
      ...chosenMethod(),
      quote_token: quoteToken,
      return_url: `${location.origin}/?back=paid`,
      cancel_url: `${location.origin}/?back=turned`,
    });
    key = null;
    remember(payment.id);
    if (payment.page_url) {
      location.assign(payment.page_url);
      return;
    }
    watch(payment.id);
  } catch (problem) {
    if (problem.reason?.startsWith("QUOTE_")) {
      await showPrice();
      tell(new Problem("The price was too old and has been renewed. Check it, and pay again."));
      return;
    }
    tell(problem);
    // The same key again: should the payment exist, it is found.
    retryNow = () => $("choose").requestSubmit();
    $("pay").textContent = label;
    $("pay").disabled = false;
  }
}

// The customer comes back from the payment page in this browser: its address says which payment.
function remember(id) {
  localStorage.setItem("payment", id);
  history.replaceState(null, "", `/?payment=${id}`);
}

function forget() {
  watching += 1;
  currentId = null;
  localStorage.removeItem("payment");
  history.replaceState(null, "", "/");
  $("payment").hidden = true;
  $("choose").hidden = false;
  showPrice();
}

// -- watching -----------------------------------------------------------------------------------

async function watch(id) {
  const mine = ++watching;
  currentId = id;
  $("choose").hidden = true;
  $("payment").hidden = false;
  $("payment-title").focus();
  while (mine === watching) {
    try {
      const payment = await ask("GET", `/api/v1/payments/${encodeURIComponent(id)}`);
      if (mine !== watching) return;
      tell(null);
      show(payment);
      if (isSettled(payment)) {
        localStorage.removeItem("payment");
        await showSubscriptions();
        return;
      }
      await showSubscriptions();
    } catch (problem) {
      if (mine !== watching) return;
      tell(problem);
      if (!problem.retryAfterSeconds) {
        showUnknown(problem);
        return;
      }
    }
    await pause(POLL_MS);
  }
}

// -- trying again ---------------------------------------------------------------------------------

let retryNow = () => {};
function pause(ms) {
  return new Promise((resolve) => {
    retryNow = resolve;
    setTimeout(resolve, ms);
  });
}

// Money and subscription are told by different ways: it is over when both have come.
function isSettled({ status, subscriptions }) {
  if (OPEN.has(status)) return false;
  const wanted = { COMPLETED: "active", CANCELED: "canceled", EXPIRED: "canceled" }[status];
  return !wanted || subscriptions.every((one) => [wanted, "active", "ended"].includes(one.status));
}

const SAYS = {
  CREATING: ["Starting your payment …", ""],
  PENDING: ["Waiting for your payment", ""],
  PROCESSING: ["Payment seen, waiting for its confirmation …", ""],
  COMPLETED: ["Paid. Your node is being started …", "good"],
  CANCELING: ["Canceling …", ""],
  CANCELED: ["Canceled. Nothing was paid.", "bad"],
  EXPIRED: ["Not paid in time.", "bad"],
  FAILED: ["The payment did not go through.", "bad"],
};

// An order that is not this customer's, or none at all.
function showUnknown(problem) {
  localStorage.removeItem("payment");
  tell(null);
  $("status").textContent = problem.reason === "PAYMENT_NOT_FOUND" ? "There is no such payment." : problem.message;
  $("status").dataset.tone = "bad";
  $("explanation").textContent = "";
  for (const id of ["order", "checkout", "receipt", "transaction", "cancel"]) $(id).hidden = true;
  $("again").hidden = false;
}

function show(payment) {
  shown = payment;
  drawSubscriptions();
  const { status, subscriptions } = payment;
  const isActive = subscriptions.length > 0 && subscriptions.every((one) => one.status === "active");
  const hasEnded = subscriptions.some((one) => one.status === "ended");
  const [text, tone] = hasEnded
    ? ["The money went back. Your subscription has ended.", ""]
    : isActive
      ? ["Paid. Your subscription is active.", "good"]
      : SAYS[status];
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").dataset.tone = tone;
  $("explanation").textContent = [
    money(payment.amount),
    payment.refunded.minor_units ? `${money(payment.refunded)} went back` : "",
    payment.failure,
    payment.attention.length ? `A person will look at it: ${payment.attention.join(", ")}` : "",
  ].filter(Boolean).join(" · ");

  $("order").hidden = false;
  $("number").textContent = payment.id;
  $("date").dateTime = payment.create_time;
  $("date").textContent = new Date(payment.create_time).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  for (const [id, isWanted] of [["checkout", status === "PENDING"], ["receipt", !OPEN.has(status)]]) {
    $(id).hidden = !isWanted || !payment.page_url;
    $(id).href = payment.page_url;
  }
  // What was not paid has a page, but no receipt.
  $("receipt").textContent = payment.status === "COMPLETED" ? "See the receipt" : "See the payment";
  $("transaction").hidden = !payment.transaction_url;
  $("transaction").href = payment.transaction_url;
  $("cancel").hidden = !["PENDING", "CREATING"].includes(status);
  $("again").hidden = OPEN.has(status);
}

async function cancel() {
  $("cancel").disabled = true;
  try {
    show(await ask("POST", `/api/v1/payments/${currentId}/cancel`));
  } catch (problem) {
    tell(problem);
  } finally {
    $("cancel").disabled = false;
  }
}

let looking = 0;
async function showSubscriptions() {
  const { subscriptions } = await ask("GET", "/api/v1/subscriptions");
  clearTimeout(looking);
  // A refund is told by an event, at any time: look until it has come.
  if (subscriptions.some((one) => one.status === "active" && ["requested", "granted"].includes(one.refund))) {
    looking = setTimeout(() => showSubscriptions().catch(tell), POLL_MS);
  }
  subscribed = subscriptions;
  drawSubscriptions();
}

function stateOf({ status, payment_id, refund }) {
  if (status === "active") return REFUND[refund] || SUBSCRIPTION.active;
  if (status !== "pending_payment") return SUBSCRIPTION[status];
  // A payment that failed has let go of it.
  if (!payment_id) return ENDED.FAILED;
  return (payment_id === shown?.id && ENDED[shown.status]) || SUBSCRIPTION[status];
}

function drawSubscriptions() {
  $("mine").hidden = !subscribed.length;
  $("subscriptions").replaceChildren(
    ...subscribed.map((one) => {
      const row = document.createElement("li");
      const what = document.createElement("span");
      what.textContent = [one.chain_profile_id, one.node_type, one.duration].map((id) => names.get(id) || id).join(", ");
      const status = document.createElement("span");
      status.dataset.status = one.status;
      status.textContent = stateOf(one);
      row.append(what, status);
      if (one.status === "active" && !one.refund) row.append(refundButton(one));
      return row;
    }),
  );
}

function refundButton(subscription) {
  const button = Object.assign(document.createElement("button"), {
    type: "button",
    textContent: "Request a refund",
  });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await ask("POST", `/api/v1/subscriptions/${subscription.id}/refund-request`);
      await showSubscriptions();
    } catch (problem) {
      tell(problem);
      button.disabled = false;
    }
  });
  return button;
}

// -- amounts: minor units in, text out ------------------------------------------------------------

function money({ currency_code, minor_units }) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency: currency_code });
  return format.format(minor_units / 10 ** format.resolvedOptions().maximumFractionDigits);
}

// -- the beginning --------------------------------------------------------------------------------

// Until the shop and payd have answered: the page says what is missing, and goes on by itself.
async function load() {
  for (;;) {
    try {
      await ask("POST", "/api/v1/session");
      return await Promise.all([ask("GET", "/api/v1/catalogue"), ask("GET", "/api/v1/payment-methods")]);
    } catch (problem) {
      tell(problem);
      $("retrying").hidden = false;
      await pause(1000 * (problem.retryAfterSeconds || 5));
    }
  }
}

async function begin() {
  $("retry").addEventListener("click", () => retryNow());
  $("cancel").addEventListener("click", cancel);
  $("again").addEventListener("click", forget);
  const [catalogue, { methods }] = await load();
  tell(null);
  fill($("chain"), catalogue.chains);
  fill($("node-type"), catalogue.node_types);
  fill($("duration"), catalogue.durations);
  $("duration").value = "30d";
  showMethods(methods);
  $("choose").addEventListener("change", () => {
    key = null;
    showPrice();
  });
  $("choose").addEventListener("submit", pay);
  const known = new URLSearchParams(location.search).get("payment") || localStorage.getItem("payment");
  if (known) {
    history.replaceState(null, "", `/?payment=${encodeURIComponent(known)}`);
    watch(known);
  } else {
    $("choose").hidden = false;
    await Promise.all([showPrice(), showSubscriptions()]);
  }
}

// The browser's "back" from the payment page may show this page as it was left: busy.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
begin().catch(tell);
