// The tool Object: what is pointed at is shown, by clicks on it and beside it or by a box, until it is taken in.

import { ask } from "./api.js";
import { Layer } from "./layer.js";
import { pixel } from "./marks.js";
import { attempt, chosen_of, on, stage, state } from "./page.js";
import { find } from "./panel.js";

const PICKED = pixel("#12a3a3");
const SHADOW = pixel("#7b57d1");
const SAME = 10; // CSS pixels within which a click is on the same place

let prompt = null; // { shown, clicks: [[x, y, in]], box, size } of what is pointed at
let earlier = []; // prompts that undo goes back to
let shadow = null; // of it, as the server cuts it out: it is proposed, and taken by a key
let asking = 0;
let mark = null; // changes the marks, with a step of undo
let brush = null;
let missing = null; // what has to be installed first, in words

// Gives what has to be installed before objects can be pointed at, in words, or null.
export async function start(marking, with_brush) {
  mark = marking;
  brush = with_brush;
  tell();
  missing = (await (await ask("GET", "/api/limits")).json()).objects;
  tell();
  return missing;
}

export function pending() {
  return prompt !== null && prompt.shown === stage.shown;
}

// A place of the picture was clicked: it is on the object or, with a modifier key or where it is chosen so, beside it.
export function pointed(place, event) {
  const inside = (chosen_of("pointing") === "in") !== Boolean(event?.altKey || event?.shiftKey);
  if (!pending()) {
    if (inside) return point({ clicks: [[...place, 1]], box: null, size: null });
    return say("Click on the object first, then beside it.");
  }
  const { clicks, box } = prompt;
  const [first] = clicks;
  const again = inside && !box && clicks.length === 1 && Math.hypot(first[0] - place[0], first[1] - place[1]) * stage.view.scale < SAME;
  if (again) return point(prompt, { another: true });
  return point({ ...prompt, clicks: [...clicks, [...place, inside ? 1 : 0]] });
}

// A box was dragged between two places, around an object.
export function boxed([a, b]) {
  const [left, top] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  point({ clicks: [], box: [left, top, Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])], size: null });
}

// Numbers were typed: across and down of a click, or a box with its width and height.
function typed() {
  const numbers = find("place").value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (numbers.some(Number.isNaN) || ![2, 4].includes(numbers.length)) return say("Type across, down; or across, down, width, height.");
  if (numbers.length === 2) return pointed(numbers, null);
  return boxed([numbers.slice(0, 2), [numbers[0] + numbers[2], numbers[1] + numbers[3]]]);
}

// Shows what a prompt means, and then looks for its shadow. The last that was asked for counts.
function point(next, more = {}) {
  const { shown } = stage;
  const mine = ++asking;
  return attempt(async () => {
    const found = await waiting(answer("select", shown, next, more));
    if (mine !== asking || stage.shown !== shown) return;
    if (pending()) earlier.push(prompt);
    prompt = { ...next, shown, size: found.size };
    shadow = null;
    show(found);
    const its_shadow = await answer("shadow", shown, prompt);
    if (mine !== asking || !pending() || !its_shadow.box) return;
    shadow = its_shadow;
    show(found);
  });
}

// Something is waited for, which is said if it takes long, as the first click in a photograph may.
async function waiting(work) {
  find("stage").dataset.waiting = "";
  const long = setTimeout(() => say("Looking at the photograph …"), 400);
  try {
    return await work;
  } finally {
    clearTimeout(long);
    delete find("stage").dataset.waiting;
    tell();
  }
}

async function answer(what, shown, { clicks, box, size }, more = {}) {
  const query = new URLSearchParams(more);
  for (const [x, y, inside] of clicks) query.append("click", `${x.toFixed(1)},${y.toFixed(1)},${inside}`);
  if (box) query.set("box", box.map((each) => each.toFixed(1)).join());
  if (size) query.set("size", size);
  return (await ask("POST", `/api/photos/${shown.photo.key}/${what}?${query}`)).json();
}

function bytes({ bits }) {
  return Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
}

function show(found) {
  const { width, height } = stage.shown.photo;
  stage.picked = new Layer(width, height);
  if (shadow) stage.picked.bits(bytes(shadow), SHADOW, null, shadow.box);
  if (found.box) stage.picked.bits(bytes(found), PICKED, null, found.box);
  stage.changed("all");
  tell();
}

// Undo: the click before. Gives whether there was one to take back.
export function take_back() {
  if (!pending()) return false;
  const before = earlier.pop();
  forget(earlier);
  if (before) point(before);
  return true;
}

// Nothing is pointed at any more.
export function forget(kept = []) {
  asking += 1;
  [prompt, shadow, earlier, stage.picked] = [null, null, kept, null];
  find("place").value = "";
  stage.changed("all");
  tell();
}

// What is pointed at goes into the hole with its soft edge, and with its shadow if that is wanted; or takes a colour.
export async function take({ colour = null, with_shadow = false } = {}) {
  if (!pending()) return;
  const { marks, shown } = stage;
  await attempt(async () => {
    const found = await waiting(answer("select", shown, prompt, colour ? {} : { rim: true }));
    if (stage.marks !== marks || state() !== "painting" || !pending()) return;
    mark(() =>
      marks.change(() => {
        for (const part of with_shadow && shadow ? [found, shadow] : [found]) marks.paint(bytes(part), part.box, colour);
      }),
    );
    forget();
  });
}

// Takes in the shadow that is proposed, with its object.
export function take_shadow() {
  return shadow && take({ with_shadow: true });
}

function say(words) {
  find("object-told").textContent = words;
}

function tell() {
  const is = pending();
  for (const id of ["object-take", "object-colour", "object-forget"]) find(id).disabled = !is;
  find("object-shadow").hidden = !shadow;
  if (stage.marks) find("fill").disabled = !is && !stage.marks.hole.count;
  const again = is && !prompt.box && prompt.clicks.length === 1 ? "Click on the same place for more or less of it." : "Click for more of it, or beside it for less.";
  say(missing ?? (is ? again : "Click on what you mean, or drag a box around it."));
}

on("object-take", () => take());
on("object-colour", () => take({ colour: brush.colour }));
on("object-shadow", take_shadow);
on("object-forget", () => forget());
on("place-take", (event) => {
  event.preventDefault();
  typed();
}, "submit");
