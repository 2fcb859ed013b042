// The session: keeps the work on a photograph on the server, and resumes it after a reload or in another tab.
// The state is one file: the length of its JSON, the JSON, and arrays to which the JSON refers by their numbers.

import { ask, fetch_json } from "./api.js";
import * as jobs from "./jobs.js";
import { MarkStep, Marks } from "./marks.js";
import { history, listen } from "./page.js";
import { brush, choose_tool, choose_colour, set_diameter } from "./painting.js";
import { show_error } from "./panel.js";
import { Picture } from "./picture.js";
import * as settings from "./settings.js";
import { Request, Sheet, shown_picture } from "./sheet.js";
import { unpack } from "./tiles.js";
import * as views from "./views.js";

const DELAY = 400; // milliseconds between a change and its saving
const RETRY = 5000; // milliseconds between attempts to save while the server is unreachable
const MOST_STEPS = 100; // of undo, and of redo, that are saved
const MOST_AGE = 24 * 3600e3;
const KEEPALIVE = 60_000; // bytes that requests may send, in all, while the page ends

let current = null; // { key, version: of the latest state that was sent, refused: whether the server saves no more }
let name = "";
let file = ""; // identifies the file of the photograph
const lost = new Set(); // names of photographs that the server no longer has
let timer = null;
let saving = null; // promise of the request that is under way
let sending = 0; // bytes that are under way
let is_saved = true;

// Begins to keep the photograph of a file.
export function begin(key, title, { name: of, size, lastModified }) {
  current = key && { key, version: 0 };
  name = title;
  file = JSON.stringify([of, size, lastModified]);
  if (key) remember();
  changed();
}

// Saves soon.
export function changed() {
  if (!current || current.refused || !views.sheet()) return;
  is_saved = false;
  save_in(DELAY);
}

function save_in(milliseconds) {
  timer ??= setTimeout(() => save().catch(show_error), milliseconds);
}

// Saves changes now.
export async function save() {
  clearTimeout(timer);
  timer = null;
  await saving;
  if (is_saved || !current) return;
  if (views.sheet().marks.is_changing) return changed(); // within a stroke
  is_saved = true;
  const mine = current;
  saving = store(mine, state())
    .catch((error) => {
      if (error.status) mine.refused = true; // the error is shown only once
      else if (mine === current) {
        is_saved = false;
        save_in(RETRY);
      }
      throw error;
    })
    .finally(() => (saving = null));
  await saving;
}

// A small state is saved even if the page ends meanwhile. It follows those that are under way.
async function store(mine, body) {
  const after = mine.version++;
  sending += body.size;
  try {
    await ask("POST", `/api/sessions/${mine.key}?after=${after}`, body, null, sending < KEEPALIVE);
  } catch (error) {
    mine.version -= 1;
    throw error;
  } finally {
    sending -= body.size;
  }
  if (mine === current) remember();
}

// Saves while the page is being closed; returns whether changes would be lost. If that fails and the page stays, it saves
// again.
function save_last() {
  if (is_saved || !current) return sending >= KEEPALIVE;
  const body = state();
  if (sending + body.size >= KEEPALIVE) return true;
  is_saved = true;
  saving = store(current, body).catch(changed).finally(() => (saving = null));
  return false;
}

// --- the state ---

function state() {
  const parts = [];
  const part = (words) => parts.push(words) - 1;
  const sheets = [];
  const requests = [];
  const number = (list, item) => (list.includes(item) ? list.indexOf(item) : list.push(item) - 1);
  const view = ({ sheet, number: at }) => ({ sheet: number(sheets, sheet), number: at });
  const of = (marks) => sheets.findIndex((sheet) => sheet.marks === marks);
  const step = (each) =>
    each instanceof MarkStep ? { marks: part(each.packed()), of: of(each.marks) } : { before: view(each.before), after: view(each.after) };
  const now = view(views.view());
  const steps = [history.done, history.undone].map((each) => each.slice(-MOST_STEPS));
  // Views first: a step of marks names their sheet.
  for (const each of steps.flat()) if (!(each instanceof MarkStep)) view(each.before), view(each.after);
  const [done, undone] = steps.map((each) => each.map(step).filter((one) => one.of !== -1));
  const job = jobs.current();
  const working = job?.key && { kind: job.kind, count: job.count, key: job.key, seed: job.seed, sheet: number(sheets, job.sheet), request: job.request && number(requests, job.request) };
  const header = {
    name,
    file,
    settings: settings.values(),
    brush,
    view: now,
    job: working,
    done,
    undone,
    sheets: sheets.map((sheet) => ({
      photo: sheet.picture.photo.key,
      marks: part(sheet.marks.packed()),
      searched: sheet.marks.searched,
      straight: sheet.straight && { angle: sheet.straight.angle, photo: sheet.straight.picture.photo.key },
      results: sheet.results.map(({ picture, request, ...rest }) => {
        const { seed, note, actions, another, blend } = rest;
        const blended = blend && { ...blend, picture: blend.picture.photo.key };
        return { photo: picture.photo.key, request: number(requests, request), seed, note, actions, another, blend: blended };
      }),
    })),
  };
  header.requests = requests.map((request) => request.saved);
  header.parts = parts.map((words) => words.length);
  const json = new TextEncoder().encode(JSON.stringify(header));
  return new Blob([Uint32Array.of(json.length), json, ...parts]);
}

function read(buffer) {
  const [length] = new Uint32Array(buffer.slice(0, 4));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const parts = header.parts.map((count) => new Uint32Array(buffer.slice(at, (at += 4 * count))));
  return { header, parts };
}

// Loads a session and shows it, unless is_wanted() is false by then. Returns whether it is shown.
export async function resume(key, is_wanted) {
  const answer = await ask("GET", `/api/sessions/${key}`);
  const version = Number(answer.headers.get("x-version"));
  const { header, parts } = read(await answer.arrayBuffer());
  const photos = new Map();
  const picture = async (key) => {
    if (!photos.has(key)) photos.set(key, new Picture(await fetch_json("GET", `/api/photos/${key}`)));
    return photos.get(key);
  };
  const requests = header.requests.map((each) => new Request(each));
  const sheets = [];
  for (const saved of header.sheets) {
    const of = await picture(saved.photo);
    const marks = new Marks(of.photo.width, of.photo.height);
    marks.restore(unpack(parts[saved.marks], marks.layers.length), saved.searched);
    const straight = saved.straight && { angle: saved.straight.angle, picture: await picture(saved.straight.photo) };
    const sheet = new Sheet(of, marks, straight);
    for (const { photo, request, blend, ...rest } of saved.results) {
      const blended = blend && { ...blend, picture: await picture(blend.picture) };
      sheet.results.push({ ...rest, picture: await picture(photo), request: requests[request], blend: blended });
    }
    sheets.push(sheet);
  }
  const view = ({ sheet, number }) => ({ sheet: sheets[sheet], number });
  const step = ({ marks, of, before, after }) => {
    if (before) return views.view_step(view(before), view(after));
    const target = sheets[of].marks;
    return new MarkStep(target, unpack(parts[marks], target.layers.length));
  };
  const now = view(header.view);
  await now.sheet.load();
  if (!is_wanted()) return false;
  jobs.forget();
  current = { key, version };
  ({ name, file } = header);
  await views.go(now);
  settings.set(header.settings);
  choose_colour(header.brush.colour);
  choose_tool(header.brush.tool);
  set_diameter(header.brush.diameter);
  history.set(header.done.map(step), header.undone.map(step));
  remember();
  const { job } = header;
  if (job) jobs.resume({ ...job, sheet: sheets[job.sheet], request: requests[job.request] ?? null });
  return true;
}

// --- the sessions that this browser knows ---

function known() {
  const listed = JSON.parse(localStorage.getItem("sessions") ?? "[]");
  return listed.filter((each) => Date.now() - each.time < MOST_AGE);
}

function remember() {
  sessionStorage.setItem("session", current.key);
  const { photo } = (views.result() ? shown_picture(views.result()) : views.sheet().picture);
  const changed = history.done.length + history.undone.length > 0;
  add({ key: current.key, name, photo: photo.key, file, changed });
}

// Adds a session that can be continued: { key, name, many: whether it has many photographs }, or for one photograph the
// key of the photo that is shown, its file, and whether it was changed. A file that was not changed is listed once.
export function add(session) {
  const others = known().filter((each) => each.key !== session.key && (each.changed || !each.file || each.file !== session.file));
  localStorage.setItem("sessions", JSON.stringify([{ ...session, time: Date.now() }, ...others]));
}

function drop(key) {
  localStorage.setItem("sessions", JSON.stringify(known().filter((each) => each.key !== key)));
  if (sessionStorage.getItem("session") === key) sessionStorage.removeItem("session");
}

// Returns the sessions that can be continued, the latest first.
export async function list() {
  const listed = known().filter(({ key }) => key !== current?.key);
  if (!listed.length) return [];
  const query = new URLSearchParams(listed.map(({ key }) => ["key", key]));
  const kept = await fetch_json("GET", `/api/sessions?${query}`).catch(() => listed.map(({ key }) => key));
  for (const each of listed.filter(({ key }) => !kept.includes(key))) {
    lost.add(each.name);
    drop(each.key);
  }
  return listed.filter(({ key }) => kept.includes(key));
}

// A sentence about photographs that the server no longer has; empty if there are none.
export const lost_text = () => (lost.size ? `No longer kept: ${[...lost].join(", ")}. The server was restarted, or newer photographs needed the space.` : "");

// The session that this tab had before it was reloaded.
export const of_tab = () => sessionStorage.getItem("session");

// Deletes a session from the server; without a key, that of the current photograph.
export async function forget(key = current?.key) {
  if (key === current?.key) {
    clearTimeout(timer);
    [timer, current, is_saved] = [null, null, true];
    await saving?.catch(() => {});
  }
  if (!key) return;
  drop(key);
  await ask("DELETE", `/api/sessions/${key}`);
}

// Saves the current photograph a last time, before another is opened; shows an error.
export async function leave() {
  await save().catch(show_error);
  current = null;
  sessionStorage.removeItem("session");
}

for (const event of ["changed", "viewed"]) listen(event, changed);
window.addEventListener("beforeunload", (event) => save_last() && event.preventDefault());
