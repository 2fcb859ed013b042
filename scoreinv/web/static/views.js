// The view: the marks of a sheet, or one of its results. Steps between views can be undone. The document hears "viewed".

import * as object from "./object.js";
import { chosen_of, history, latest, on, stage, state, tell } from "./page.js";
import { changed, pointer } from "./painting.js";
import { find, part_around, show_chosen, show_note, show_photo, show_results } from "./panel.js";
import { Marks } from "./marks.js";
import { Sheet, shown_picture } from "./sheet.js";
import { estimate } from "./settings.js";

let current = null; // { sheet, number }: number of the result, -1 for the marks
const showing = latest(); // of the views that load, only the latest is shown
let last_button = "open"; // the button of the last task, which gets the focus back

export const view = () => current;
export const sheet = () => current?.sheet ?? null;
export const result = () => current?.sheet.results[current.number];

// Shows a view; the pictures of a resumed session may have to be loaded first.
export async function go(next) {
  const is_latest = showing();
  if (!next.sheet.loaded) await next.sheet.load();
  if (!is_latest()) return;
  const before = current;
  const of = next.sheet;
  pointer.end();
  current = next;
  stage.results = next.number < 0 ? [] : of.results.map(shown_picture);
  stage.chosen = Math.max(0, next.number);
  stage.mixed = 0;
  if (before?.sheet !== of) open(of);
  if (result()) use(shown_picture(result()));
  find("more").hidden = !result()?.another;
  show_title();
  list();
  const is_first = result() && !(before?.sheet === of && before.number >= 0);
  if (is_first) {
    // The first result is shown alone, and the divider starts at the hole.
    find("compare").querySelector("[value=result]").checked = true;
    stage.split = stage.shareOf(part_around(result().request.box, of.picture.photo));
  }
  enter();
  tell("viewed");
}

// Shows a view as a step of undo.
export function step(next) {
  const before = current;
  history.add(view_step(before, next));
  return go(next);
}

export function view_step(before, after) {
  const bytes = before.sheet === after.sheet ? 0 : before.sheet.picture.bytes;
  return { before, after, undo: () => go(before), redo: () => go(after), bytes };
}

function open({ picture, marks }) {
  stage.picture = picture;
  stage.marks = marks;
  stage.view.part = null;
  stage.edge = null;
  object.deselect();
  use(picture);
  changed();
}

// Clears the page: no photograph is shown.
export function close() {
  pointer.end();
  showing(); // a view that loads is not shown
  current = null;
  Object.assign(stage, { picture: null, marks: null, results: [], selection: null });
  show_photo(null);
  show_note(null);
  document.body.dataset.state = "empty";
  document.body.removeAttribute("data-results");
  stage.redraw();
}

// The title has the size of a download.
function show_title() {
  show_photo((result() && shown_picture(result()).photo) ?? current.sheet.picture.photo, current.sheet.picture.photo);
}

// Lists all results, also those that arrived while the marks were edited.
export function list() {
  show_results(current.sheet, choose);
  show_chosen(current.number);
  document.body.toggleAttribute("data-results", current.sheet.results.length > 0);
}

function enter() {
  const focused = document.activeElement;
  const by_keys = focused.matches(":focus-visible");
  const next = current.number < 0 ? "painting" : "comparing";
  document.body.dataset.state = next;
  if (by_keys) keep_focus(focused);
  // Other tasks change pixels outside the mask.
  find("exact").hidden = Boolean(result()) && result().request.kind !== "fill";
  stage.before = false;
  stage.mode = result() ? chosen_of("compare") : "paint";
  if (stage.view.fitted) fit();
  pointer.cursor();
  stage.redraw();
  estimate();
}

// Moves the focus to another control if its element is hidden or disabled.
export function keep_focus(focused) {
  if (focused.getClientRects().length && !focused.closest("[inert]")) return;
  const working = document.body.hasAttribute("data-working");
  focus(working ? "cancel" : state() === "comparing" ? "keep" : last_button);
}

function focus(id) {
  const gone = find(id).disabled || !find(id).getClientRects().length; // as Fill without a mask
  (gone ? document.querySelector("input[name=task]:checked") : find(id)).focus();
}

export function remember_button(id) {
  last_button = id;
}

// Keeps a picture's bitmaps in memory. Until the full-size one is loaded, a reduced one is drawn.
function use(picture) {
  picture.use()?.then(() => stage.redraw()).catch(() => {});
}

// Fits the photograph; side by side, the area that the results have changed.
function fit() {
  stage.fit(stage.mode === "side" ? changed_part() : null);
}

function changed_part() {
  const { picture, results } = current.sheet;
  const boxes = results.map((each) => each.request.box);
  if (boxes.includes(null)) return null;
  const union = boxes.reduce((a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])]);
  return part_around(union, picture.photo);
}

// --- buttons ---

function choose(number) {
  if (number !== current.number) step({ sheet: current.sheet, number });
}

// Makes the chosen result the photograph; undo restores all results, then the marks.
function keep() {
  return replace(shown_picture(result()));
}

// Makes a picture the photograph, as a step of undo.
export function replace(picture, { marks = new Marks(picture.photo.width, picture.photo.height), straight = null } = {}) {
  return step({ sheet: new Sheet(picture, marks, straight), number: -1 });
}

on("keep", keep);
on("back", () => step({ sheet: current.sheet, number: -1 }));
on("compare", () => {
  stage.mode = chosen_of("compare");
  fit();
}, "change");
