/**
 * The Interactions tab: one page for one or two runs. TensorBoard imports this module into a frame and calls render().
 *
 * Text from event files goes into the page as text nodes and attributes only, never as markup.
 */

const POLL_MS = 5000;
const STEP_MS = 700;
const SVG = "http://www.w3.org/2000/svg";
const CIVIDIS = ["#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9b9476", "#bcae6c", "#dec958", "#fee838"];
const CERTAIN_WIDTH = 0.5;

const HELP = {
  strength:
    "Strength of each order, averaged over samples. The order is the number of patches, words or columns that are" +
    " combined; the strength is the sum of the effects, in the unit of the network's output (nats for log-odds)." +
    " Positive effects go up, negative ones down.\nDecay: simple combinations that recur on new samples." +
    " Spindle: noise of middle orders whose signs cancel. Residual: what the two do not explain.",
  loss:
    "Mean loss on two fixed sets of samples, in evaluation mode, in nats for cross-entropy. The shaded part is the" +
    " overfitting phase: the gap between held-out and training loss grows. Click to go to an epoch.",
  heat:
    "Share of each order in all strength of an epoch, positive and negative together. Strength that wanders up to middle" +
    " orders late in training is a sign of overfitting. Click to go to an epoch.",
  share:
    "Share of the spindle in spindle and decay together, 0 … 1, with the interval in which it may lie. A hollow point is" +
    " not identified: its interval is too wide to say anything, or decay was made from that very epoch, the reference." +
    " Click to go to an epoch.",
  samples:
    "The strongest interactions of some held-out samples. AND: the effect is there when all its variables are present." +
    " OR: when any of them is. Letters name the variables. Effects are in the unit of the network's output.",
};

const state = {
  runs: [],
  data: new Map(), // key of a run -> its records and more
  chosen: ["", ""],
  epoch: null, // null follows the last one
  scale: "epoch",
  timer: null,
  picked: new Map(), // key of a run and sample -> the effect that is drawn
  failed: false,
};

const page = {}; // the elements that stay

/** Called by TensorBoard; a page that has the style already, such as a report, says so. */
export async function render(withStyle = true) {
  document.documentElement.lang = "en";
  document.title = "Interactions";
  if (withStyle) await addStyle();
  followTheme();
  buildPage();
  await refresh();
  setInterval(() => document.hidden || refresh(), POLL_MS);
  let width = page.panels.clientWidth;
  const resized = () => {
    if (page.panels.clientWidth === width) return; // only the height, which drawing itself changes
    width = page.panels.clientWidth;
    draw();
  };
  new ResizeObserver(resized).observe(page.panels);
}

// -- elements ---------------------------------------------------------------------------------------------------------

/** An HTML element; children are elements or texts. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function addStyle() {
  return new Promise((resolve) => {
    const link = el("link", { rel: "stylesheet", href: "static/style.css", onload: resolve, onerror: resolve });
    document.head.append(link);
  });
}

/** Dark when TensorBoard is dark; on its own, as the browser prefers. */
function followTheme() {
  const set = (dark) => document.documentElement.classList.toggle("dark", dark);
  try {
    const body = window.parent.document.body;
    if (window.parent === window) throw new Error("not in a frame");
    const look = () => set(body.classList.contains("dark-mode"));
    new MutationObserver(look).observe(body, { attributeFilter: ["class"] });
    look();
  } catch {
    const query = window.matchMedia("(prefers-color-scheme: dark)");
    query.addEventListener("change", () => set(query.matches));
    set(query.matches);
  }
}

// -- the page ---------------------------------------------------------------------------------------------------------

function buildPage() {
  page.first = el("select", { id: "run", onchange: (event) => choose(0, event.target.value) });
  page.second = el("select", { id: "second-run", onchange: (event) => choose(1, event.target.value) });
  page.play = el("button", { type: "button", id: "play", onclick: () => (state.timer ? stop() : play()) }, "▶ Play");
  page.slider = el("input", { type: "range", id: "epoch", min: 0, max: 0, step: 1, value: 0, oninput: slide });
  page.epoch = el("output", { for: "epoch" });
  page.scale = el(
    "select",
    { id: "scale", onchange: (event) => ((state.scale = event.target.value), draw()) },
    el("option", { value: "epoch" }, "of this epoch"),
    el("option", { value: "all" }, "of all epochs"),
  );
  page.controls = el(
    "div",
    { class: "controls", role: "group", "aria-label": "What to show" },
    el("label", {}, "Run", page.first),
    el("label", {}, "Compare with", page.second),
    el(
      "div",
      { class: "time" },
      page.play,
      el("label", { for: "epoch", class: "hidden" }, "Measured epoch"),
      page.slider,
      page.epoch,
    ),
    el("label", {}, "Scale", page.scale),
  );
  page.message = el("p", { class: "message", role: "status" });
  page.panels = el("div", { class: "panels" });
  page.live = el("div", { class: "hidden", "aria-live": "polite" });
  page.tip = el("div", { class: "tip", role: "tooltip", hidden: "" });
  const hatch = svg(
    "pattern",
    { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("line", { x1: 0, y1: 0, x2: 0, y2: 5, class: "hatch" }),
  );
  const shared = svg("svg", { width: 0, height: 0, class: "hidden", "aria-hidden": "true" }, svg("defs", {}, hatch));
  const main = el("main", {}, el("h1", { class: "hidden" }, "Interactions"), page.controls, page.message, page.panels);
  document.body.append(main, page.live, page.tip, shared);
  page.cards = [buildPanel(0), buildPanel(1)];
}

/** The frame of one run's figures; its charts stay in place, so that the focus stays too. */
function buildPanel(index) {
  const panel = { index };
  panel.title = el("h2");
  panel.verdict = el("p", { class: "verdict" });
  panel.tiles = el("div", { class: "tiles" });
  panel.note = el("p", { class: "note" });
  panel.strength = buildChart("Strength by order", "strength", "chart tall");
  panel.loss = buildChart("Losses and phase", "loss", "chart tall clickable");
  panel.heat = buildChart("Order over training", "heat", "chart clickable");
  panel.share = buildChart("Spindle share over training", "share", "chart clickable");
  panel.numbers = el("details", {}, el("summary", {}, "Numbers"), el("div", { class: "scroll" }));
  panel.strength.card.append(panel.numbers);
  panel.samples = el("div", { class: "samples" });
  const title = heading("What it combines", "samples");
  panel.samplesCard = el("section", { class: "card samples-card" }, title, panel.samples);
  const charts = [panel.strength, panel.loss, panel.heat, panel.share];
  panel.charts = el("div", { class: "charts" }, ...charts.map((chart) => chart.card));
  panel.root = el(
    "section",
    { class: "panel", "aria-label": index ? "Second run" : "Run" },
    panel.title,
    panel.verdict,
    panel.tiles,
    panel.note,
    panel.charts,
    panel.samplesCard,
  );
  return panel;
}

function buildChart(title, help, className) {
  const picture = svg("svg", { class: className, tabindex: 0, role: "img" });
  const chart = { svg: picture, key: el("ul", { class: "key" }), spots: [] };
  chart.card = el("section", { class: `card ${help}-card` }, heading(title, help), chart.svg, chart.key);
  makeInteractive(chart);
  return chart;
}

function heading(title, help) {
  const button = el("button", { type: "button", class: "help", "aria-label": `${title}: ${HELP[help]}` }, "?");
  const show = () => {
    const box = button.getBoundingClientRect();
    showTip(HELP[help].split("\n"), box.left, box.bottom);
  };
  for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, show);
  for (const event of ["pointerleave", "blur"]) button.addEventListener(event, hideTip);
  button.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
  return el("header", {}, el("h3", {}, title), button);
}

// -- data -------------------------------------------------------------------------------------------------------------

const keyOf = (run) => JSON.stringify([run.run, run.prefix]);

function nameOf(run) {
  const monitor = run.prefix.replace(/^interactions\//, "").replace(/\/$/, "");
  return monitor ? `${run.run} · ${monitor}` : run.run;
}

/** Ask what there is, read what is new of the chosen runs, and draw if anything changed. */
async function refresh() {
  if (page.busy) return;
  page.busy = true;
  try {
    const answer = await fetch("runs");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { runs } = await answer.json();
    const before = JSON.stringify(state.runs);
    state.runs = runs;
    if (JSON.stringify(runs) !== before) offerRuns();
    const changed = await readChosen();
    if (changed || state.failed || !page.drawn) {
      state.failed = false;
      page.drawn = true;
      draw();
    }
  } catch {
    state.failed = true;
    page.message.textContent = "TensorBoard does not answer. The page tries again every few seconds.";
  } finally {
    page.busy = false;
  }
}

async function readChosen() {
  let changed = false;
  for (const key of new Set(state.chosen.filter(Boolean))) {
    const run = state.runs.find((one) => keyOf(one) === key);
    if (!run || state.data.get(key)?.version === run.version) continue;
    const answer = await fetch(`data?${new URLSearchParams({ run: run.run, prefix: run.prefix })}`);
    if (!answer.ok) continue; // deleted between the two questions
    const content = prepared(await answer.json());
    state.data.set(key, { ...run, key, name: nameOf(run), effects: new Map(), ...content });
    changed = true;
  }
  return changed;
}

/** Derived once for each run: overfitting spans, which the record of each epoch only knows up to then. */
function prepared(content) {
  const spans = [];
  let open = null;
  for (const record of content.records) {
    if (record.overfitting && !open) {
      open = { from: number(record.onset_epoch) ?? record.epoch, to: record.epoch };
      spans.push(open);
    } else if (!record.overfitting && open) {
      open.to = record.epoch;
      open = null;
    }
    if (open) open.to = record.epoch;
  }
  return { ...content, spans };
}

function offerRuns() {
  const keys = state.runs.map(keyOf);
  state.chosen = state.chosen.map((key) => (keys.includes(key) ? key : ""));
  const newest = state.runs.reduce((a, b) => (a && a.changed >= b.changed ? a : b), null);
  if (!state.chosen[0] && newest) state.chosen[0] = keyOf(newest);
  const options = () => state.runs.map((run) => el("option", { value: keyOf(run) }, nameOf(run)));
  page.first.replaceChildren(...options());
  page.second.replaceChildren(el("option", { value: "" }, "no other run"), ...options());
  page.first.value = state.chosen[0];
  page.second.value = state.chosen[1];
}

async function choose(index, key) {
  state.chosen[index] = key;
  try {
    await readChosen();
    draw();
  } catch {
    state.failed = true;
    page.message.textContent = "TensorBoard does not answer. The page tries again every few seconds.";
  }
}

const shownRuns = () => state.chosen.map((key) => state.data.get(key)).filter(Boolean);

/** The strongest effects at an epoch: known, or asked for and null for now. */
function effectsAt(run, epoch) {
  if (!run.effects.has(epoch)) {
    run.effects.set(epoch, null);
    askForEffects(run, epoch);
  }
  return run.effects.get(epoch);
}

async function askForEffects(run, epoch) {
  let found = [];
  try {
    const answer = await fetch(`effects?${new URLSearchParams({ run: run.run, prefix: run.prefix, epoch })}`);
    if (answer.ok) found = (await answer.json()).strongest;
  } catch {
    // The poll tells that TensorBoard does not answer.
  }
  run.effects.set(epoch, found);
  page.cards.forEach((panel, index) => {
    const record = shownRuns()[index] === run && recordAt(run, shownEpoch());
    if (record && record.epoch === epoch) drawSamples(panel, run, record);
  });
}

// -- time -------------------------------------------------------------------------------------------------------------

function allEpochs() {
  const epochs = new Set(shownRuns().flatMap((run) => run.records.map((record) => record.epoch)));
  return [...epochs].sort((a, b) => a - b);
}

function slide(event) {
  stop();
  const epochs = allEpochs();
  goTo(epochs[Number(event.target.value)], true);
}

const shownEpoch = () => state.epoch ?? allEpochs().pop();

/** Show an epoch; the last one means to follow a running training. */
function goTo(epoch, announce = false) {
  const epochs = allEpochs();
  state.epoch = epoch === epochs[epochs.length - 1] ? null : epoch;
  draw();
  const shown = page.cards.filter((panel) => panel.root.isConnected);
  if (announce) say(shown.map((panel) => panel.verdict.textContent).join(" "));
}

function play() {
  const epochs = allEpochs();
  if (state.epoch === null && epochs.length) goTo(epochs[0]);
  page.play.textContent = "❚❚ Pause";
  state.timer = setInterval(() => {
    const known = allEpochs();
    const at = state.epoch === null ? known.length : known.indexOf(state.epoch);
    if (at + 1 >= known.length) stop();
    else goTo(known[at + 1]);
  }, STEP_MS);
}

function stop() {
  clearInterval(state.timer);
  state.timer = null;
  page.play.textContent = "▶ Play";
}

let speaking;
function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => (page.live.textContent = text), 300);
}

// -- numbers ----------------------------------------------------------------------------------------------------------

/** A finite number, or null: failed measurements have null for NaN. */
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const list = (value) => (Array.isArray(value) ? value.map((entry) => number(entry)) : []);

function show(value, digits = 3) {
  if (number(value) === null) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("-", "−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

/** The size of an effect, in a column of such. */
function amount(value) {
  const size = Math.abs(value);
  return size >= 0.1 ? size.toFixed(2) : String(Number(size.toPrecision(2)));
}

const percent = (value) => (number(value) === null ? "–" : `${Math.round(100 * value)}\u00a0%`);
const signed = (value) => (value > 0 ? `+${show(value)}` : show(value));

/** A network fitted to itself is all decay, which says nothing about it. */
const isReference = (record) => number(record.reference_epoch) === record.epoch;

/** The four stacks and the measured strength of one order. */
function ordersOf(record) {
  const [positive, negative] = [list(record.positive), list(record.negative)];
  const [up, down, noise] = [list(record.decay_positive), list(record.decay_negative), list(record.spindle)];
  return positive.map((value, index) => {
    const fitted = !isReference(record) && [up, down, noise].every((part) => number(part[index]) !== null);
    return {
      order: index + 1,
      positive: value,
      negative: number(negative[index]),
      decayUp: fitted ? up[index] : null,
      decayDown: fitted ? down[index] : null,
      spindle: fitted ? noise[index] : null,
    };
  });
}

const shareWidth = (record) => number(record.spindle_share_high) - number(record.spindle_share_low);

function isIdentified(record) {
  if (number(record.spindle_share) === null || isReference(record)) return false;
  if (number(record.identified) !== null) return record.identified > 0;
  return number(record.spindle_share_low) !== null && shareWidth(record) <= CERTAIN_WIDTH;
}

/** The last record up to an epoch; the first one for an epoch before it. */
function recordAt(run, epoch) {
  const before = run.records.filter((record) => record.epoch <= epoch);
  return before[before.length - 1] ?? run.records[0];
}

const overfits = (run, epoch) => run.spans.some((span) => span.from <= epoch && epoch <= span.to);

// -- drawing ----------------------------------------------------------------------------------------------------------

function draw() {
  hideTip();
  const runs = shownRuns();
  if (!runs.some((run) => run.records.length)) {
    drawEmpty(runs);
    return;
  }
  page.controls.hidden = false;
  const epochs = allEpochs();
  const last = epochs[epochs.length - 1];
  if (state.epoch !== null && !epochs.includes(state.epoch)) state.epoch = null;
  const epoch = shownEpoch();
  page.slider.max = epochs.length - 1;
  page.slider.value = epochs.indexOf(epoch);
  page.slider.setAttribute("aria-valuetext", epoch === 0 ? "untrained, epoch 0" : `epoch ${epoch}`);
  page.epoch.textContent = `epoch ${epoch} of ${last}`;
  const unreadable = runs.reduce((sum, run) => sum + run.unreadable, 0);
  page.message.textContent = unreadable
    ? `${unreadable} entries cannot be read: they are damaged, or of a newer version of lightning-interactions.`
    : "";
  page.panels.className = runs.length > 1 ? "panels two" : "panels";
  const panels = page.cards.slice(0, runs.length);
  if (page.panels.children.length !== runs.length || page.panels.firstChild !== panels[0].root)
    page.panels.replaceChildren(...panels.map((panel) => panel.root));
  const limits = { strength: strengthLimit(runs, epoch), ...timeLimits(runs) };
  panels.forEach((panel, index) => drawPanel(panel, runs[index], epoch, limits));
}

function drawEmpty(runs) {
  page.controls.hidden = !state.runs.length;
  page.message.textContent = "";
  if (runs.length) {
    page.panels.replaceChildren(el("p", { class: "note" }, "Nothing of this run can be read."));
    return;
  }
  const code =
    "from lightning_interactions import FeatureMapPatches, InteractionMonitor\n\n" +
    'variables = FeatureMapPatches("features.4", n_variables=8)\n' +
    "monitor = InteractionMonitor(variables, every_n_epochs=5)\n" +
    'trainer = Trainer(callbacks=[monitor], logger=TensorBoardLogger("runs"))\n' +
    "trainer.fit(model, datamodule)";
  page.panels.replaceChildren(
    el(
      "div",
      { class: "empty" },
      el("h2", {}, "No interactions have been measured yet"),
      el(
        "p",
        {},
        "Give your Trainer an InteractionMonitor and a TensorBoard logger. The untrained network is measured first, so" +
          " this page fills within the first minutes of a training. It looks for new data by itself.",
      ),
      el("pre", {}, code),
    ),
  );
}

function drawPanel(panel, run, epoch, limits) {
  const record = recordAt(run, epoch);
  panel.title.textContent = run.name;
  panel.root.dataset.epoch = record?.epoch ?? "";
  const hasData = Boolean(record);
  panel.charts.hidden = panel.samplesCard.hidden = !hasData;
  if (!hasData) {
    panel.verdict.textContent = "";
    panel.tiles.replaceChildren();
    panel.note.textContent = "Nothing of this run can be read.";
    return;
  }
  const other = `This run was not measured at epoch ${epoch}; epoch ${record.epoch} is shown.`;
  panel.note.textContent = record.epoch === epoch ? "" : other;
  panel.note.hidden = !panel.note.textContent;
  panel.verdict.textContent = verdict(run, record);
  panel.tiles.replaceChildren(...tiles(run, record));
  drawStrength(panel, record, limits.strength);
  drawLosses(panel.loss, run, record, limits);
  drawHeat(panel.heat, run, record, limits);
  drawShare(panel.share, run, record, limits);
  drawSamples(panel, run, record);
}

// -- words ------------------------------------------------------------------------------------------------------------

/** In plain words: which phase, what shape, and how it got there. */
function verdict(run, record) {
  const where = record.epoch === 0 ? "Untrained network" : `Epoch ${record.epoch}`;
  if (number(record.mean_order) === null) {
    const failed = list(record.positive).every((value) => value === null);
    return `${where}: ${failed ? "this measurement failed. The training's warnings say why." : "no interaction is salient."}`;
  }
  const span = run.spans.find((one) => one.from <= record.epoch && record.epoch <= one.to);
  const phase = span ? `overfitting since epoch ${span.from}` : record.epoch === 0 ? "before training" : "normal phase";
  return `${where}: ${phase}. ${shape(record)} ${course(run, record)}`.trim();
}

function shape(record) {
  const n = list(record.positive).length;
  const centre = `Interactions combine ${show(record.mean_order, 2)} of ${n} variables on average`;
  const share = number(record.spindle_share);
  if (share === null || isReference(record)) return `${centre}; ${bareShape(record)}.`;
  if (!isIdentified(record)) return `${centre}; how much is noise cannot be told (the spindle's interval is too wide).`;
  if (share < 0.2) return `${centre}, nearly all simple patterns (decay), which by the theory tend to generalise.`;
  if (share < 0.5) return `${centre}: mostly simple patterns (decay), with ${percent(share)} noise-like ones (spindle).`;
  return `${centre}: ${percent(share)} are noise-like patterns (spindle), which by the theory do not generalise.`;
}

/** The shape without any model: where the strength lies, and how far its signs cancel. */
function bareShape(record) {
  const bars = ordersOf(record).filter((bar) => bar.positive !== null && bar.negative !== null);
  const total = (bar) => bar.positive + bar.negative;
  const peak = bars.reduce((a, b) => (total(b) > total(a) ? b : a));
  const sum = bars.reduce((all, bar) => all + total(bar), 0);
  const left = bars.reduce((all, bar) => all + Math.abs(bar.positive - bar.negative), 0);
  const cancels = percent(1 - left / sum);
  return `order ${peak.order} is the strongest, and ${cancels} of the strength cancels between the signs`;
}

/** What the share means at this epoch, and how it has moved. */
function course(run, record) {
  const reference = number(record.reference_epoch);
  if (isReference(record)) return "Decay is made from this epoch, so a spindle cannot be told from it here.";
  if (!isIdentified(record)) return "";
  if (reference !== null && record.epoch > reference && record.spindle_share_low > 0.05)
    return `The spindle has appeared since epoch ${reference}, from which decay is made.`;
  const first = run.records[0];
  if (isIdentified(first) && record.spindle_share_high < first.spindle_share_low)
    return `The spindle has gone down from ${percent(first.spindle_share)} at epoch ${first.epoch}.`;
  return "";
}

function tiles(run, record) {
  const tile = (value, label, className = "") =>
    el("div", { class: `tile ${className}` }, el("b", {}, value), el("span", {}, label));
  const over = overfits(run, record.epoch);
  const share = number(record.spindle_share);
  const interval = `${percent(record.spindle_share_low)}\u00a0…\u00a0${percent(record.spindle_share_high)}`;
  const how = [
    [share === null, ": not fitted"],
    [isReference(record), ": this is the reference"],
    [isIdentified(record), `, ${interval}`],
    [true, `, not identified: ${interval}`],
  ].find(([holds]) => holds)[1];
  return [
    tile(over ? "overfitting" : record.epoch === 0 ? "untrained" : "normal", "phase", over ? "overfitting" : "normal"),
    tile(show(record.mean_order), `mean order, 1 … ${list(record.positive).length}`),
    tile(isReference(record) ? "–" : percent(share), `spindle share${how}`),
    tile(number(record.loss_gap) === null ? "–" : signed(record.loss_gap), "held-out − training loss"),
  ];
}

// -- charts: what they share ------------------------------------------------------------------------------------------

const MARGIN = { left: 46, right: 14, top: 14, bottom: 30 };

/** Whether a chart over epochs must be drawn anew; if only the slider has moved, moving the cursor is enough. */
function isStale(chart, run, limits) {
  const box = chart.svg.getBoundingClientRect();
  const drawn = JSON.stringify([run.key, run.version, box.width, box.height, limits.from, limits.to, limits.loss]);
  const stale = chart.drawn !== drawn;
  chart.drawn = drawn;
  return stale;
}

function clear(chart) {
  const box = chart.svg.getBoundingClientRect();
  const [width, height] = [Math.max(160, box.width), Math.max(120, box.height)];
  chart.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.svg.replaceChildren();
  chart.cursor = chart.frames = null;
  chart.area = {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
    width,
    height,
  };
  return chart.area;
}

const scaleOf = (from, to, low, high) => (value) => low + ((value - from) / (to - from || 1)) * (high - low);

/** At most so many round numbers between two. */
function ticks(from, to, most) {
  const rough = (to - from || 1) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) found.push(i === 0 ? 0 : i * step);
  return found;
}

function text(x, y, content, attributes = {}) {
  return svg("text", { x, y, ...attributes }, content);
}

/** A label at a point that stays inside the chart. */
function textAbove(chart, x, y, content) {
  const { left, right } = chart.area;
  const anchor = x < left + 40 ? "start" : x > right - 40 ? "end" : "middle";
  return text(x, y, content, { "text-anchor": anchor, class: "strong" });
}

function yAxis(chart, from, to, label, write = (value) => show(value)) {
  const { left, right, top, bottom } = chart.area;
  const y = scaleOf(from, to, bottom, top);
  for (const value of ticks(from, to, 5)) {
    chart.svg.append(
      svg("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "tick" }),
      text(left - 6, y(value) + 4, write(value), { "text-anchor": "end" }),
    );
  }
  labelAxis(chart, label);
  return y;
}

function labelAxis(chart, label) {
  const middle = (chart.area.top + chart.area.bottom) / 2;
  chart.svg.append(text(11, middle, label, { "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }));
}

function xEpochs(chart, from, to) {
  const { left, right, bottom } = chart.area;
  const x = scaleOf(from, to, left + 8, right - 8);
  const whole = ticks(from, to, Math.max(2, Math.floor((right - left) / 60))).filter(Number.isInteger);
  for (const value of whole) chart.svg.append(text(x(value), bottom + 14, String(value), { "text-anchor": "middle" }));
  chart.svg.append(text((left + right) / 2, bottom + 27, "epoch", { "text-anchor": "middle" }));
  return x;
}

function nothing(chart, message) {
  chart.x = null;
  const { width, height } = chart.area;
  chart.svg.append(text(width / 2, height / 2, message, { "text-anchor": "middle", class: "strong" }));
  chart.svg.setAttribute("aria-label", message);
  chart.spots = [];
  chart.key.replaceChildren();
}

function keyOfChart(chart, entries) {
  chart.key.replaceChildren(
    ...entries.map(([className, label, shape]) =>
      el(
        "li",
        {},
        svg(
          "svg",
          { viewBox: "0 0 18 10", "aria-hidden": "true" },
          shape === "line"
            ? svg("line", { x1: 0, x2: 18, y1: 5, y2: 5, class: className })
            : svg("rect", { width: 18, height: 10, class: className }),
        ),
        label,
      ),
    ),
  );
}

/** A path through the points that have a value; gaps stay open. */
function pathOf(points) {
  let pen = false;
  return points
    .map(([x, y]) => {
      if (y === null) {
        pen = false;
        return "";
      }
      const command = `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = true;
      return command;
    })
    .join("");
}

/** The points to mark: those with a value, unless there are so many that they would hide the line. */
const dotsOf = (points) => (points.length < 80 ? points.filter(([, y]) => y !== null) : []);

/** Columns around the measured epochs, from midpoint to midpoint. */
function columnsOf(run, x, area) {
  const at = run.records.map((record) => x(record.epoch));
  return at.map((middle, index) => {
    const before = at[index - 1] ?? 2 * middle - (at[index + 1] ?? middle + 16);
    const after = at[index + 1] ?? 2 * middle - before;
    const [from, to] = [Math.max(area.left, (before + middle) / 2), Math.min(area.right, (middle + after) / 2)];
    return { x: from, width: Math.max(1, to - from), middle };
  });
}

/** Let a chart tell about the spot under the pointer, or about the one that arrow keys have reached. */
function makeInteractive(chart) {
  const mark = svg("rect", { class: "hover" });
  let active = null;
  const show = (index, x, y) => {
    const spot = chart.spots[index];
    if (!spot) return leave();
    active = index;
    for (const key of ["x", "y", "width", "height"]) mark.setAttribute(key, spot[key]);
    chart.svg.append(mark);
    showTip(spot.lines, x, y);
  };
  const leave = () => {
    mark.remove();
    active = null;
    hideTip();
  };
  const find = (event) => {
    const box = chart.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const isIn = (value, from, size) => from <= value && value < from + size;
    return chart.spots.findIndex((spot) => isIn(x, spot.x, spot.width) && isIn(y, spot.y, spot.height));
  };
  chart.svg.addEventListener("pointermove", (event) => show(find(event), event.clientX, event.clientY));
  chart.svg.addEventListener("pointerleave", leave);
  chart.svg.addEventListener("blur", leave);
  chart.svg.addEventListener("click", (event) => go(find(event)));
  chart.svg.addEventListener("keydown", (event) => {
    // In a chart of several rows, right and left go through the epochs, up and down through the orders.
    const across = chart.rows ?? 1;
    const step = { ArrowRight: across, ArrowLeft: -across, ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (step && chart.spots.length) {
      event.preventDefault();
      const next = active === null ? chart.start ?? 0 : chart.spots[active + step] ? active + step : active;
      const box = chart.svg.getBoundingClientRect();
      show(next, box.left + chart.spots[next].x + chart.spots[next].width, box.top + chart.spots[next].y);
      say(chart.spots[next].lines.join(". "));
    } else if ((event.key === "Enter" || event.key === " ") && active !== null) {
      event.preventDefault();
      go(active);
    } else if (event.key === "Escape") leave();
  });
  const go = (index) => {
    const epoch = chart.spots[index]?.epoch;
    if (epoch === undefined) return;
    stop();
    goTo(epoch, true);
  };
}

function showTip(lines, x, y) {
  page.tip.textContent = lines.join("\n");
  page.tip.hidden = false;
  const box = page.tip.getBoundingClientRect();
  page.tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - box.width - 8))}px`;
  page.tip.style.top = `${Math.max(4, y + 14 + box.height > window.innerHeight ? y - box.height - 10 : y + 14)}px`;
}

function hideTip() {
  page.tip.hidden = true;
}

// -- strength by order ------------------------------------------------------------------------------------------------

/** The largest bar of what is shown, so that two runs have one scale. */
function strengthLimit(runs, epoch) {
  const records = runs.flatMap((run) => (state.scale === "all" ? run.records : (recordAt(run, epoch) ?? [])));
  const tops = (bar) => [bar.positive, bar.negative, bar.decayUp + bar.spindle, bar.decayDown + bar.spindle];
  const sizes = records.flatMap(ordersOf).flatMap(tops);
  return Math.max(0, ...sizes.filter((size) => number(size) !== null)) * 1.08;
}

function drawStrength(panel, record, limit) {
  const chart = panel.strength;
  const area = clear(chart);
  const bars = ordersOf(record);
  panel.numbers.lastChild.replaceChildren(strengthTable(bars));
  if (!limit || !bars.some((bar) => bar.positive !== null)) {
    nothing(chart, "nothing salient, or the measurement failed");
    return;
  }
  const y = yAxis(chart, -limit, limit, "strength", (value) => show(Math.abs(value)));
  const step = (area.right - area.left) / bars.length;
  const fitted = bars.some((bar) => bar.spindle !== null);
  chart.spots = [];
  for (const bar of bars) {
    const x = area.left + step * (bar.order - 1) + step * 0.14;
    const width = step * 0.72;
    drawStack(chart, x, width, y, 1, bar.positive, bar.decayUp, bar.spindle);
    drawStack(chart, x, width, y, -1, bar.negative, bar.decayDown, bar.spindle);
    chart.svg.append(text(x + width / 2, area.bottom + 14, String(bar.order), { "text-anchor": "middle" }));
    const spot = { x: x - step * 0.14, width: step, y: area.top, height: area.bottom - area.top };
    chart.spots.push({ ...spot, lines: barLines(bar) });
  }
  chart.svg.append(
    svg("line", { x1: area.left, x2: area.right, y1: y(0), y2: y(0), class: "zero" }),
    text((area.left + area.right) / 2, area.bottom + 27, "order m: variables that are combined", {
      "text-anchor": "middle",
    }),
    text(area.right, area.top - 3, "+ positive effects ▲", { "text-anchor": "end" }),
    text(area.right, area.bottom - 3, "− negative effects ▼", { "text-anchor": "end" }),
  );
  const words = bars.map((bar) => barLines(bar).join(", ")).join("; ");
  chart.svg.setAttribute("aria-label", `Strength by order at epoch ${record.epoch}. ${words}`);
  keyOfChart(
    chart,
    fitted
      ? [["decay", "decay"], ["spindle", "spindle"], ["residual", "residual"], ["measured", "measured", "line"]]
      : [["positive", "positive effects"], ["negative", "negative effects"]],
  );
}

/** One bar: decay, spindle on it, the hatched residual between them and the measured strength. */
function drawStack(chart, x, width, y, sign, measured, decay, spindle) {
  if (measured === null) return;
  const block = (from, to, className) => {
    const [a, b] = [y(sign * from), y(sign * to)];
    chart.svg.append(svg("rect", { x, width, y: Math.min(a, b), height: Math.abs(a - b), class: className }));
  };
  if (decay === null || spindle === null) {
    block(0, measured, sign > 0 ? "positive" : "negative");
    return;
  }
  const sum = decay + spindle;
  block(0, decay, "decay");
  block(decay, sum, "spindle");
  block(Math.min(sum, measured), Math.max(sum, measured), "residual");
  const top = y(sign * measured);
  chart.svg.append(svg("line", { x1: x - 2, x2: x + width + 2, y1: top, y2: top, class: "measured" }));
}

function barLines(bar) {
  const lines = [`order ${bar.order}`, `positive ${show(bar.positive)}, negative ${show(bar.negative)}`];
  if (bar.spindle !== null) {
    lines.push(`decay + ${show(bar.decayUp)}, − ${show(bar.decayDown)}`, `spindle ± ${show(bar.spindle)}`);
    const [up, down] = [bar.positive - bar.decayUp - bar.spindle, bar.negative - bar.decayDown - bar.spindle];
    lines.push(`residual ${show(up, 2)} and ${show(down, 2)}`);
  }
  return lines;
}

function strengthTable(bars) {
  const columns = [
    ["order", (bar) => bar.order],
    ["positive", (bar) => bar.positive],
    ["negative", (bar) => bar.negative],
    ["decay +", (bar) => bar.decayUp],
    ["decay −", (bar) => bar.decayDown],
    ["spindle ±", (bar) => bar.spindle],
  ];
  const head = el("tr", {}, ...columns.map(([name]) => el("th", { scope: "col" }, name)));
  const rows = bars.map((bar) => el("tr", {}, ...columns.map(([, value]) => el("td", {}, show(value(bar))))));
  const caption = el("caption", { class: "hidden" }, "Strength by order");
  return el("table", {}, caption, el("thead", {}, head), el("tbody", {}, ...rows));
}

// -- charts over epochs -----------------------------------------------------------------------------------------------

function timeLimits(runs) {
  const records = runs.flatMap((run) => run.records);
  const epochs = records.map((record) => record.epoch);
  const losses = records
    .flatMap((record) => [record.train_loss, record.held_out_loss, record.loss_gap])
    .filter((value) => number(value) !== null);
  return {
    from: Math.min(...epochs),
    to: Math.max(...epochs, Math.min(...epochs) + 1),
    loss: losses.length ? [Math.min(0, ...losses), Math.max(...losses) * 1.05 || 1] : null,
  };
}

function moveCursor(chart, run, record) {
  const { top, bottom } = chart.area;
  const x = chart.x(record.epoch);
  chart.cursor?.remove();
  chart.cursor = svg("line", { x1: x, x2: x, y1: top, y2: bottom, class: "cursor" });
  chart.svg.append(chart.cursor);
  chart.start = run.records.indexOf(record);
}

/** What the pointer finds: one column for each measured epoch. */
function epochSpots(chart, run, x, linesOf) {
  const { top, bottom } = chart.area;
  const columns = columnsOf(run, x, chart.area);
  chart.spots = run.records.map((record, index) => ({
    ...columns[index],
    y: top,
    height: bottom - top,
    epoch: record.epoch,
    lines: [`epoch ${record.epoch}`, ...linesOf(record)],
  }));
}

function drawSpans(chart, run, x, limits) {
  const { top, bottom } = chart.area;
  // A phase that has just begun must show too.
  const band = (from, to, className, y, height) =>
    chart.svg.append(svg("rect", { x: x(from), width: Math.max(6, x(to) - x(from)), y, height, class: className }));
  band(run.records[0].epoch, run.records[run.records.length - 1].epoch, "strip-normal", top - 8, 5);
  for (const span of run.spans) {
    band(span.from, span.to, "shade", top, bottom - top);
    band(span.from, span.to, "strip-overfitting", top - 8, 5);
    const late = span.from > (limits.from + limits.to) / 2;
    chart.svg.append(
      svg("line", { x1: x(span.from), x2: x(span.from), y1: top - 8, y2: bottom, class: "onset" }),
      text(x(span.from) + (late ? -4 : 4), top + 10, `onset: epoch ${span.from}`, {
        class: "strong",
        "text-anchor": late ? "end" : "start",
      }),
    );
  }
}

function drawLosses(chart, run, record, limits) {
  if (isStale(chart, run, limits)) drawLossCurves(chart, run, limits);
  if (!chart.x) return;
  moveCursor(chart, run, record);
  const spans = run.spans.map((span) => `overfitting from epoch ${span.from} to ${span.to}`).join(", ");
  chart.svg.setAttribute(
    "aria-label",
    `Losses over epochs, ${spans || "no overfitting phase"}. At epoch ${record.epoch}: training` +
      ` ${show(record.train_loss)}, held-out ${show(record.held_out_loss)}. Arrow keys read the epochs, Enter goes to one.`,
  );
}

function drawLossCurves(chart, run, limits) {
  clear(chart);
  if (!limits.loss) {
    nothing(chart, "no loss was measured");
    return;
  }
  const y = yAxis(chart, ...limits.loss, "loss");
  const x = (chart.x = xEpochs(chart, limits.from, limits.to));
  drawSpans(chart, run, x, limits);
  for (const [key, className] of [["train_loss", "train"], ["held_out_loss", "held-out"], ["loss_gap", "gap"]]) {
    const points = run.records.map((one) => [x(one.epoch), number(one[key]) === null ? null : y(one[key])]);
    chart.svg.append(svg("path", { d: pathOf(points), class: `line ${className}` }));
    for (const [cx, cy] of dotsOf(points)) chart.svg.append(svg("circle", { cx, cy, r: 2.2, class: `dot ${className}` }));
  }
  epochSpots(chart, run, x, (one) => [
    `training loss ${show(one.train_loss)}`,
    `held-out loss ${show(one.held_out_loss)}`,
    `gap ${show(one.loss_gap)}`,
    overfits(run, one.epoch) ? "overfitting phase" : "normal phase",
  ]);
  keyOfChart(chart, [
    ["line train", "training loss", "line"],
    ["line held-out", "held-out loss", "line"],
    ["line gap", "gap", "line"],
    ["strip-normal", "normal phase"],
    ["strip-overfitting", "overfitting phase"],
  ]);
}

function colour(share) {
  const at = Math.max(0, Math.min(1, share)) * (CIVIDIS.length - 1);
  const low = Math.min(Math.floor(at), CIVIDIS.length - 2);
  const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  const [from, to] = [channels(CIVIDIS[low]), channels(CIVIDIS[low + 1])];
  return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * (at - low))).join(",")})`;
}

function drawHeat(chart, run, record, limits) {
  if (isStale(chart, run, limits)) drawHeatMap(chart, run, limits);
  if (!chart.x) return;
  const index = run.records.indexOf(record);
  const { x, width } = chart.columns[index];
  const frame = { x, width, y: chart.area.top, height: chart.area.bottom - chart.area.top };
  chart.frames?.forEach((one) => one.remove());
  chart.frames = [svg("rect", { ...frame, class: "frame under" }), svg("rect", { ...frame, class: "frame" })];
  chart.svg.append(...chart.frames);
  const shares = chart.shares[index];
  chart.start = index * shares.length;
  const peak = shares.indexOf(Math.max(...shares.map((share) => share ?? -1))) + 1;
  chart.svg.setAttribute(
    "aria-label",
    `Share of each order in the strength, over epochs. At epoch ${record.epoch} order ${peak} is the strongest,` +
      ` with ${percent(shares[peak - 1])}. Arrow keys read the cells, Enter goes to an epoch.`,
  );
}

/** The share of each order in the strength of an epoch; null where it is not known. */
function sharesOf(record, orders) {
  const totals = ordersOf(record).map((bar) => (number(bar.negative) === null ? null : bar.positive + bar.negative));
  const sum = totals.reduce((all, total) => all + (total ?? 0), 0);
  return Array.from({ length: orders }, (_, index) => (sum && totals[index] ? totals[index] / sum : sum ? 0 : null));
}

function drawHeatMap(chart, run, limits) {
  const area = clear(chart);
  const orders = Math.max(...run.records.map((one) => list(one.positive).length));
  const shares = (chart.shares = run.records.map((one) => sharesOf(one, orders)));
  const largest = Math.max(0, ...shares.flat().filter((share) => share !== null));
  if (!largest) {
    nothing(chart, "nothing salient, or all measurements failed");
    return;
  }
  const x = (chart.x = xEpochs(chart, limits.from, limits.to));
  const columns = (chart.columns = columnsOf(run, x, area));
  const height = (area.bottom - area.top) / orders;
  chart.spots = [];
  run.records.forEach((one, index) => {
    for (let order = 1; order <= orders; order++) {
      const share = shares[index][order - 1] ?? null;
      const y = area.bottom - order * height;
      if (share !== null) {
        const { x: left, width } = columns[index];
        // A little larger, so that no gap shows between cells.
        const box = { x: left, width: width + 0.5, y, height: height + 0.5 };
        chart.svg.append(svg("rect", { ...box, fill: colour(share / largest) }));
      }
      chart.spots.push({
        ...columns[index],
        y,
        height,
        epoch: one.epoch,
        lines: [
          `epoch ${one.epoch}, order ${order}`,
          `share ${percent(share)}`,
          `positive ${show(list(one.positive)[order - 1])}, negative ${show(list(one.negative)[order - 1])}`,
        ],
      });
    }
  });
  chart.rows = orders;
  for (let order = 1; order <= orders; order += height > 11 ? 1 : 2) {
    const y = area.bottom - (order - 0.5) * height + 4;
    chart.svg.append(text(area.left - 6, y, String(order), { "text-anchor": "end" }));
  }
  labelAxis(chart, "order m");
  heatKey(chart, largest);
}

function heatKey(chart, largest) {
  const stops = CIVIDIS.map((_, index) => svg("rect", { x: index * 8, width: 8.5, height: 10, fill: CIVIDIS[index] }));
  const bar = svg("svg", { viewBox: "0 0 72 10", class: "ramp", "aria-hidden": "true" }, ...stops);
  chart.key.replaceChildren(el("li", {}, "0 %", bar, `${percent(largest)} of an epoch's strength`));
}

function drawShare(chart, run, record, limits) {
  if (isStale(chart, run, limits)) drawShareCurve(chart, run, limits);
  if (!chart.x) return;
  moveCursor(chart, run, record);
  const [low, high] = [percent(record.spindle_share_low), percent(record.spindle_share_high)];
  chart.svg.setAttribute(
    "aria-label",
    `Spindle share over epochs. At epoch ${record.epoch}: ${percent(record.spindle_share)}, interval ${low} to ${high}.` +
      " Arrow keys read the epochs, Enter goes to one.",
  );
}

function drawShareCurve(chart, run, limits) {
  clear(chart);
  if (!run.records.some((one) => number(one.spindle_share) !== null)) {
    nothing(chart, "decay and spindle have not been fitted yet");
    return;
  }
  const y = yAxis(chart, 0, 1, "spindle share");
  const x = (chart.x = xEpochs(chart, limits.from, limits.to));
  drawSpans(chart, run, x, limits);
  const edges = ["spindle_share_low", "spindle_share_high"];
  const has = run.records.filter((one) => edges.every((key) => number(one[key]) !== null));
  const [low, high] = edges.map((key) => has.map((one) => `${x(one.epoch).toFixed(1)} ${y(one[key]).toFixed(1)}`));
  if (has.length > 1) chart.svg.append(svg("path", { d: `M${[...high, ...low.reverse()].join("L")}Z`, class: "band" }));
  const height = (one) => (number(one.spindle_share) === null ? null : y(one.spindle_share));
  const points = run.records.map((one) => [x(one.epoch), height(one), one]);
  chart.svg.append(svg("path", { d: pathOf(points), class: "line share" }));
  for (const [cx, cy, one] of dotsOf(points))
    chart.svg.append(svg("circle", { cx, cy, r: 3.2, class: isIdentified(one) ? "dot share" : "dot share open" }));
  const last = run.records.filter((one) => number(one.reference_epoch) !== null).pop();
  const reference = last && run.records.find((one) => one.epoch === last.reference_epoch);
  if (reference)
    chart.svg.append(textAbove(chart, x(reference.epoch), y(0) - 8, "reference"));
  epochSpots(chart, run, x, (one) => [
    `spindle share ${percent(one.spindle_share)}`,
    `interval ${percent(one.spindle_share_low)} … ${percent(one.spindle_share_high)}`,
    ...(isIdentified(one) ? [`R² ${show(one.r_squared)}`] : []),
    ...(isReference(one) ? ["the reference: 0 by construction"] : isIdentified(one) ? [] : ["not identified"]),
    ...(number(one.reference_epoch) === null ? [] : [`decay is made from epoch ${one.reference_epoch}`]),
  ]);
  keyOfChart(chart, [
    ["line share", "spindle share", "line"],
    ["band", "interval"],
    ["dot share open", "not identified"],
  ]);
}

// -- samples ----------------------------------------------------------------------------------------------------------

const letter = (index) => (index < 26 ? String.fromCharCode(65 + index) : `#${index}`);

function drawSamples(panel, run, record) {
  const strongest = effectsAt(run, record.epoch);
  panel.samples.setAttribute("aria-busy", String(strongest === null));
  if (strongest === null) return; // what is shown stays until the answer is there
  const known = new Map(run.samples.map((sample) => [sample.sample, sample]));
  if (!strongest.length) {
    const note = "No interactions of single samples were kept for this epoch.";
    panel.samples.replaceChildren(el("p", { class: "note" }, note));
    return;
  }
  const focus = document.activeElement?.dataset?.effect;
  const unknown = { names: [], words: [], cells: [], image: null };
  const cards = strongest.map(({ sample, effects }) => {
    const look = known.get(sample) ?? { ...unknown, sample, title: `sample ${sample}` };
    return sampleCard(run.key, look, effects);
  });
  panel.samples.replaceChildren(...cards);
  if (focus) [...panel.samples.querySelectorAll("button")].find((button) => button.dataset.effect === focus)?.focus();
}

function sampleCard(key, sample, effects) {
  const place = `${key}/${sample.sample}`;
  const view = sample.image ? pictureOf(sample) : sample.words.length ? sentenceOf(sample) : null;
  const buttons = effects.map((effect, index) => effectButton(sample, effect, `${place}/${index}`));
  const chosen = Math.min(state.picked.get(place) ?? 0, effects.length - 1);
  const pick = (index, keep) => {
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
    view?.mark(effects[index]);
    if (keep) state.picked.set(place, index);
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => pick(index, true));
    button.addEventListener("focus", () => pick(index, true));
    button.addEventListener("pointerenter", () => pick(index, true));
  });
  if (effects.length) pick(chosen, false);
  const items = el("ul", { class: "effects" }, ...buttons.map((button) => el("li", {}, button)));
  if (!effects.length) items.append(el("li", { class: "kind" }, "no interaction"));
  return el(
    "article",
    { class: "sample", "aria-label": sample.title },
    el("h4", {}, sample.title),
    el("div", { class: `view ${sample.image ? "" : "text"}` }, ...(view ? [view.element] : []), items),
  );
}

function effectButton(sample, effect, id) {
  const names = effect.variables.map((index) => sample.names[index] ?? `variable ${index}`);
  const short = sample.image ? effect.variables.map(letter).join(" ") : names.join(" · ");
  const who = `${effect.kind} of ${names.join(", ")}`;
  const button = el(
    "button",
    { type: "button", "aria-pressed": "false", "aria-label": `${who}: effect ${signed(effect.effect)}` },
    el("span", { class: "kind" }, effect.variables.length > 1 ? effect.kind : ""),
    el("span", { class: "who" }, short),
    el("span", { class: "amount" }, `${effect.effect > 0 ? "▲" : "▼"} ${amount(effect.effect)}`),
  );
  button.dataset.effect = id;
  const lines = [who, `effect ${signed(effect.effect)}`, `order ${effect.variables.length}`];
  button.addEventListener("pointermove", (event) => showTip(lines, event.clientX, event.clientY));
  button.addEventListener("pointerleave", hideTip);
  return button;
}

function pictureOf(sample) {
  const { png, width, height } = sample.image;
  const size = 112 / Math.max(width, height);
  const [w, h] = [width * size, height * size];
  const label = `${sample.title}, image`;
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, class: "picture", role: "img", "aria-label": label });
  const href = /^[A-Za-z0-9+/=]*$/.test(png) ? `data:image/png;base64,${png}` : "";
  picture.append(svg("image", { href, width: w, height: h, preserveAspectRatio: "none" }));
  const cells = sample.cells.map(([x, y, cw, ch], index) => {
    const box = { x: x * w, y: y * h, width: cw * w, height: ch * h };
    const [under, over] = [svg("rect", { ...box, class: "cell under" }), svg("rect", { ...box, class: "cell" })];
    const label = text((x + cw / 2) * w, (y + ch / 2) * h, letter(index));
    label.append(svg("title", {}, sample.names[index] ?? ""));
    return { under, over, label };
  });
  for (const layer of ["under", "over", "label"]) picture.append(...cells.map((cell) => cell[layer]));
  const mark = (effect) =>
    cells.forEach((cell, index) => {
      const on = effect.variables.includes(index);
      cell.under.setAttribute("class", on ? "cell under on" : "cell under");
      cell.over.setAttribute("class", on ? `cell on ${effect.effect > 0 ? "up" : "down"}` : "cell");
    });
  return { element: picture, mark };
}

function sentenceOf(sample) {
  const words = sample.words.map((word) => {
    const className = word.variable === null ? "" : "word";
    return { ...word, element: el("span", { class: className }, word.text) };
  });
  const element = el("p", { class: "sentence" });
  words.forEach((word, index) => element.append(...(index ? [" "] : []), word.element));
  const mark = (effect) => {
    for (const word of words) {
      if (word.variable === null) continue;
      const on = effect.variables.includes(word.variable);
      word.element.setAttribute("class", on ? `word on ${effect.effect > 0 ? "up" : "down"}` : "word");
    }
  };
  return { element, mark };
}
