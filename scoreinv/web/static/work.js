// What is done with the photograph: jobs, their results, of which all stay, and the choice among these.

import { ask, follow, tell_last } from "./api.js";
import { Marks } from "./marks.js";
import * as object from "./object.js";
import { attempt, chosen_of, history, on, save, stage, state } from "./page.js";
import { changed, mark, pointer, show_before } from "./painting.js";
import { find, part_around, say_note, say_seconds, show_chosen, show_job, show_photo, show_results } from "./panel.js";
import { colour_png, mask_png } from "./png.js";
import { Round } from "./rounds.js";
import { Shown } from "./shown.js";

let job = null; // what is being done, see `work`
let round = null; // whose results are compared
let rounds = []; // all, since the photograph was opened
let asked = "open"; // the button of what was asked for last, where the keyboard comes back to
let leaving = false; // the page ends

// --- states ---

export function enter(next) {
  pointer.end();
  const focused = document.activeElement;
  const by_keys = focused.matches(":focus-visible");
  document.body.dataset.state = next;
  document.body.toggleAttribute("data-results", stage.results.length > 0);
  if (by_keys && !focused.getClientRects().length) focus({ working: "cancel", comparing: "keep" }[next] ?? asked);
  // What else is done changes more than the hole.
  const of = job ?? (stage.results.length ? round : null);
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
  const gone = find(id).disabled || !find(id).getClientRects().length; // as Fill, where no hole is left
  (gone ? document.querySelector("input[name=task]:checked") : find(id)).focus();
}

// What a page that is loaded anew goes on with, while the server holds it.
function remember() {
  if (leaving || !stage.shown) return; // what fails as the page ends fails because of that
  const { kind, key, count } = job ?? {};
  const working = job && { kind, key, count };
  const saved = job ? job.round?.saved : stage.results.length ? round.saved : null;
  sessionStorage.setItem("page", JSON.stringify({ photo: stage.shown.photo.key, job: working, round: saved }));
}

// The page did not end, or is back.
function stay() {
  leaving = false;
  remember();
}

export function unsaved() {
  return ["working", "comparing"].includes(state()) || history.done.length > 0;
}

// --- the photograph ---

export function show(shown, marks) {
  pointer.end();
  stage.shown = shown;
  stage.marks = marks;
  stage.results = [];
  object.forget();
  use(shown);
  show_photo(shown.photo);
  changed();
  stage.redraw();
}

// Another photograph is begun with.
export function forget() {
  job = round = null;
  rounds = [];
}

// One that was reduced is drawn as it is until it comes anew.
function use(shown) {
  shown.use()?.then(() => stage.redraw()).catch(() => {});
}

// --- jobs ---

const LAYERS = {
  mask: (marks) => marks.hole.count && mask_png(marks.hole),
  avoid: (marks) => marks.avoid.count && mask_png(marks.avoid),
  strokes: (marks) => marks.colours.count && colour_png(marks.colours),
  like: () => find("like").files[0],
};

// Asks for work. kind: the route; settings: its query; layers: the marks that are sent before. What belongs to it is in an
// object of its own: it may be given up, and another photograph opened, at any time.
function work(kind, settings = {}, layers = []) {
  asked = kind;
  return finish(begun(kind, 1), async (mine) => {
    mine.round = await round_of(mine, settings, layers);
    await submit(mine);
  });
}

function begun(kind, count, key = null) {
  return { kind, count, key, round: null, stop: new AbortController() };
}

// The round of these marks and settings, to which another result is added; a new one sends its layers.
async function round_of(mine, settings, layers) {
  const { shown, marks } = stage;
  const { signal } = mine.stop;
  const drawn = {};
  for (const layer of layers) {
    const sent = await LAYERS[layer](marks);
    if (sent) drawn[layer] = sent;
  }
  for (const each of rounds) if (await each.isOf(shown, mine.kind, settings, drawn)) return each;
  const made = new Round(shown, marks, mine.kind, settings, drawn);
  await send_layers(made, signal);
  signal.throwIfAborted();
  if (mine.kind !== "damage") rounds.push(made);
  return made;
}

async function send_layers({ shown, layers, keys }, signal) {
  let beside = ""; // what was sent already, to be held until all is there
  for (const [layer, sent] of Object.entries(layers)) {
    const answer = await ask("POST", `/api/photos/${shown.photo.key}/layers?of=${layer}${beside}`, sent, signal);
    keys[layer] = (await answer.json()).key;
    beside = `&beside=${keys[layer]}`;
  }
}

// Asks for the next result of a round, whose layers are sent again where the server has let go of them.
async function submit(mine) {
  const { kind, settings, layers, keys, seed, shown } = mine.round;
  const drawn = ["fill", "colorize", "restore"].includes(kind) && { seed };
  const asked_for = () => ask("POST", `/api/photos/${shown.photo.key}/${kind}?${new URLSearchParams({ ...settings, ...keys, ...drawn })}`);
  const answer = await asked_for().catch(async (error) => {
    if (error.status !== 404 || !Object.keys(layers).length) throw error;
    await send_layers(mine.round, mine.stop.signal);
    return asked_for();
  });
  mine.key = (await answer.json()).job;
  if (mine.stop.signal.aborted) await ask("DELETE", `/api/jobs/${mine.key}`); // it was cancelled before it had a key
  else remember();
}

// Sees to its end what is being done; first(mine) comes before it is followed.
function finish(mine, first) {
  return attempt(async () => {
    job = mine;
    say_note(null);
    show_job(mine, null);
    enter("working");
    try {
      await first(mine);
      while (await next(mine)) await submit(mine);
    } catch (error) {
      if (job !== mine) return; // nobody waits for it any more
      leave();
      throw error;
    }
  });
}

// Waits for the next result, and shows it; whether another is to be asked for.
async function next(mine) {
  const told = (now) => {
    if (job === mine && !mine.stop.signal.aborted) show_job(mine, now);
    return job === mine;
  };
  const report = job === mine && (await follow(mine.key, told));
  if (!report) return false;
  if (report.state === "failed") throw new Error(report.error);
  const found = mine.kind === "damage" && report.photo ? await bits(report.photo.key) : null;
  const shown = mine.kind !== "damage" && report.photo ? await Shown.load(report.photo) : null;
  if (job !== mine) return false;
  mine.count -= 1;
  const stopped = mine.stop.signal.aborted; // maybe after its end
  if (mine.kind === "damage" && report.state === "done" && !stopped) mark_found(found ?? new Uint8Array());
  if (!shown || stopped) {
    leave();
    if (!stopped || !shown) say_note(report.note);
    return false;
  }
  add(mine.round, { shown, seed: mine.round.seed, note: report.note, another: report.another });
  if (mine.count && report.another) return true;
  leave();
  return false;
}

export async function bits(key) {
  return new Uint8Array(await (await ask("GET", `/api/photos/${key}/bits`)).arrayBuffer());
}

// Nothing is done any more: back to the results, or to the marks.
function leave() {
  job = null;
  if (stage.results.length) put(round, round.chosen);
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
    mine.stop = new AbortController(); // it goes on, and so does what is told of it
    throw error;
  }
}

// --- damage: once it was looked for, the slider marks more or less of it at once ---

let last_found = null; // its step of undo
let moving = false;

function mark_found(found) {
  // As the slider is moved, what is found takes the place of what was found before in the steps of undo, too.
  if (moving && last_found && history.done.at(-1) === last_found) history.drop();
  last_found = mark(() => stage.marks.replaceFound(found));
}

async function move_sensitivity() {
  const { marks, shown } = stage;
  if (!marks.searched || moving || state() !== "painting") return;
  moving = true;
  await attempt(async () => {
    for (let done = null; done !== find("sensitivity").value && stage.marks === marks && state() === "painting"; ) {
      done = find("sensitivity").value;
      const answer = await ask("POST", `/api/photos/${shown.photo.key}/damage?sensitivity=${done}`);
      const report = await follow((await answer.json()).job, () => stage.marks === marks);
      if (report?.state === "failed") throw new Error(report.error);
      const found = report?.photo ? await bits(report.photo.key) : new Uint8Array();
      if (!report || stage.marks !== marks || state() !== "painting") return;
      mark_found(found);
      say_note(report.note);
    }
  });
  moving = false;
}

// --- results ---

// A new result is shown, and undo goes back to what was shown before.
function add(of, result) {
  of.results.push(result);
  const [before, number] = [stage.results.length ? of.chosen : -1, of.results.length - 1];
  history.add({
    undo: () => (before < 0 ? back_to_marks() : put(of, before)),
    redo: () => put(of, number),
    bytes: 0,
  });
  of.part ??= part_around(of.kind === "fill" ? of.marks.hole.box() : null, of.shown.photo);
  if (before < 0) {
    // The first is looked at by itself, and the divider will begin where the hole is.
    find("compare").querySelector("[value=result]").checked = true;
    stage.split = stage.shareOf(of.part);
  }
  put(of, number);
}

// Shows a result of a round, with those beside it.
function put(of, number) {
  round = of;
  round.chosen = number;
  stage.results = round.results.map((result) => result.shown);
  stage.chosen = number;
  use(round.result.shown);
  say_note(round.result.note);
  show_results(round, choose);
  show_chosen(number);
  enter(job ? "working" : "comparing");
}

// A person chooses a result.
function choose(number) {
  const [of, before] = [round, round.chosen];
  if (number === before) return;
  history.add({ undo: () => put(of, before), redo: () => put(of, number), bytes: 0 });
  put(of, number);
}

function back_to_marks() {
  stage.results = [];
  say_note(null);
  enter("painting");
}

function back() {
  const [of, number] = [round, round.chosen];
  history.add({ undo: () => put(of, number), redo: back_to_marks, bytes: 0 });
  back_to_marks();
}

// The chosen result becomes the photograph; undo brings back all results, and before them the marks.
function keep() {
  const [of, number] = [round, round.chosen];
  const { shown } = of.result;
  const marks = new Marks(shown.photo.width, shown.photo.height);
  const after = () => {
    show(shown, marks);
    back_to_marks();
    ask("POST", `/api/photos/${shown.photo.key}/look`).catch(() => {}); // objects may be pointed at in it
  };
  const before = () => {
    show(of.shown, of.marks);
    put(of, number);
  };
  history.add({ undo: before, redo: after, bytes: of.shown.bytes });
  after();
}

// More results by the marks that were sent for these.
function again(count) {
  const mine = begun(round.kind, count);
  mine.round = round;
  return finish(mine, submit);
}

export async function download() {
  const { photo } = stage.result ?? stage.shown;
  await attempt(async () => {
    await ask("GET", `/api/photos/${photo.key}`); // else a download that fails would say nothing
    save(`/api/photos/${photo.key}/file?kind=${find("format").value}`, "");
  });
}

// A page that is loaded anew takes up the results, the job and the hole.
export async function resume({ job: before, round: saved }) {
  const { shown, marks } = stage;
  const mask = saved?.keys.mask && (await bits(saved.keys.mask).catch(() => null)); // results count where it is gone
  if (stage.marks !== marks) return;
  if (mask) mark(() => marks.replaceHole(mask));
  let taken = null;
  if (saved) {
    taken = Object.assign(new Round(shown, marks, saved.kind, saved.settings, {}), { keys: saved.keys });
    for (const { key, ...rest } of saved.results) {
      const held = await ask("GET", `/api/photos/${key}`).then((answer) => answer.json()).catch(() => null);
      if (held) taken.results.push({ ...rest, shown: await Shown.load(held) });
    }
    if (stage.marks !== marks) return;
    taken.part = part_around(taken.kind === "fill" ? marks.hole.box() : null, shown.photo);
    rounds.push(taken);
    if (taken.results.length) put(taken, Math.min(Math.max(0, saved.chosen), taken.results.length - 1));
  }
  if (before?.key) await finish(Object.assign(begun(before.kind, before.count, before.key), { round: taken }), () => {});
}

// --- what is pressed ---

const STEPS = ["inpaint", "tone", "denoise", "colorize", "tint"];
const step = (name) => find(`step-${name}`).checked;

// What is still pointed at is meant, too.
async function take_in(then) {
  await object.take();
  if (!object.pending()) await then();
}

function restore() {
  const layers = [...(step("inpaint") ? ["mask"] : []), ...(step("colorize") ? ["strokes"] : [])];
  const steps = { inpaint: step("inpaint"), denoise: step("denoise"), colorize: step("colorize") };
  const tone = step("tone") ? step("faded") && { tone: 1 } : { tone: 0 };
  return work("restore", { ...steps, ...tone, keep_tint: !step("tint"), ...changed_sensitivity() }, layers);
}

// How readily damage is looked for counts once it was changed: what is usual depends on the photograph.
function changed_sensitivity() {
  const { value, defaultValue } = find("sensitivity");
  const looks = step("inpaint") && !stage.marks.hole.count;
  return looks && value !== defaultValue && { sensitivity: value };
}

function improvement() {
  const noise = find("noise").value;
  return noise === "" ? {} : { noise };
}

// Tells how long the chosen improvement takes, before it is asked for.
let estimated = null; // what was asked last

export async function estimate() {
  say_seconds(null);
  if (!stage.shown || chosen_of("task") !== "improve" || state() !== "painting") return;
  const query = new URLSearchParams({ work: chosen_of("improve"), factor: chosen_of("factor") });
  const mine = (estimated = `/api/photos/${stage.shown.photo.key}/seconds?${query}`);
  const told = await ask("GET", mine).then((answer) => answer.json()).catch(() => null); // it can be done without
  if (told && estimated === mine) say_seconds(told.seconds);
}

function blur() {
  const blur = chosen_of("blur");
  if (!blur) return {};
  const turned = blur === "motion" && { angle: find("blur-angle").value };
  return { blur, size: find("blur-size").value, ...turned };
}

on("damage", () => work("damage", { sensitivity: find("sensitivity").value }));
on("sensitivity", move_sensitivity, "input");
on("sensitivity", () => stage.marks.searched || find("damage").click(), "change");
for (const name of STEPS) on(`step-${name}`, () => (find("restore").disabled = !STEPS.some(step)), "change");
on("fill", () => take_in(() => work("fill", find("exactly").checked ? { exact: true } : {}, ["mask", "avoid"])));
on("colorize", () => work("colorize", {}, ["strokes", "like"]));
on("restore", () => take_in(restore));
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
  setTimeout(stay, 3000); // who is asked may do so
  if (unsaved()) event.preventDefault();
});
window.addEventListener("pageshow", (event) => event.persisted && stay());
window.addEventListener("pagehide", () => {
  leaving = true;
  if (state() === "working" && job.key) tell_last(`/api/jobs/${job.key}/left`);
});
