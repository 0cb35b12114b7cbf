// Live pages: the part `#live` is asked for again every few seconds while somebody looks at it.
const live = document.getElementById("live");
const said = document.getElementById("said");

function isBusy() {
  // What a person has opened or stands on must not move away.
  return document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]");
}

async function look() {
  if (isBusy()) return;
  const answer = await fetch(location.href, { headers: { "X-Console-Live": "1" }, redirect: "manual" });
  if (answer.type === "opaqueredirect") {
    // Behind a proxy, to load the page again would begin a new session that nobody asked for.
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (!fresh || isBusy() || fresh.innerHTML === live.innerHTML) return;
  const heading = live.querySelector(".status")?.textContent;
  live.replaceChildren(...fresh.childNodes);
  const now = live.querySelector(".status")?.textContent;
  if (now && now !== heading) said.textContent = now;
}

if (live) {
  setInterval(() => look().catch(() => undefined), Number(live.dataset.live) * 1000);
}
