// The page: a photograph is opened, painted on, worked on, compared and kept. Everything else is in its own module.

import { ask, follow, send, tell_last } from "./api.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { Marks } from "./marks.js";
import { find, part_around, say_error, say_exact, say_note, show_chosen, show_hole, show_job, show_photo, show_results, show_sensitivity, SWATCHES } from "./panel.js";
import { colour_png, mask_png } from "./png.js";
import { Pointer } from "./pointer.js";
import { Shown } from "./shown.js";
import { Stage } from "./stage.js";

export const stage = new Stage(find("stage"));
const history = new History(changed);
const brush = { tool: "mask", colour: "#3f7fbf", diameter: 40 };
const pointer = new Pointer(stage, () => (state() === "painting" ? brush : null), (step) => history.add(step), picked);
let job = null; // what is being done, or whose results are compared: see `work`
let seed = 0;
let asked = "open"; // the button of what was asked for last, where the keyboard comes back to
let opening = 0; // how many photographs were asked for: the last is the one that counts, whichever comes first
let leaving = false;
let part = null; // of the photograph, that small pictures of the results show

// --- states: empty, painting, working, comparing ---

function state() {
  return document.body.dataset.state;
}

function enter(next) {
  pointer.end();
  const focused = document.activeElement;
  const by_keys = focused.matches(":focus-visible");
  document.body.dataset.state = next;
  if (by_keys && !focused.getClientRects().length) focus({ working: "cancel", comparing: "keep" }[next] ?? asked);
  find("exact").hidden = Boolean(job) && job.kind !== "fill"; // what else is done changes more than the hole
  stage.mode = next === "comparing" ? chosen_of("compare") : "paint";
  if (stage.view.fitted) stage.fit();
  pointer.cursor();
  stage.redraw();
  remember();
}

function focus(id) {
  find(find(id).disabled ? "colorize" : id).focus(); // such as Fill, where no hole is left
}

// What a page that is loaded anew goes on with, while the server holds it.
function remember() {
  if (leaving || !stage.shown) return; // what fails as the page ends fails because of that
  sessionStorage.setItem("page", JSON.stringify({ photo: stage.shown.photo.key, job, seed }));
}

// The page did not end, or is back.
function stay() {
  leaving = false;
  remember();
}

function chosen_of(name) {
  return document.querySelector(`input[name="${name}"]:checked`).value;
}

// Runs what a person asked for; what goes wrong is said on the page.
async function attempt(work) {
  say_error(null);
  try {
    await work();
  } catch (error) {
    say_error(error);
  }
}

// --- opening ---

async function open(file) {
  if (!file || (unsaved() && !confirm("Leave this photograph? What is painted on it, and results that were not downloaded, are lost."))) return;
  const mine = ++opening;
  await attempt(async () => {
    busy(true);
    try {
      if (state() === "working") await cancel();
      const answer = await send(`/api/photos?name=${encodeURIComponent(file.name || "photo")}`, file);
      await begin(await answer.json(), mine);
    } finally {
      if (mine === opening) busy(false);
    }
  });
}

// While a photograph is opened nothing is done with the one before, which would be lost without a question.
function busy(is) {
  find("busy").hidden = !is;
  document.querySelector("main").inert = is;
}

// mine: what `opening` was when this photograph was asked for; nothing is done where another was since.
async function begin(photo, mine) {
  const shown = await Shown.load(photo);
  if (mine !== opening) return;
  if (state() === "working") await cancel(); // it has not ended yet
  job = null;
  seed = 0;
  find("format").replaceChildren(); // that of its own file comes first, whatever was chosen before
  show(shown, new Marks(photo.width, photo.height));
  history.clear();
  set_diameter(Math.max(6, Math.min(photo.width, photo.height) * 0.03));
  stage.view.fitted = true;
  say_note(photo.note && `${photo.note[0].toUpperCase()}${photo.note.slice(1)}.`);
  enter("painting");
}

function show(shown, marks) {
  pointer.end();
  stage.shown = shown;
  stage.marks = marks;
  stage.results = [];
  show_photo(shown.photo);
  changed();
  stage.redraw(); // a step of undo may be another photograph
}

function unsaved() {
  return ["working", "comparing"].includes(state()) || history.done.length > 0;
}

// --- painting ---

// Marks have changed, or what can be undone.
function changed() {
  if (!stage.shown) return;
  find("undo").disabled = !history.done.length;
  find("redo").disabled = !history.undone.length;
  show_hole(stage.marks.hole.count, stage.shown.photo);
  find("mask-clear").disabled = !stage.marks.layers.some((layer) => layer.count);
  stage.changed("all");
}

// Changes the marks by other means than a stroke, which ends before; change() gives a step of undo, or null.
function mark(change) {
  pointer.end();
  const step = change();
  if (step) history.add(step);
}

// While a stroke is drawn, undo takes that back.
async function undo() {
  pointer.end();
  await history.undo();
  remember(); // a step may be another photograph
}

async function redo() {
  pointer.end();
  await history.redo();
  remember();
}

function choose_tool(tool) {
  brush.tool = tool;
  for (const button of document.querySelectorAll(".tool")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  find("colours").hidden = tool !== "colour";
}

function choose_colour(colour) {
  brush.colour = colour;
  document.documentElement.style.setProperty("--stroke-colour", colour);
  const chosen = [...find("swatches").children].find((each) => each.value === colour);
  for (const each of find("swatches").children) each.setAttribute("aria-pressed", each === chosen);
}

// The slider goes through diameters in equal ratios, from a pixel to half of the shorter side.
function most() {
  const { width, height } = stage.shown?.photo ?? { width: 400, height: 400 };
  return Math.max(20, Math.min(width, height) / 2);
}

function set_diameter(pixels) {
  brush.diameter = Math.max(1, Math.min(most(), pixels));
  find("size").value = (100 * Math.log(brush.diameter)) / Math.log(most());
  find("size-px").textContent = `${Math.round(brush.diameter)} px`;
}

async function open_mask(file) {
  if (!file) return;
  const { marks } = stage;
  await attempt(async () => {
    const answer = await send(`/api/photos/${stage.shown.photo.key}/mask`, file);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (stage.marks !== marks) return; // another photograph was opened meanwhile
    if (state() !== "painting") throw new Error(`${file.name} was read while something was done: load it again afterwards.`);
    mark(() => marks.replaceHole(bytes));
  });
}

async function save_mask() {
  save(URL.createObjectURL(await mask_png(stage.marks.hole)), `${stage.shown.photo.name}_mask.png`);
}

function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  if (address.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// --- working ---

const LAYERS = {
  mask: (marks) => marks.hole.count && mask_png(marks.hole),
  strokes: (marks) => marks.colours.count && colour_png(marks.colours),
};

// Asks for work. kind: the route, which is also what the panel names; options: its query; layers: what of the marks is
// sent before, and named in the query. All that belongs to it is in an object of its own: it may be given up, and
// another photograph opened, at any time.
function work(kind, options, layers = []) {
  const { photo } = stage.shown;
  const { marks } = stage;
  const mine = { kind, query: { ...options }, key: null, stop: new AbortController() };
  const { signal } = mine.stop;
  asked = kind;
  say_note(null);
  return finish(mine, async () => {
    let beside = ""; // what was sent already, to be held until all is there
    for (const layer of layers) {
      const sent = await LAYERS[layer](marks);
      if (!sent) continue;
      const answer = await ask("POST", `/api/photos/${photo.key}/layers${beside}`, sent, signal);
      mine.query[layer] = (await answer.json()).key;
      beside = `?beside=${mine.query[layer]}`;
    }
    signal.throwIfAborted();
    const answer = await ask("POST", `/api/photos/${photo.key}/${kind}?${new URLSearchParams(mine.query)}`);
    mine.key = (await answer.json()).job;
    if (signal.aborted) await ask("DELETE", `/api/jobs/${mine.key}`); // it was cancelled before it had a key
    else remember();
  });
}

// Sees to its end what is being done; first() comes before it is followed.
function finish(mine, first) {
  return attempt(async () => {
    job = mine;
    show_job(mine.kind, null);
    enter("working");
    try {
      await first();
      await show_end(mine);
    } catch (error) {
      if (job !== mine) return; // nobody waits for it any more
      job = null;
      enter("painting");
      throw error;
    }
  });
}

async function show_end(mine) {
  const told = (now) => {
    if (job === mine && !mine.stop.signal.aborted) show_job(mine.kind, now);
    return job === mine;
  };
  const report = job === mine && (await follow(mine.key, told));
  if (!report) return;
  if (report.state === "failed") throw new Error(report.error);
  if (mine.kind === "damage" || !report.photos?.length) {
    const found = report.photos?.length ? await bits(report.photos[0].key) : null;
    if (job !== mine) return;
    if (found && mine.stop.signal.aborted) return leave(); // it was cancelled after its end
    if (found) mark(() => stage.marks.addHole(found)); // where it can be mended
    job = null;
    say_note(report.note);
    enter("painting");
    return;
  }
  const results = await Promise.all(report.photos.map((photo) => Shown.load(photo)));
  if (job !== mine) return;
  if (mine.stop.signal.aborted) return leave();
  stage.results = results;
  part = part_around(mine.kind === "fill" ? stage.marks.hole.box() : null, stage.shown.photo);
  stage.split = 0.5;
  say_note(report.note);
  show_results(results, part, choose);
  choose(0);
  enter("comparing");
}

async function bits(key) {
  return new Uint8Array(await (await ask("GET", `/api/photos/${key}/bits`)).arrayBuffer());
}

const drawing = () => ({ samples: chosen_of("samples"), seed });
const damage = () => work("damage", { sensitivity: find("sensitivity").value });
const restore = () => work("restore", { ...drawing(), ...changed_sensitivity() }, ["mask", "strokes"]);
const fill = () => work("fill", drawing(), ["mask"]);
const colorize = () => work("colorize", drawing(), ["strokes"]);

// How readily damage is looked for counts once it was changed: what is usual depends on the photograph.
function changed_sensitivity() {
  const { value, defaultValue } = find("sensitivity");
  return value === defaultValue ? {} : { sensitivity: value };
}

async function cancel() {
  const mine = job;
  mine.stop.abort();
  find("job-text").textContent = "Stopping …";
  if (!mine.key) return leave();
  try {
    await ask("DELETE", `/api/jobs/${mine.key}`);
  } catch (error) {
    mine.stop = new AbortController(); // it goes on, and so does what is told of it
    throw error;
  }
}

// --- comparing ---

function choose(number) {
  stage.chosen = number;
  show_chosen(number);
  stage.redraw();
}

// A place of the stage was pressed where nothing can be painted: of pictures side by side it chooses one.
function picked(x, y) {
  if (stage.mode !== "side") return;
  const number = stage.cells().indexOf(stage.cellAt(x, y)) - 1;
  if (number >= 0) choose(number);
}

// The chosen result becomes the photograph; undo brings back what was before, with its marks.
function keep() {
  const before = [stage.shown, stage.marks];
  const { photo } = stage.results[stage.chosen];
  const after = [stage.results[stage.chosen], new Marks(photo.width, photo.height)];
  show(...after);
  job = null;
  seed = 0;
  history.add({ undo: () => show(...before), redo: () => show(...after), bytes: before[0].bytes });
  say_note(null);
  enter("painting");
}

// The same with another seed, by the marks that were sent for it.
function again() {
  seed += 1;
  const { kind, query } = job;
  leave();
  work(kind, { ...query, seed });
}

function leave() {
  job = null;
  stage.results = [];
  say_note(null);
  enter("painting");
}

async function download() {
  const { photo } = state() === "comparing" ? stage.results[stage.chosen] : stage.shown;
  await attempt(async () => {
    await ask("GET", `/api/photos/${photo.key}`); // else a download that fails would say nothing
    save(`/api/photos/${photo.key}/file?kind=${find("format").value}`, "");
  });
}

// --- what is pressed, dropped and pasted ---

function on(id, action, event = "click") {
  find(id).addEventListener(event, action);
}

for (const id of ["open", "choose"]) on(id, () => find("file").click());
on("file", (event) => open(event.target.files[0]).then(() => (event.target.value = "")), "change");
on("mask-open", () => find("mask-file").click());
on("mask-file", (event) => open_mask(event.target.files[0]).then(() => (event.target.value = "")), "change");
on("mask-save", save_mask);
on("mask-clear", () => mark(() => stage.marks.clear()));
on("undo", undo);
on("redo", redo);
on("zoom-in", () => stage.zoom(1.5));
on("zoom-out", () => stage.zoom(1 / 1.5));
on("fit", () => stage.fit());
on("damage", damage);
on("fill", fill);
on("colorize", colorize);
on("restore", restore);
on("cancel", () => attempt(cancel));
on("keep", keep);
on("again", again);
on("back", leave);
on("download", download);
on("format", say_exact, "change");
on("sensitivity", show_sensitivity, "input");
on("size", (event) => set_diameter(most() ** (event.target.value / 100)), "input");
on("colour", (event) => choose_colour(event.target.value), "input");
on("compare", () => {
  stage.mode = chosen_of("compare");
  stage.fit();
}, "change");
find("error").querySelector("button").addEventListener("click", () => say_error(null));
for (const button of document.querySelectorAll(".tool")) {
  button.addEventListener("click", () => choose_tool(button.dataset.tool));
}
find("swatches").prepend(
  ...Object.entries(SWATCHES).map(([colour, title]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", value: colour, title });
    button.style.background = colour;
    button.addEventListener("click", () => choose_colour(colour));
    return button;
  }),
);

const painting = (action) => () => state() === "painting" && action();
const shown = (action) => () => stage.shown && action();
listen(
  {
    "[": painting(() => set_diameter(brush.diameter / 1.2)),
    "]": painting(() => set_diameter(brush.diameter * 1.2)),
    "ctrl+z": painting(undo),
    "ctrl+shift+z": painting(redo),
    "ctrl+y": painting(redo),
    b: painting(() => choose_tool("mask")),
    c: painting(() => choose_tool("colour")),
    e: painting(() => choose_tool("eraser")),
    "+": shown(() => stage.zoom(1.5)),
    "-": shown(() => stage.zoom(1 / 1.5)),
    0: shown(() => stage.fit()),
  },
  (held) => pointer.hold(held),
);

window.addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").hidden = !event.dataTransfer.types.includes("Files");
});
window.addEventListener("dragleave", (event) => event.relatedTarget || (find("drop").hidden = true));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").hidden = true;
  open(event.dataTransfer.files[0]);
});
window.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
window.addEventListener("beforeunload", (event) => {
  leaving = true;
  setTimeout(stay, 3000); // who is asked may do so
  if (unsaved()) event.preventDefault();
});
window.addEventListener("pageshow", (event) => event.persisted && stay());
window.addEventListener("pagehide", () => {
  leaving = true;
  if (state() === "working" && job.key) tell_last(`/api/jobs/${job.key}/left`);
});

stage.onview = () => (find("fit").textContent = `${Math.round(100 * stage.view.scale * stage.ratio)} %`);

// A page that is loaded anew takes up the photograph, and the job that is being done for it, with the hole that was sent.
async function resume() {
  const before = JSON.parse(sessionStorage.getItem("page") ?? "{}");
  if (!before.photo) return;
  const mine = ++opening;
  try {
    await begin(await (await ask("GET", `/api/photos/${before.photo}`)).json(), mine);
  } catch (error) {
    if (mine !== opening) return;
    if (error.status === 404) sessionStorage.removeItem("page"); // the server no longer holds it
    throw error;
  }
  if (mine !== opening) return;
  seed = before.seed;
  if (!before.job?.key) return;
  const { marks } = stage;
  const { mask } = before.job.query;
  await finish({ ...before.job, stop: new AbortController() }, async () => {
    const hole = mask && (await bits(mask).catch(() => null)); // the result counts, too, where it is held no longer
    if (hole && stage.marks === marks) mark(() => marks.addHole(hole));
  });
}

choose_tool("mask");
choose_colour(brush.colour);
set_diameter(brush.diameter);
show_sensitivity();
attempt(resume);
