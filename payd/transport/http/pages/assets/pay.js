// The payment page keeps itself up to date: the server says when, and draws every state itself.

const POLL_MS = 5000;
const POLLS_MAX = 12;
const PATIENCE_MS = 10000;
// Longer than the server keeps one stream open, and than its reconnection takes.
const SILENCE_MS = 40000;
const MISSES_MAX = 2;
const COPIED_MS = 1500;

const path = location.pathname;
let stream = null;
let polling = 0;
let misses = 0;
let isFresh = true;
let deadline = 0;
// The server's time at the last answer: this browser's clock may be wrong.
let answerTime = 0;
let quietSince = 0;

const $ = (id) => document.getElementById(id);
const page = () => $("page");

// -- drawing ------------------------------------------------------------------------------------

const DATE = { year: "numeric", month: "short", day: "numeric" };
const TIME = { hour: "numeric", minute: "2-digit", timeZoneName: "short" };
const written = (time, parts) => new Intl.DateTimeFormat(document.documentElement.lang, parts).format(time);

function localize() {
  for (const time of document.querySelectorAll("time")) {
    const isToday = new Date(time.dateTime).toDateString() === new Date($("as-of").dateTime).toDateString();
    const parts = time.className === "near" && isToday ? TIME : { ...DATE, ...TIME };
    time.textContent = written(new Date(time.dateTime), parts);
  }
  setDeadline();
  showWallet();
}

// An answer came: what stands here was so at this time.
function answered(time) {
  answerTime = time;
  quietSince = performance.now();
  misses = 0;
  $("lost").hidden = true;
  const asOf = $("as-of");
  asOf.dateTime = new Date(time).toISOString();
  asOf.textContent = written(time, { ...DATE, ...TIME });
}

function showLost() {
  const text = page().dataset.lost.replace("{time}", written(answerTime, TIME));
  // A screen reader reads it out at each change.
  if ($("lost").textContent !== text) $("lost").textContent = text;
  $("lost").hidden = false;
}

function tick() {
  if (stream && performance.now() - quietSince > SILENCE_MS) poll(POLLS_MAX);
  const left = $("countdown");
  if (!left) return;
  const seconds = Math.max(0, Math.round((deadline - performance.now()) / 1000));
  left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  if (seconds === 0 && isFresh) {
    isFresh = false;
    setTimeout(refresh, 1000);
  }
}

function setDeadline() {
  const left = $("countdown");
  deadline = left ? performance.now() + Number(left.dataset.left) * 1000 : 0;
  isFresh = true;
}

function draw(text) {
  const next = new DOMParser().parseFromString(text, "text/html");
  const fresh = next.getElementById("page");
  if (!fresh) return location.reload();
  const time = Date.parse(next.getElementById("as-of").dateTime);
  const { version, situation } = page().dataset;
  // Two answers were under way, and the newer one came first.
  if (Number(fresh.dataset.version) < Number(version)) return;
  if (fresh.dataset.version === version && fresh.dataset.situation === situation) {
    // The server's clock decides when the time is over.
    if ($("countdown")) $("countdown").dataset.left = fresh.querySelector("#countdown").dataset.left;
    setDeadline();
    return answered(time);
  }
  // A button that is drawn anew keeps the focus; the new title is read out.
  const focused = document.activeElement?.id;
  const title = fresh.querySelector("h1").textContent;
  page().replaceWith(fresh);
  document.title = next.title;
  if (focused && $(focused)) $(focused).focus();
  $("said").textContent = title;
  localize();
  return answered(time);
}

// -- asking -------------------------------------------------------------------------------------

async function refresh() {
  // Browsers of 2021 have no AbortSignal.timeout.
  const stop = new AbortController();
  const patience = setTimeout(() => stop.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(path, { redirect: "manual", cache: "no-store", signal: stop.signal });
    if (answer.type === "opaqueredirect") return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    draw(await answer.text());
    return true;
  } catch {
    showLost();
    return false;
  } finally {
    clearTimeout(patience);
  }
}

function close() {
  stream?.close();
  stream = null;
  clearTimeout(polling);
}

function poll(times) {
  close();
  polling = setTimeout(async () => {
    await refresh();
    if (page().dataset.live !== "yes") return;
    if (times > 1) poll(times - 1);
    else follow();
  }, POLL_MS * (0.75 + Math.random() / 2));
}

function follow() {
  close();
  if (page().dataset.live !== "yes") return;
  stream = new EventSource(`${path}/events?after=${page().dataset.version}`);
  quietSince = performance.now();
  // A stream opens even while payd cannot read the payment: only the page itself is an answer.
  stream.addEventListener("open", read);
  stream.addEventListener("change", read);
  stream.addEventListener("error", () => {
    // A stream ends after a while and connects again by itself, unless the server is away.
    misses += 1;
    if (stream?.readyState === EventSource.CLOSED || misses >= MISSES_MAX) poll(POLLS_MAX);
  });
}

async function read() {
  if (!(await refresh())) poll(POLLS_MAX);
  else if (page().dataset.live !== "yes") close();
}

// -- acting -------------------------------------------------------------------------------------

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without the right to write there, select it for the customer to copy.
    getSelection().selectAllChildren($(button.id.replace("copy", "value")));
    return;
  }
  button.dataset.label ??= button.textContent;
  button.textContent = page().dataset.copied;
  $("said").textContent = page().dataset.copied;
  setTimeout(() => (button.textContent = button.dataset.label), COPIED_MS);
}

// -- a wallet in this browser (EIP-1193) ----------------------------------------------------------

const REFUSED = 4001;
const UNKNOWN_CHAIN = 4902;
const OTHER_CHAIN = 4901;
const UNKNOWN_METHODS = new Set([4200, -32601]);
let isAsking = false;
// What the wallet has sent, for a browser that keeps nothing for this site.
let sent = "";

function remember(requests) {
  sent = requests;
  try {
    localStorage.setItem(path, requests);
  } catch {
    // It is blocked or full.
  }
}

function wasSent(requests) {
  if (sent === requests) return true;
  try {
    return localStorage.getItem(path) === requests;
  } catch {
    return false;
  }
}

function showWallet() {
  const button = $("browser-wallet");
  if (!button || !window.ethereum) return;
  button.hidden = false;
  // One way stands out: that of this browser.
  $("wallet")?.classList.remove("primary");
  // After a reload and in another tab, too: the same transfer is not offered again.
  const isSent = wasSent(button.dataset.requests);
  button.disabled = isAsking || isSent;
  if (isSent) showWalletStatus("sent");
}

function showWalletStatus(name) {
  const status = $("wallet-status");
  if (!status) return;
  status.textContent = $("browser-wallet").dataset[name];
  status.hidden = false;
}

async function isOn(wallet, chainId) {
  return Number(await wallet.request({ method: "eth_chainId" })) === Number(chainId);
}

async function send(wallet, requests) {
  const { chainId, requests: ways } = JSON.parse(requests);
  const [from] = await wallet.request({ method: "eth_requestAccounts" });
  if (!(await isOn(wallet, chainId))) {
    await wallet.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
  }
  for (const { method, params } of ways) {
    const [parameters] = params;
    const isCall = method === "eth_sendTransaction";
    // The customer may have changed it meanwhile: a call on another chain loses the money.
    if (!(await isOn(wallet, chainId))) {
      throw Object.assign(new Error("the wallet is on another chain"), { code: OTHER_CHAIN });
    }
    try {
      return await wallet.request({ method, params: [isCall ? { from, ...parameters } : parameters] });
    } catch (error) {
      if (isCall || !UNKNOWN_METHODS.has(error.code)) throw error;
    }
  }
  throw new Error("the wallet knows none of the requests");
}

async function payWithWallet({ dataset: { requests } }) {
  if (wasSent(requests)) return showWallet();
  isAsking = true;
  showWallet();
  showWalletStatus("asking");
  const status = await send(window.ethereum, requests).then(() => "sent", nameOfError);
  if (status === "sent") remember(requests);
  isAsking = false;
  showWalletStatus(status);
  showWallet();
}

function nameOfError(error) {
  return { [REFUSED]: "refused", [UNKNOWN_CHAIN]: "otherChain", [OTHER_CHAIN]: "otherChain" }[error?.code] || "failed";
}

addEventListener("ethereum#initialized", showWallet);
addEventListener("storage", showWallet);
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.copy) copy(button);
  if (button?.id === "print") print();
  if (button?.id === "browser-wallet") payWithWallet(button);
});
document.addEventListener("visibilitychange", async () => {
  if (document.hidden) return close();
  await refresh();
  return follow();
});

document.documentElement.dataset.script = "runs";
localize();
answered(Date.parse($("as-of").dateTime));
setInterval(tick, 1000);
follow();
