// Many photographs: one set of settings for all, their progress, before and after, and a zip of the results.

import { fetch_json, send } from "./api.js";
import * as jobs from "./jobs.js";
import { attempt, on, save } from "./page.js";
import { choose_task } from "./painting.js";
import { find, make, make_button, show_note } from "./panel.js";
import * as session from "./session.js";

const PICTURES = /\.(jpe?g|jpe|jfif|png|tiff?|webp|heic|heif|hif|avif|bmp|gif|p[bgnp]m)$/i; // as `files.read.SUFFIXES`

let key = null; // of the session with the photographs
let asked = 0; // number of requests for the states of the photographs
let shown = 0; // number of the request whose answer is shown

const is_hidden = (file) => file.name.startsWith(".");

export const is_picture = (file) => PICTURES.test(file.name) && !is_hidden(file);

// Returns a list with a sentence about the files that are no pictures, or an empty list. Hidden files do not count.
function left_out(files) {
  const [first, ...more] = files.filter((file) => !is_picture(file) && !is_hidden(file));
  if (!first) return [];
  return [`${first.name}${more.length ? ` and ${more.length} more ${more.length === 1 ? "file" : "files"}` : ""} left out: no pictures.`];
}

// Shows an empty list of photographs, unless is_wanted() is false by then; the page has been cleared.
export async function begin(is_wanted) {
  const { session } = await fetch_json("POST", "/api/batches");
  if (!is_wanted()) return;
  key = session;
  show();
  choose_task("restore");
}

// Sends the photographs among files and shows them, until something else is opened.
export async function send_all(files) {
  const mine = key;
  const refused = left_out(files);
  const photos = files.filter(is_picture);
  for (const [i, file] of photos.entries()) {
    show_note(`Sending ${i + 1} of ${photos.length} …`);
    await send(`/api/batches/${mine}/files?name=${encodeURIComponent(file.name)}`, file).catch((error) => refused.push(error.message));
    if (key !== mine) return;
    if (i % 5 === 0) await refresh();
  }
  show_note(refused.join("\n"));
  await refresh();
  remember();
}

function show() {
  document.body.dataset.state = "many";
  find("cards").replaceChildren();
}

// Whether a mask was chosen that serves all photographs.
export const masked = () => Boolean(key) && find("mask-all").files.length > 0;

// Runs a task on all photographs.
export function start(kind, settings) {
  const path = `/api/batches/${key}`;
  const with_mask = ["fill", "restore"].includes(kind) && masked();
  const query = new URLSearchParams({ ...settings, masked: with_mask });
  return follow(kind, async () => {
    if (with_mask) await send(`${path}/mask`, find("mask-all").files[0]);
    return (await fetch_json("POST", `${path}/${kind}?${query}`)).job;
  });
}

async function follow(kind, begin) {
  const done = ({ note }) => show_note(note);
  const update = () => refresh().catch(() => {}); // the next report tries again
  await jobs.run_batch(kind, { begin, done, update, begun: (job) => remember({ kind, job }) });
  remember();
  await refresh();
}

// Shows the state of each photograph.
async function refresh() {
  const of = key;
  if (!of) return;
  const mine = ++asked;
  const rows = await fetch_json("GET", `/api/batches/${of}`);
  if (key !== of || mine < shown) return; // an answer to a later request came first
  shown = mine;
  find("title").textContent = `${rows.length} photographs`;
  find("zip").disabled = !rows.some((row) => row.state === "done");
  const cards = find("cards").children;
  rows.forEach((row, i) => {
    if (!cards[i]) find("cards").append(card(row.name));
    if (cards[i].dataset.state !== row.state) update(cards[i], row);
  });
}

function address(name, result, small) {
  return `/api/batches/${key}/view?${new URLSearchParams({ name, result, small })}`;
}

function card(name) {
  const made = make_button("", () => look(name, made.dataset.state === "done"));
  made.title = name;
  made.append(image(address(name, false, true), ""), make("span"));
  return made;
}

function image(src, alt) {
  const made = make("img", { src, alt, loading: "lazy" });
  made.addEventListener("error", () => made.remove()); // the file is no picture
  return made;
}

function update(made, { name, state, note }) {
  made.querySelectorAll("img.after").forEach((each) => each.remove());
  if (state === "done") made.querySelector("span").before(Object.assign(image(`${address(name, true, true)}&at=${Date.now()}`, ""), { className: "after" }));
  made.dataset.state = state;
  made.title = note ?? name;
  made.querySelector("span").textContent = state === "failed" ? note : `${name} · ${state}`;
}

// Shows a photograph and its result in full.
function look(name, done) {
  find("look-title").textContent = name;
  const images = [image(address(name, false, false), "before")];
  if (done) images.push(image(`${address(name, true, false)}&at=${Date.now()}`, "after"));
  find("look-images").replaceChildren(...images);
  find("look").showModal();
}

// --- after a reload of the tab ---

function remember(running = null) {
  if (!key) return;
  sessionStorage.setItem("batch", JSON.stringify({ key, ...running }));
  session.add({ key, name: find("title").textContent, many: true });
}

export const current = () => key;

// Returns the photographs that this tab had before it was reloaded: { key, kind, job }, or null.
export const of_tab = () => JSON.parse(sessionStorage.getItem("batch") ?? "null");

// Continues with photographs, and follows their job if one was running.
export async function resume(saved) {
  key = saved.key;
  try {
    await refresh();
  } catch (error) {
    if (key === saved.key) leave();
    if (error.status === 404) await session.forget(saved.key); // the server no longer has them
    throw error;
  }
  if (key !== saved.key) return; // something else was opened meanwhile
  show();
  choose_task("restore");
  await refresh();
  remember(saved);
  if (saved.job) follow(saved.kind, () => saved.job);
}

// Leaves the photographs, before something else is opened.
export function leave() {
  key = null;
  sessionStorage.removeItem("batch");
}

// Deletes the photographs and results from the server.
export async function forget() {
  const gone = key;
  leave();
  await session.forget(gone);
}

on("zip", () => attempt(async () => save(`/api/batches/${key}/zip`)));
