// Tasks: jobs, their results, and the choice among the results.

import { ask, follow, send_last } from "./api.js";
import { Marks } from "./marks.js";
import * as object from "./object.js";
import { attempt, chosen_of, history, on, save, stage, state } from "./page.js";
import { changed, mark, pointer, show_before } from "./painting.js";
import { find, part_around, show_note, show_seconds, show_chosen, show_job, show_photo, show_results } from "./panel.js";
import { colour_png, mask_png } from "./png.js";
import { ResultGroup } from "./results.js";
import { Picture } from "./picture.js";

let job = null; // the current job, see `work`
let group = null; // the group of results that are compared
let groups = []; // all groups since the photograph was opened
let last_button = "open"; // the button of the last task, which gets the focus back
let leaving = false; // whether the page is being closed

// --- states ---

export function enter(next) {
  pointer.end();
  const focused = document.activeElement;
  const by_keys = focused.matches(":focus-visible");
  document.body.dataset.state = next;
  document.body.toggleAttribute("data-results", stage.results.length > 0);
  if (by_keys && !focused.getClientRects().length) focus({ working: "cancel", comparing: "keep" }[next] ?? last_button);
  // Other tasks change pixels outside the mask.
  const of = job ?? (stage.results.length ? group : null);
  find("exact").hidden = Boolean(of) && of.kind !== "fill";
  stage.before = false;
  stage.mode = stage.results.length ? chosen_of("compare") : "paint";
  if (stage.view.fitted) stage.fit();
  pointer.cursor();
  stage.redraw();
  remember();
  estimate();
}

function focus(id) {
  const gone = find(id).disabled || !find(id).getClientRects().length; // as Fill without a mask
  (gone ? document.querySelector("input[name=task]:checked") : find(id)).focus();
}

// Stores what a reload needs, as long as the server holds it.
function remember() {
  if (leaving || !stage.picture) return; // requests fail while the page is being closed
  const { kind, key, count } = job ?? {};
  const working = job && { kind, key, count };
  const saved = job ? job.group?.saved : stage.results.length ? group.saved : null;
  sessionStorage.setItem("page", JSON.stringify({ photo: stage.picture.photo.key, job: working, group: saved }));
}

// The page was not closed, or is back.
function stay() {
  leaving = false;
  remember();
}

export function unsaved() {
  return ["working", "comparing"].includes(state()) || history.done.length > 0;
}

// --- the photograph ---

export function show(picture, marks) {
  pointer.end();
  stage.picture = picture;
  stage.marks = marks;
  stage.results = [];
  object.deselect();
  use(picture);
  show_photo(picture.photo);
  changed();
  stage.redraw();
}

// Forgets the results of the previous photograph.
export function forget() {
  job = group = null;
  groups = [];
}

// A reduced picture is drawn as it is until its bitmap is loaded.
function use(picture) {
  picture.use()?.then(() => stage.redraw()).catch(() => {});
}

// --- jobs ---

const LAYERS = {
  mask: (marks) => marks.hole.count && mask_png(marks.hole),
  avoid: (marks) => marks.avoid.count && mask_png(marks.avoid),
  strokes: (marks) => marks.colours.count && colour_png(marks.colours),
  like: () => find("like").files[0],
};

// Runs a task. kind: the route; settings: its query; layers: marks that are sent first. A job's state is in an object,
// since the job may be cancelled, and another photograph opened, at any time.
function work(kind, settings = {}, layers = []) {
  last_button = kind;
  return finish(new_job(kind, 1), async (mine) => {
    mine.group = await group_of(mine, settings, layers);
    await submit(mine);
  });
}

function new_job(kind, count, key = null) {
  return { kind, count, key, group: null, stop: new AbortController() };
}

// Returns the group of results with these marks and settings; sends the layers of a new one.
async function group_of(mine, settings, layers) {
  const { picture, marks } = stage;
  const { signal } = mine.stop;
  const drawn = {};
  for (const layer of layers) {
    const sent = await LAYERS[layer](marks);
    if (sent) drawn[layer] = sent;
  }
  for (const each of groups) if (await each.matches(picture, mine.kind, settings, drawn)) return each;
  const made = new ResultGroup(picture, marks, mine.kind, settings, drawn);
  await send_layers(made, signal);
  signal.throwIfAborted();
  if (mine.kind !== "damage") groups.push(made);
  return made;
}

async function send_layers({ picture, layers, keys }, signal) {
  let beside = ""; // the previous layer, which the server holds until all are sent
  for (const [layer, sent] of Object.entries(layers)) {
    const answer = await ask("POST", `/api/photos/${picture.photo.key}/layers?of=${layer}${beside}`, sent, signal);
    keys[layer] = (await answer.json()).key;
    beside = `&beside=${keys[layer]}`;
  }
}

// Requests a group's next result; sends its layers again if the server dropped them.
async function submit(mine) {
  const { kind, settings, layers, keys, seed, picture } = mine.group;
  const drawn = ["fill", "colorize", "restore"].includes(kind) && { seed };
  const request = () => ask("POST", `/api/photos/${picture.photo.key}/${kind}?${new URLSearchParams({ ...settings, ...keys, ...drawn })}`);
  const answer = await request().catch(async (error) => {
    if (error.status !== 404 || !Object.keys(layers).length) throw error;
    await send_layers(mine.group, mine.stop.signal);
    return request();
  });
  mine.key = (await answer.json()).job;
  if (mine.stop.signal.aborted) await ask("DELETE", `/api/jobs/${mine.key}`); // it was cancelled before it had a key
  else remember();
}

// Follows a job to its end; first(mine) runs before.
function finish(mine, first) {
  return attempt(async () => {
    job = mine;
    show_note(null);
    show_job(mine, null);
    enter("working");
    try {
      await first(mine);
      while (await next(mine)) await submit(mine);
    } catch (error) {
      if (job !== mine) return; // another job has replaced it
      leave();
      throw error;
    }
  });
}

// Waits for a result and shows it; returns whether another one is to be requested.
async function next(mine) {
  const update = (now) => {
    if (job === mine && !mine.stop.signal.aborted) show_job(mine, now);
    return job === mine;
  };
  const report = job === mine && (await follow(mine.key, update));
  if (!report) return false;
  if (report.state === "failed") throw new Error(report.error);
  const found = mine.kind === "damage" && report.photo ? await bits(report.photo.key) : null;
  const picture = mine.kind !== "damage" && report.photo ? await Picture.load(report.photo) : null;
  if (job !== mine) return false;
  mine.count -= 1;
  const stopped = mine.stop.signal.aborted; // possibly after its end
  if (mine.kind === "damage" && report.state === "done" && !stopped) replace_found(found ?? new Uint8Array());
  if (!picture || stopped) {
    leave();
    if (!stopped || !picture) show_note(report.note);
    return false;
  }
  add(mine.group, { picture, seed: mine.group.seed, note: report.note, another: report.another });
  if (mine.count && report.another) return true;
  leave();
  return false;
}

export async function bits(key) {
  return new Uint8Array(await (await ask("GET", `/api/photos/${key}/bits`)).arrayBuffer());
}

// Returns to the results, or to painting.
function leave() {
  job = null;
  if (stage.results.length) put(group, group.chosen);
  else enter("painting");
}

export async function cancel() {
  const mine = job;
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

// --- damage: after the first search, the slider updates the mask at once ---

let last_found = null; // its step of undo
let moving = false;

function replace_found(found) {
  // While the slider moves, each mask replaces the last one in the history, too.
  if (moving && last_found && history.done.at(-1) === last_found) history.drop();
  last_found = mark(() => stage.marks.replaceFound(found));
}

async function change_sensitivity() {
  const { marks, picture } = stage;
  if (!marks.searched || moving || state() !== "painting") return;
  moving = true;
  await attempt(async () => {
    for (let done = null; done !== find("sensitivity").value && stage.marks === marks && state() === "painting"; ) {
      done = find("sensitivity").value;
      const answer = await ask("POST", `/api/photos/${picture.photo.key}/damage?sensitivity=${done}`);
      const report = await follow((await answer.json()).job, () => stage.marks === marks);
      if (report?.state === "failed") throw new Error(report.error);
      const found = report?.photo ? await bits(report.photo.key) : new Uint8Array();
      if (!report || stage.marks !== marks || state() !== "painting") return;
      replace_found(found);
      show_note(report.note);
    }
  });
  moving = false;
}

// --- results ---

// Shows a new result; undo returns to the previous view.
function add(of, result) {
  of.results.push(result);
  const [before, number] = [stage.results.length ? of.chosen : -1, of.results.length - 1];
  history.add({
    undo: () => (before < 0 ? back_to_marks() : put(of, before)),
    redo: () => put(of, number),
    bytes: 0,
  });
  of.part ??= part_around(of.kind === "fill" ? of.marks.hole.box() : null, of.picture.photo);
  if (before < 0) {
    // The first result is shown alone, and the divider starts at the hole.
    find("compare").querySelector("[value=result]").checked = true;
    stage.split = stage.shareOf(of.part);
  }
  put(of, number);
}

// Shows a result of a group with its thumbnails.
function put(of, number) {
  group = of;
  group.chosen = number;
  stage.results = group.results.map((result) => result.picture);
  stage.chosen = number;
  use(group.result.picture);
  show_note(group.result.note);
  show_results(group, choose);
  show_chosen(number);
  enter(job ? "working" : "comparing");
}

// Chooses a result by a click.
function choose(number) {
  const [of, before] = [group, group.chosen];
  if (number === before) return;
  history.add({ undo: () => put(of, before), redo: () => put(of, number), bytes: 0 });
  put(of, number);
}

function back_to_marks() {
  stage.results = [];
  show_note(null);
  enter("painting");
}

function back() {
  const [of, number] = [group, group.chosen];
  history.add({ undo: () => put(of, number), redo: back_to_marks, bytes: 0 });
  back_to_marks();
}

// Makes the chosen result the photograph; undo restores all results, then the marks.
function keep() {
  const [of, number] = [group, group.chosen];
  const { picture } = of.result;
  const marks = new Marks(picture.photo.width, picture.photo.height);
  const after = () => {
    show(picture, marks);
    back_to_marks();
    ask("POST", `/api/photos/${picture.photo.key}/look`).catch(() => {}); // prepares the selection of objects
  };
  const before = () => {
    show(of.picture, of.marks);
    put(of, number);
  };
  history.add({ undo: before, redo: after, bytes: of.picture.bytes });
  after();
}

// Adds results with the same marks.
function again(count) {
  const mine = new_job(group.kind, count);
  mine.group = group;
  return finish(mine, submit);
}

export async function download() {
  const { photo } = stage.result ?? stage.picture;
  await attempt(async () => {
    await ask("GET", `/api/photos/${photo.key}`); // reports an error that a failed download would not
    save(`/api/photos/${photo.key}/file?kind=${find("format").value}`, "");
  });
}

// Restores results, job and mask after a reload.
export async function resume({ job: before, group: saved }) {
  const { picture, marks } = stage;
  const mask = saved?.keys.mask && (await bits(saved.keys.mask).catch(() => null)); // results are kept without it
  if (stage.marks !== marks) return;
  if (mask) mark(() => marks.replaceHole(mask));
  let taken = null;
  if (saved) {
    taken = Object.assign(new ResultGroup(picture, marks, saved.kind, saved.settings, {}), { keys: saved.keys });
    for (const { key, ...rest } of saved.results) {
      const held = await ask("GET", `/api/photos/${key}`).then((answer) => answer.json()).catch(() => null);
      if (held) taken.results.push({ ...rest, picture: await Picture.load(held) });
    }
    if (stage.marks !== marks) return;
    taken.part = part_around(taken.kind === "fill" ? marks.hole.box() : null, picture.photo);
    groups.push(taken);
    if (taken.results.length) put(taken, Math.min(Math.max(0, saved.chosen), taken.results.length - 1));
  }
  if (before?.key) await finish(Object.assign(new_job(before.kind, before.count, before.key), { group: taken }), () => {});
}

// --- buttons ---

const STEPS = ["inpaint", "tone", "denoise", "colorize", "tint", "enlarge"];
const step = (name) => find(`step-${name}`).checked;

// Adds the selection to the mask first.
async function with_selection(then) {
  await object.add();
  if (!object.selected()) await then();
}

function restore() {
  const layers = [...(step("inpaint") ? ["mask"] : []), ...(step("colorize") ? ["strokes"] : [])];
  const steps = { inpaint: step("inpaint"), denoise: step("denoise"), colorize: step("colorize") };
  const tone = step("tone") ? step("faded") && { tone: 1 } : { tone: 0 };
  const size = step("enlarge") && { enlarge: 2 };
  return work("restore", { ...steps, ...tone, keep_tint: !step("tint"), ...size, ...changed_sensitivity() }, layers);
}

// Sends the sensitivity only if it was changed: the default depends on the photograph.
function changed_sensitivity() {
  const { value, defaultValue } = find("sensitivity");
  const detects = step("inpaint") && !stage.marks.hole.count;
  return detects && value !== defaultValue && { sensitivity: value };
}

function improvement() {
  const noise = find("noise").value;
  return noise === "" ? {} : { noise };
}

// Shows the estimated duration of the chosen improvement.
let estimated = null; // path of the last request

export async function estimate() {
  show_seconds(null);
  if (!stage.picture || chosen_of("task") !== "improve" || state() !== "painting") return;
  const query = new URLSearchParams({ work: chosen_of("improve"), factor: chosen_of("factor") });
  const mine = (estimated = `/api/photos/${stage.picture.photo.key}/seconds?${query}`);
  const estimate = await ask("GET", mine).then((answer) => answer.json()).catch(() => null); // optional
  if (estimate && estimated === mine) show_seconds(estimate.seconds);
}

function blur() {
  const blur = chosen_of("blur");
  if (!blur) return {};
  const turned = blur === "motion" && { angle: find("blur-angle").value };
  return { blur, size: find("blur-size").value, ...turned };
}

on("damage", () => work("damage", { sensitivity: find("sensitivity").value }));
on("sensitivity", change_sensitivity, "input");
on("sensitivity", () => stage.marks.searched || find("damage").click(), "change");
for (const name of STEPS) on(`step-${name}`, () => (find("restore").disabled = !STEPS.some(step)), "change");
on("fill", () => with_selection(() => work("fill", find("exactly").checked ? { exact: true } : {}, ["mask", "avoid"])));
on("colorize", () => work("colorize", {}, ["strokes", "like"]));
on("restore", () => with_selection(restore));
on("denoise", () => work("denoise", improvement()));
on("upscale", () => work("upscale", { factor: chosen_of("factor"), ...improvement() }));
on("deblur", () => work("deblur", { ...blur(), ...improvement() }));
on("cancel", () => attempt(cancel));
on("keep", keep);
on("again", () => again(1));
on("four", () => again(4));
on("back", back);
on("download", download);
on("compare", () => {
  stage.mode = chosen_of("compare");
  stage.fit();
}, "change");
on("before", () => show_before(true), "pointerdown");
on("before", (event) => [" ", "Enter"].includes(event.key) && show_before(true), "keydown");
for (const event of ["pointerup", "pointerleave", "blur", "keyup"]) on("before", () => show_before(false), event);

window.addEventListener("beforeunload", (event) => {
  leaving = true;
  setTimeout(stay, 3000); // after a question, the user may stay
  if (unsaved()) event.preventDefault();
});
window.addEventListener("pageshow", (event) => event.persisted && stay());
window.addEventListener("pagehide", () => {
  leaving = true;
  if (state() === "working" && job.key) send_last(`/api/jobs/${job.key}/left`);
});
