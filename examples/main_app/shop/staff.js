// For employees: who wants money back, and whether it is granted. The token stays in this page.

const $ = (id) => document.getElementById(id);
let token = "";

async function ask(method, path) {
  const answer = await fetch(path, { method, headers: { Authorization: `Bearer ${token}` } }).catch(() => null);
  const document = answer ? await answer.json().catch(() => ({})) : {};
  if (!answer?.ok) throw new Error(document.detail || "The shop cannot be reached. Try again.");
  return document;
}

function tell(problem) {
  $("problem").textContent = problem ? problem.message : "";
  $("problem").hidden = !problem;
}

function decision(request, word, text) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await ask("POST", `/api/v1/refund-requests/${request.payment_id}/${word}`);
      await show();
    } catch (problem) {
      tell(problem);
      button.disabled = false;
    }
  });
  return button;
}

async function show() {
  const { refund_requests: requests } = await ask("GET", "/api/v1/refund-requests");
  tell(null);
  $("sign-in").hidden = true;
  $("requests").hidden = false;
  $("none").hidden = requests.length > 0;
  $("list").replaceChildren(
    ...requests.map((request) => {
      const row = document.createElement("li");
      const what = Object.assign(document.createElement("span"), {
        textContent: `${request.user_id}, payment ${request.payment_id}`,
      });
      // Granted already, but payd has not answered: only the same again can follow.
      const isGranted = request.status === "granted";
      row.append(what, decision(request, "grant", isGranted ? "Grant again" : "Grant"));
      if (!isGranted) row.append(decision(request, "refuse", "Refuse"));
      return row;
    }),
  );
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  show().then(() => $("requests-title").focus(), tell);
});
$("again").addEventListener("click", () => show().catch(tell));
