// The page: a photograph is opened, painted on, worked on, compared and kept. Everything else is in its own module.

import { ask, follow } from "./api.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { Marks } from "./marks.js";
import { find, part_around, say_error, say_exact, say_note, show_hole, show_job, show_chosen, show_photo, show_results, show_sensitivity, SWATCHES } from "./panel.js";
import { colour_png, mask_png } from "./png.js";
import { Pointer } from "./pointer.js";
import { Shown } from "./shown.js";
import { Stage } from "./stage.js";

export const stage = new Stage(find("stage"));
const history = new History(changed);
const brush = { tool: "mask", colour: "#3f7fbf", diameter: 40 };
const pointer = new Pointer(stage, () => (state() === "painting" ? brush : null), (step) => history.add(step), picked);
let job = null; // { key, kind } of what is being done, or whose results are compared
let seed = 0;
let asked = "open"; // the button of what was asked for last, where the keyboard comes back to
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
  if (leaving) return; // what fails now fails because the page ends
  sessionStorage.setItem("page", JSON.stringify({ photo: stage.shown?.photo.key, job, seed }));
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
  } finally {
    find("busy").hidden = true;
  }
}

// --- opening ---

async function open(file) {
  if (!file || (unsaved() && !confirm("Leave this photograph? What is painted on it, and results that were not downloaded, are lost."))) return;
  await attempt(async () => {
    if (job && state() === "working") await cancel();
    find("busy").hidden = false;
    const answer = await ask("POST", `/api/photos?name=${encodeURIComponent(file.name || "photo")}`, file);
    job = null;
    seed = 0;
    await begin(await answer.json());
  });
}

async function begin(photo) {
  const shown = await Shown.load(photo);
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

function add(step) {
  if (step) history.add(step);
}

// While a stroke is drawn, undo takes that back.
function undo() {
  pointer.end();
  history.undo();
}

function redo() {
  pointer.end();
  history.redo();
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
  await attempt(async () => {
    const answer = await ask("POST", `/api/photos/${stage.shown.photo.key}/mask`, file);
    add(stage.marks.replaceHole(new Uint8Array(await answer.arrayBuffer())));
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

// kind: the route, which is also what the panel names; options: its query, or a promise of it.
async function work(kind, options, body) {
  await attempt(async () => {
    say_note(null);
    show_job(kind, null);
    job = { key: null, kind };
    asked = kind;
    enter("working");
    try {
      const query = new URLSearchParams(await options);
      const answer = await ask("POST", `/api/photos/${stage.shown.photo.key}/${kind}?${query}`, await body);
      job.key = (await answer.json()).job;
      remember();
      await finish();
    } catch (error) {
      job = null;
      enter("painting");
      throw error;
    }
  });
}

async function finish() {
  const { key, kind } = job;
  const report = await follow(key, (now) => job?.key === key && show_job(kind, now));
  if (job?.key !== key) return; // another photograph was opened meanwhile
  if (report.state === "failed") throw new Error(report.error);
  if (kind === "damage" || !report.photos?.length) {
    if (report.photos?.length) await mark(report.photos[0]);
    job = null;
    say_note(report.note);
    enter("painting");
    return;
  }
  const results = await Promise.all(report.photos.map((photo) => Shown.load(photo)));
  if (job?.key !== key) return;
  stage.results = results;
  part = part_around(kind === "fill" ? stage.marks.hole.box() : null, stage.shown.photo);
  stage.split = 0.5;
  say_note(report.note);
  show_results(results, part, choose);
  choose(0);
  enter("comparing");
}

// What was found is added to the hole, where it can be mended.
async function mark(mask) {
  const answer = await ask("GET", `/api/photos/${mask.key}/bits`);
  add(stage.marks.addHole(new Uint8Array(await answer.arrayBuffer())));
}

const drawing = () => ({ samples: chosen_of("samples"), seed });
const damage = () => work("damage", { sensitivity: find("sensitivity").value });
const restore = () => work("restore", restoring(), stage.marks.hole.count ? mask_png(stage.marks.hole) : undefined);
const fill = () => stage.marks.hole.count && work("fill", drawing(), mask_png(stage.marks.hole));
const colorize = () => work("colorize", drawing(), stage.marks.colours.count ? colour_png(stage.marks.colours) : undefined);

// How readily damage is looked for counts once it was changed: what is usual depends on the photograph.
async function restoring() {
  const options = drawing();
  const { value, defaultValue } = find("sensitivity");
  if (value !== defaultValue) options.sensitivity = value;
  if (stage.marks.colours.count) {
    const answer = await ask("POST", "/api/photos?name=strokes", await colour_png(stage.marks.colours));
    options.strokes = (await answer.json()).key;
  }
  return options;
}

async function cancel() {
  if (!job?.key) return;
  find("job-text").textContent = "Stopping …";
  await ask("DELETE", `/api/jobs/${job.key}`);
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

function again() {
  seed += 1;
  const { kind } = job;
  leave();
  ({ fill, colorize, restore })[kind]();
}

function leave() {
  job = null;
  stage.results = [];
  say_note(null);
  enter("painting");
}

function download() {
  const { photo } = state() === "comparing" ? stage.results[stage.chosen] : stage.shown;
  save(`/api/photos/${photo.key}/file?kind=${find("format").value}`, "");
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
on("mask-clear", () => add(stage.marks.clear()));
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
  setTimeout(() => (leaving = false), 3000); // who is asked may stay
  if (unsaved()) event.preventDefault();
});
window.addEventListener("pagehide", () => (leaving = true));

stage.onview = () => (find("fit").textContent = `${Math.round(100 * stage.view.scale * stage.ratio)} %`);

// A page that is loaded anew takes up the photograph, and the job that is being done for it.
async function resume() {
  const before = JSON.parse(sessionStorage.getItem("page") ?? "{}");
  if (!before.photo) return;
  await begin(await (await ask("GET", `/api/photos/${before.photo}`)).json());
  seed = before.seed;
  if (!before.job?.key) return;
  job = before.job;
  show_job(job.kind, null);
  enter("working");
  try {
    await finish();
  } catch (error) {
    job = null;
    enter("painting");
    throw error;
  }
}

choose_tool("mask");
choose_colour(brush.colour);
set_diameter(brush.diameter);
show_sensitivity();
resume().catch(() => sessionStorage.removeItem("page")); // the server no longer holds it
