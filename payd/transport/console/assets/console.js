// Live pages: the part `#live` is loaded again when the server says so by an event; where no events
// come, every few seconds. A page that gets no answer says so, and goes on trying.
const live = document.getElementById("live");
const said = document.getElementById("said");
const stale = document.getElementById("stale");
// Longer than the server keeps one stream open.
const STREAM_SILENCE_MS = 40000;
const ANSWER_MS = 15000;
// Of the page of one payment.
const HEADING = "h1 + p .status";

let stream = null;
let lastSign = 0;
let lastAnswer = new Date();
let isLoading = false;
let isWanted = false;

function keyOf(element) {
  // What a person stands on, in words that also name its successor.
  if (element.matches("summary")) return element.closest("details")?.dataset.key && `summary:${element.closest("details").dataset.key}`;
  if (element.matches("a[href]")) return `a:${element.getAttribute("href")}`;
  return null;
}

function find(key) {
  const [kind, value] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
  const all = kind === "a" ? live.querySelectorAll("a[href]") : live.querySelectorAll("summary");
  return [...all].find((one) => keyOf(one) === `${kind}:${value}`);
}

function isBusy() {
  // Marked or typed text, or a place that cannot be found again, must not move away.
  const marked = getSelection();
  if (!marked.isCollapsed && live.contains(marked.anchorNode)) return true;
  if ([...live.querySelectorAll("input")].some((one) => one.value !== one.defaultValue)) return true;
  const at = document.activeElement;
  return live.contains(at) && !keyOf(at);
}

function replace(fresh) {
  const open = new Set([...live.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  const at = live.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const heading = live.querySelector(HEADING)?.textContent;
  for (const one of fresh.querySelectorAll("details")) one.open = open.has(one.dataset.key);
  if (fresh.innerHTML === live.innerHTML) return;
  live.replaceChildren(...fresh.childNodes);
  if (at) find(at)?.focus({ preventScroll: true });
  const now = live.querySelector(HEADING)?.textContent;
  if (now && now !== heading) said.textContent = now;
}

function tellAge(isFresh) {
  if (isFresh) lastAnswer = new Date();
  stale.hidden = isFresh;
  // As all times of the console.
  const time = `${lastAnswer.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const text = stale.dataset.text.replace("{time}", time);
  if (!isFresh && stale.textContent !== text) stale.textContent = text;
}

async function load() {
  isWanted = true;
  if (isLoading || document.hidden || isBusy()) return;
  isLoading = true;
  // An event that comes from here on may be newer than the answer.
  isWanted = false;
  // Browsers of 2021 have no AbortSignal.timeout.
  const stop = new AbortController();
  setTimeout(() => stop.abort(), ANSWER_MS);
  try {
    const answer = await fetch(location.href, {
      headers: { "X-Console-Live": "1" }, redirect: "manual", signal: stop.signal,
    });
    if (answer.type === "opaqueredirect") {
      // Behind a proxy, to load the page again would begin a new session that nobody asked for.
      location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
      return;
    }
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    tellAge(true);
    if (fresh && isBusy()) isWanted = true;
    else if (fresh) replace(fresh);
  } catch {
    isWanted = true;
    tellAge(false);
  } finally {
    isLoading = false;
  }
  if (isWanted && stale.hidden) load();
}

function listen() {
  stream?.close();
  stream = new EventSource(live.dataset.events);
  lastSign = Date.now();
  stream.addEventListener("open", () => { lastSign = Date.now(); });
  stream.addEventListener("change", () => { lastSign = Date.now(); load(); });
  stream.addEventListener("error", () => { lastSign = 0; });
}

function look() {
  if (document.hidden) return;
  const isStreaming = stream.readyState === EventSource.OPEN && Date.now() - lastSign < STREAM_SILENCE_MS;
  if (isWanted || !isStreaming || !stale.hidden) load();
  if (stream.readyState === EventSource.CLOSED || (!isStreaming && stream.readyState === EventSource.OPEN)) listen();
}

// On a phone the row of pages scrolls.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

if (live?.dataset.events) {
  listen();
  setInterval(look, Number(live.dataset.live) * 1000);
  document.addEventListener("visibilitychange", () => {
    // A browser keeps few connections to one host: a hidden page needs none.
    if (document.hidden) stream.close();
    else { listen(); load(); }
  });
  addEventListener("pagehide", () => stream.close());
}
