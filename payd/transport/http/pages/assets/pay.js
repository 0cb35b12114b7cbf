// The payment page keeps itself up to date: the server says when, and draws every state itself.

const POLL_MS = 5000;
const POLLS_MAX = 12;
const COPIED_MS = 1500;

const path = location.pathname;
let stream = null;
let polling = 0;
let isFresh = true;
let deadline = 0;

const $ = (id) => document.getElementById(id);
const page = () => $("page");

// -- drawing ------------------------------------------------------------------------------------

function localize() {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time")) {
    time.textContent = format.format(new Date(time.dateTime));
  }
  const left = $("countdown");
  deadline = left ? performance.now() + Number(left.dataset.left) * 1000 : 0;
}

function tick() {
  const left = $("countdown");
  if (!left) return;
  const seconds = Math.max(0, Math.round((deadline - performance.now()) / 1000));
  left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  if (seconds === 0 && isFresh) {
    isFresh = false;
    setTimeout(refresh, 1000);
  }
}

function draw(text) {
  const next = new DOMParser().parseFromString(text, "text/html");
  const fresh = next.getElementById("page");
  if (!fresh) return location.reload();
  const { version, situation } = page().dataset;
  if (fresh.dataset.version === version && fresh.dataset.situation === situation) return undefined;
  // A button that is drawn anew keeps the focus; the new title is read out.
  const focused = document.activeElement?.id;
  const title = fresh.querySelector("h1").textContent;
  page().replaceWith(fresh);
  document.title = next.title;
  if (focused && $(focused)) $(focused).focus();
  $("said").textContent = title;
  isFresh = true;
  localize();
  return undefined;
}

// -- asking -------------------------------------------------------------------------------------

async function refresh() {
  try {
    const answer = await fetch(path, { redirect: "manual", cache: "no-store" });
    if (answer.type === "opaqueredirect") return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    draw(await answer.text());
    $("lost").hidden = true;
    return true;
  } catch {
    $("lost").textContent = page().dataset.lost;
    $("lost").hidden = false;
    return false;
  }
}

function close() {
  stream?.close();
  stream = null;
  clearTimeout(polling);
}

function poll(times) {
  clearTimeout(polling);
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
  stream.addEventListener("change", async () => {
    await refresh();
    if (page().dataset.live !== "yes") close();
  });
  stream.addEventListener("error", () => {
    // While it connects again by itself, nothing is to be done.
    if (stream?.readyState !== EventSource.CLOSED) return;
    close();
    poll(POLLS_MAX);
  });
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

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.copy) copy(button);
  if (button?.id === "print") print();
});
document.addEventListener("visibilitychange", async () => {
  if (document.hidden) return close();
  await refresh();
  return follow();
});

document.documentElement.dataset.script = "runs";
localize();
setInterval(tick, 1000);
follow();
