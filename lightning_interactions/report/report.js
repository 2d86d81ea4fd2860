
// -- the report: answers the tab's questions from the data in the page ------------------------------------------------

const report = JSON.parse(document.getElementById("data").textContent);

function answerTo(address) {
  const [route, parameters] = address.split("?");
  if (route === "runs") return { runs: report.runs };
  const query = new URLSearchParams(parameters);
  const at = report.runs.findIndex((run) => run.run === query.get("run") && run.prefix === query.get("prefix"));
  return route === "data" ? report.contents[at]?.data : report.contents[at]?.effects[query.get("epoch")];
}

window.fetch = async (address) => {
  const content = answerTo(address);
  return { ok: content !== undefined, status: content === undefined ? 404 : 200, json: async () => structuredClone(content) };
};

const title = document.title;
document.body.classList.toggle("single", report.runs.length === 1);
await render(false);
document.title = title;
document.body.append(document.getElementById("about"));
if (report.beside !== null) {
  const second = document.getElementById("second-run");
  second.value = keyOf(report.runs[report.beside]);
  second.dispatchEvent(new Event("change"));
}
