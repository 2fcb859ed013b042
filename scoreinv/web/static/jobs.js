// Jobs: the run of a task on a sheet, from its request to its results. The photograph can be edited meanwhile.

import { ask, fetch_json, follow, send_last } from "./api.js";
import { values } from "./form.js";
import { attempt, history, listen, on, stage, state, stroke_ended, tell } from "./page.js";
import { strokes } from "./marks.js";
import { find, show_job, show_note } from "./panel.js";
import { Picture } from "./picture.js";
import { blended, Request, shown_picture } from "./sheet.js";
import * as views from "./views.js";

const LAYERS = {
  mask: (marks) => marks.hole.count && marks.hole.mask(),
  avoid: (marks) => marks.avoid.count && marks.avoid.mask(),
  strokes: (marks) => marks.colours.count && strokes(marks.colours),
};

export const handlers = {}; // by kind of task: functions that process a result, which is then not added to the results

let job = null; // the current job; asynchronous functions compare it with their own, since another may replace it

export const current = () => job;

// Runs a task on the current sheet.
// kind: the route; settings: its query.
// layers: names of the marks to send first; keys: keys of layers that are on the server already.
// done(report, job): processes a result, which is then not added to the sheet's results.
export function run(kind, settings = {}, { layers = [], keys = {}, done = null } = {}) {
  views.remember_button(kind);
  const mine = make({ kind, count: 1, sheet: views.sheet(), done });
  return start(mine, async () => {
    mine.request = await request_of(mine, settings, layers, keys);
    if (await is_agreed(mine)) await submit(mine);
    else leave();
  });
}

// Adds `count` results of a request.
export function repeat(request, count) {
  const mine = make({ kind: request.kind, count, sheet: views.sheet(), request });
  return start(mine, () => submit(mine));
}

// Runs a request again with changed settings, for the button of a note.
function vary(request, settings) {
  const made = new Request({ ...request.saved, settings: { ...request.settings, ...settings } });
  made.layers = request.layers;
  return repeat(made, 1);
}

// Returns the buttons of a note.
const buttons = (actions, request) => (actions ?? []).map(({ label, settings, kernel }) => ({ label, kernel, run: () => job || vary(request, settings) }));

// Follows a job that began before the page was reloaded.
export function resume(saved) {
  return start(make(saved), () => {});
}

// Runs a job that belongs to no sheet. begin() requests it and returns its key. Callbacks: begun(key) after the request,
// update() for each report, done(report) at the end.
export function run_batch(kind, { begin, begun, update, done }) {
  const mine = make({ kind, count: 1, sheet: null, done });
  mine.update = update;
  return start(mine, async () => {
    mine.key = await begin();
    begun(mine.key);
  });
}

function make({ kind, count, sheet, request = null, key = null, seed = 0, done = null }) {
  return { kind, count, sheet, request, key, seed, done: done ?? handlers[kind], stop: new AbortController(), last: history.done.at(-1) };
}

// Returns the request of a task; encodes and sends its layers, unless the sheet has results of an equal request.
async function request_of({ kind, sheet, stop }, settings, layers, keys) {
  const { marks, picture } = sheet;
  const box = kind === "fill" ? marks.hole.box() : null;
  const made = new Request({ kind, settings, keys, prints: { ...keys }, box });
  for (const layer of layers) {
    const sent = LAYERS[layer](marks);
    if (!sent) continue;
    made.layers[layer] = JSON.stringify(sent);
    made.prints[layer] = fingerprint(made.layers[layer]);
  }
  const known = sheet.results.find((each) => each.request.id === made.id);
  if (known) return known.request;
  await send_layers(made, picture, stop.signal);
  stop.signal.throwIfAborted();
  return made;
}

// Returns a hash of a text of 64 bits (FNV-1a, twice), to find equal layers.
export function fingerprint(text) {
  const hash = [0x811c9dc5, 0x2f0b4c47];
  for (let i = 0; i < text.length; i++) for (const half of [0, 1]) hash[half] = Math.imul(hash[half] ^ text.charCodeAt(i), 0x01000193 + 2 * half);
  return `${text.length}-${hash.map((half) => (half >>> 0).toString(16)).join("-")}`;
}

// Asks before the first fill of a large mask.
async function is_agreed({ kind, request, sheet: { picture, results }, stop }) {
  if (kind !== "fill" || results.some((each) => each.request === request)) return true;
  const { settings, keys } = request;
  const query = new URLSearchParams({ mask: keys.mask, grow: settings.grow ?? 0 });
  const { question } = await fetch_json("GET", `/api/photos/${picture.photo.key}/large?${query}`, null, stop.signal);
  return !question || confirm(question);
}

async function send_layers({ layers, keys }, { photo }, signal) {
  let beside = ""; // the previous layer, which the server holds until all are sent
  for (const [layer, sent] of Object.entries(layers)) {
    keys[layer] = (await fetch_json("POST", `/api/photos/${photo.key}/layers?of=${layer}${beside}`, sent, signal)).key;
    beside = `&beside=${keys[layer]}`;
  }
}

// Requests the next result; sends the layers again if the server dropped them.
async function submit(mine) {
  const { sheet, request, stop } = mine;
  const { kind, settings, layers, keys } = request;
  mine.seed = sheet.seed(request);
  const drawn = ["fill", "colorize", "restore"].includes(kind) && { seed: mine.seed };
  const path = () => `/api/photos/${sheet.picture.photo.key}/${kind}?${new URLSearchParams({ ...settings, ...keys, ...drawn })}`;
  const { job } = await fetch_json("POST", path()).catch(async (error) => {
    if (error.status !== 404 || !Object.keys(layers).length) throw error;
    await send_layers(request, sheet.picture, stop.signal);
    return fetch_json("POST", path());
  });
  mine.key = job;
  if (stop.signal.aborted) await ask("DELETE", `/api/jobs/${mine.key}`); // it was cancelled before it had a key
  else tell("changed");
}

// Makes a job the current one, runs begin(), and follows the job to its end.
function start(mine, begin) {
  return attempt(async () => {
    job = mine;
    show_note(null);
    show_job(mine, null);
    set_working(true);
    try {
      await begin();
      while (await next(mine)) await submit(mine);
    } catch (error) {
      if (job !== mine) return; // another job has replaced it
      leave();
      throw error;
    }
  });
}

// Disables or enables the controls that cannot be used during a job.
function set_working(is) {
  const focused = document.activeElement;
  const by_keys = focused.matches(":focus-visible");
  document.body.toggleAttribute("data-working", is);
  for (const part of document.querySelectorAll(".when-idle")) part.inert = is;
  if (by_keys) views.keep_focus(focused);
}

// Ends the current job.
function leave() {
  job = null;
  set_working(false);
  tell("changed");
}

// Stops following the current job; its results are not shown.
export function forget() {
  if (job) leave();
}

// Waits for a result and processes it; returns whether to request another one.
async function next(mine) {
  const update = (now) => {
    if (job === mine && !mine.stop.signal.aborted) show_job(mine, now);
    mine.update?.(now);
    return job === mine;
  };
  const report = job === mine && (await follow(mine.key, update));
  if (!report) return false;
  if (report.state === "failed") throw new Error(report.error);
  const has_picture = report.photo && mine.kind !== "damage";
  const found = has_picture ? null : await found_mask(report);
  const picture = has_picture ? await Picture.load(report.photo) : null;
  const result = { picture, request: mine.request, seed: mine.seed, note: report.note, actions: report.actions, another: report.another };
  const { feather } = values("fill");
  if (mine.kind === "fill" && picture && feather) result.blend = await blended(mine.sheet, result, { feather });
  await stroke_ended();
  if (job !== mine) return false;
  mine.count -= 1;
  const stopped = mine.stop.signal.aborted; // possibly after its end
  const more = picture && !stopped && mine.count > 0 && report.another;
  if (!more) leave();
  if (stopped) return false;
  if (mine.done) await mine.done({ ...report, picture: shown_picture(result), found }, mine);
  else if (picture) await add(mine, result);
  else show_note(report.note, buttons(report.actions, mine.request));
  return more;
}

// Returns the mask of detected damage, see `Layer.add`.
export async function found_mask({ photo }) {
  return photo ? fetch_json("GET", `/api/photos/${photo.key}/bits`) : { box: null };
}

// Adds a result, and shows it unless the marks were changed meanwhile.
async function add(mine, result) {
  const { sheet } = mine;
  const number = sheet.results.push(result) - 1;
  const is_editing = state() === "painting" && (history.done.at(-1) !== mine.last || stage.selection);
  if (views.sheet() === sheet && !is_editing) {
    await views.step({ sheet, number });
    mine.last = history.done.at(-1);
    return;
  }
  if (views.sheet() !== sheet) return;
  views.list();
  show_note(`Result ${number + 1} is ready: click on it below.`);
  tell("changed");
}

export async function cancel() {
  const mine = job;
  if (!mine) return;
  mine.stop.abort();
  find("job-text").textContent = "Stopping …";
  if (!mine.key) return leave();
  try {
    await ask("DELETE", `/api/jobs/${mine.key}`);
  } catch (error) {
    mine.stop = new AbortController(); // it was not cancelled: follow it again
    throw error;
  }
}

function show_result_note() {
  const result = views.result();
  show_note(result?.note, buttons(result?.actions, result?.request));
}

on("cancel", () => attempt(cancel));
listen("viewed", show_result_note);
window.addEventListener("pagehide", () => job?.key && send_last(`/api/jobs/${job.key}/left`));
