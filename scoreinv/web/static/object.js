// The tool Object: selects an object by clicks on it and beside it, or by a box.

import { fetch_json } from "./api.js";
import { Layer } from "./layer.js";
import { pixel } from "./marks.js";
import { attempt, chosen_of, latest, on, stage, state, stroke_ended } from "./page.js";
import { find } from "./panel.js";

const SELECTED = pixel("#12a3a3");
const MARGIN = pixel("#8ed6d6");
const SHADOW = pixel("#7b57d1");
const FRAGMENTS = pixel("#d97a12");
const SAME = 10; // CSS pixels within which a click repeats the first

let prompt = null; // { picture, clicks: [[x, y, inside]], box, size } of the selection
let earlier = []; // previous prompts, for undo
let object = null; // { box, bits, fragments: { box, bits }, hole: { box, bits } }
let with_fragments = true; // whether the object has its fragments, small gaps and tips
let shadow = null; // proposed shadow of the object: { box, bits }
const requesting = latest();
let mark = null; // function that changes the marks as one step of undo
let brush = null;
let running = null; // promise of the last request
let missing = null; // how to install what selection needs

// Returns how to install what selection needs; null if it is installed.
export async function start(marking, with_brush) {
  mark = marking;
  brush = with_brush;
  update();
  missing = (await fetch_json("GET", "/api/limits")).objects;
  update();
  return missing;
}

// Returns a promise that ends when nothing is being computed.
export const settled = async () => running;

export function selected() {
  return prompt !== null && prompt.picture === stage.picture;
}

// Adds a click on the object or, by key or “Subtract”, beside it.
export function click(place, event) {
  const inside = (chosen_of("pointing") === "in") !== Boolean(event?.altKey || event?.shiftKey);
  if (!selected()) {
    if (inside) return select({ clicks: [[...place, 1]], box: null, size: null });
    return show_status("Click on the object first, then on what to subtract.");
  }
  const { clicks, box } = prompt;
  const [first] = clicks;
  const again = inside && !box && clicks.length === 1 && Math.hypot(first[0] - place[0], first[1] - place[1]) * stage.view.scale < SAME;
  if (again) return select(prompt, { another: true });
  return select({ ...prompt, clicks: [...clicks, [...place, inside ? 1 : 0]] });
}

// Selects the object in a box between two points.
export function select_box([a, b]) {
  const [left, top] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  select({ clicks: [], box: [left, top, Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])], size: null });
}

// Selects by typed numbers: x, y of a click; or x, y, width, height of a box.
function select_typed() {
  const numbers = find("place").value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (numbers.some(Number.isNaN) || ![2, 4].includes(numbers.length)) return show_status("Type x, y; or x, y, width, height.");
  if (numbers.length === 2) return click(numbers, null);
  return select_box([numbers.slice(0, 2), [numbers[0] + numbers[2], numbers[1] + numbers[3]]]);
}

// Shows the object of a prompt, then its shadow. Only the latest request counts.
function select(next, more = {}) {
  const { picture } = stage;
  const is_latest = requesting();
  return (running = attempt(async () => {
    const found = await with_status(request("select", picture, next, more));
    if (!is_latest() || stage.picture !== picture) return;
    if (selected()) earlier.push(prompt);
    prompt = { ...next, picture, size: found.size ?? next.size }; // further clicks change the mask of this size
    [object, with_fragments, shadow] = [found, true, null];
    show();
    const found_shadow = await request("shadow", picture, prompt);
    if (!is_latest() || !selected() || !found_shadow.box) return;
    shadow = found_shadow;
    show();
  }));
}

// Shows a message if the work takes long, as the first click in a photograph may.
async function with_status(work) {
  find("stage").dataset.waiting = "";
  find("fill").disabled = false; // it waits for the selection
  const long = setTimeout(() => show_status("Analysing the photograph …"), 400);
  try {
    return await work;
  } finally {
    clearTimeout(long);
    delete find("stage").dataset.waiting;
    update();
  }
}

async function request(what, picture, { clicks, box, size }, more = {}) {
  const query = new URLSearchParams(more);
  for (const [x, y, inside] of clicks) query.append("click", `${x.toFixed(1)},${y.toFixed(1)},${inside}`);
  if (box) query.set("box", box.map((each) => each.toFixed(1)).join());
  if (size) query.set("size", size);
  return fetch_json("POST", `/api/photos/${picture.photo.key}/${what}?${query}`);
}

function show() {
  const { width, height } = stage.picture.photo;
  stage.selection = new Layer(width, height);
  if (shadow) stage.selection.add(shadow, SHADOW);
  stage.selection.add(object.hole, MARGIN);
  stage.selection.add(object, SELECTED);
  if (with_fragments) stage.selection.add(object.fragments, FRAGMENTS);
  stage.changed("all");
  update();
}

// Undoes the last click; returns whether there was one.
export function undo_click() {
  if (!selected()) return false;
  const before = earlier.pop();
  deselect(earlier);
  if (before) select(before);
  return true;
}

// Clears the selection.
export function deselect(kept = []) {
  requesting(); // the answers that are under way do not count
  [prompt, object, shadow, earlier, stage.selection] = [null, null, null, kept, null];
  find("place").value = "";
  stage.changed("all");
  update();
}

// Adds the hole that removes the selection to the mask, or fills the selection with a colour.
export async function add({ colour = null, with_shadow = false } = {}) {
  if (!selected()) return;
  const { marks, picture } = stage;
  await (running = attempt(async () => {
    const found = await with_status(request("select", picture, prompt, { fragments: with_fragments }));
    await stroke_ended();
    if (stage.marks !== marks || state() !== "painting" || !selected()) return;
    mark(() =>
      marks.change(() => {
        marks.paint(colour ? found : found.hole, colour);
        if (with_shadow && shadow) marks.paint(shadow, colour);
      }),
    );
    deselect();
  }));
}

// Adds the object with the proposed shadow.
export function add_with_shadow() {
  return shadow && add({ with_shadow: true });
}

function change_fragments(event) {
  with_fragments = event.target.checked;
  show();
}

function show_status(words) {
  find("object-status").textContent = words;
}

function update() {
  const is = selected();
  for (const id of ["object-add", "object-colour", "object-deselect"]) find(id).disabled = !is;
  find("object-shadow").hidden = !shadow;
  find("object-fragments").parentElement.hidden = !object?.fragments.box;
  find("object-fragments").checked = with_fragments;
  if (stage.marks) find("fill").disabled = !is && !stage.marks.hole.count;
  const again = is && !prompt.box && prompt.clicks.length === 1 ? "Click on the same point for a larger or smaller selection." : "Click to add to the selection; choose Subtract to remove from it.";
  show_status(missing ?? (is ? again : "Click on an object, or drag a box around it."));
}

on("object-add", () => add());
on("object-colour", () => add({ colour: brush.colour }));
on("object-shadow", add_with_shadow);
on("object-fragments", change_fragments, "change");
on("object-deselect", () => deselect());
on("place-form", (event) => {
  event.preventDefault();
  select_typed();
}, "submit");
