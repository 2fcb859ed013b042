// Entry point: opening photographs, undo, keyboard shortcuts, drop and paste.

import { send } from "./api.js";
import "./blend.js";
import "./damage.js";
import "./frame.js";
import * as jobs from "./jobs.js";
import { listen } from "./keys.js";
import * as many from "./many.js";
import { Marks } from "./marks.js";
import * as object from "./object.js";
import { attempt, history, latest, on, stage, state } from "./page.js";
import { brush, changed, choose_colour, choose_first_tool, choose_task, choose_tool, pointer, set_diameter, show_before } from "./painting.js";
import { find, make, make_button, show_note } from "./panel.js";
import { Picture } from "./picture.js";
import * as session from "./session.js";
import * as settings from "./settings.js";
import { Sheet } from "./sheet.js";
import * as views from "./views.js";
import "./work.js";

const opening = latest(); // of the requested photographs only the latest is opened

// --- opening ---

// Opens a photograph, or many.
function open_all(files) {
  const all = [...files];
  return all.length > 1 ? open_many(all) : open(all[0]);
}

async function open_many(files) {
  const is_open = await while_opening(async (is_latest) => {
    if (!files.some(many.is_picture)) throw new Error("There are no pictures among these files.");
    await leave();
    close();
    await many.begin(is_latest);
  });
  if (is_open) await attempt(() => many.send_all(files));
  await show_kept();
}

function close() {
  views.close();
  history.clear();
  settings.set();
}

async function open(file) {
  if (!file) return;
  await while_opening(async (is_latest) => {
    await jobs.cancel();
    await session.save();
    await begin(await send(`/api/photos?keep=true&name=${encodeURIComponent(file.name || "photo")}`, file), file, is_latest);
  });
}

// Runs work(is_latest) on a disabled page: changes to the previous photograph would be lost. is_latest() tells whether
// nothing else was requested meanwhile. Shows an error; returns whether the work is done and the latest.
async function while_opening(work) {
  const is_latest = opening();
  let is_done = false;
  await attempt(async () => {
    busy(true);
    try {
      await work(is_latest);
      is_done = is_latest();
    } finally {
      if (is_latest()) busy(false);
    }
  });
  return is_done;
}

function busy(is) {
  find("busy").hidden = !is;
  document.querySelector("main").inert = is;
}

async function begin(photo, file, is_latest) {
  const picture = await Picture.load(photo);
  if (!is_latest()) return;
  await leave();
  await views.go({ sheet: new Sheet(picture, new Marks(photo.width, photo.height)), number: -1 });
  settings.set();
  choose_first_tool();
  history.clear();
  set_diameter(Math.max(6, Math.min(photo.width, photo.height) * 0.03));
  show_note(photo.note && `${photo.note[0].toUpperCase()}${photo.note.slice(1)}.`);
  session.begin(photo.session, photo.name, file);
  await show_kept();
}

// Leaves the current photograph, whose work is kept.
async function leave() {
  many.leave();
  await jobs.cancel();
  jobs.forget();
  await session.leave();
  stage.view.fitted = true;
  find("format").replaceChildren(); // resets the choice: the photograph's own format comes first
}

// Continues with a photograph, its marks and its results.
async function resume(key) {
  await while_opening(async (is_latest) => {
    try {
      await leave();
      await session.resume(key, is_latest);
    } catch (error) {
      if (!is_latest()) return;
      if (error.status === 404) await session.forget(key); // the server no longer has it
      throw error;
    }
  });
  await show_kept();
}

async function resume_many(saved) {
  await while_opening(async () => {
    await leave();
    close();
    await many.resume(saved);
  });
  await show_kept();
}

// Deletes the current photograph from the server.
async function forget() {
  if (!confirm(state() === "many" ? "Delete these photographs and all results from the server?" : "Delete this photograph, its marks and all results from the server?")) return;
  await attempt(async () => {
    await jobs.cancel();
    jobs.forget();
    const forgets = state() === "many" ? many.forget : session.forget;
    close();
    await forgets();
    await show_kept();
  });
}

// Lists the photographs that can be continued.
async function show_kept() {
  const own = many.current(); // these photographs may be closed before the server answers
  const listed = (await session.list()).filter(({ key }) => key !== own);
  find(state() === "empty" ? "card" : "others-list").append(find("kept"), find("lost"));
  find("kept").hidden = !listed.length;
  find("lost").textContent = session.lost_text();
  const rows = listed.map(({ key, name, photo, time, many: has_many }) => {
    const drop = make_button("×", () => attempt(() => session.forget(key).then(show_kept)));
    Object.assign(drop, { className: "forget", title: `Delete ${name} from the server`, ariaLabel: `Forget ${name}` });
    const go = make_button("", () => (has_many ? resume_many({ key }) : resume(key)));
    if (photo) go.append(make("img", { src: `/api/sessions/${key}/view?photo=${photo}`, alt: "" }));
    const when = new Date(time).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });
    go.append(make("span", {}, `Continue with ${name}`), make("small", { className: "muted" }, when));
    return make("li", {}, go, drop);
  });
  find("kept").replaceChildren(...rows);
}

// --- undo of strokes and results; during a stroke it removes the stroke ---

async function undo() {
  pointer.end();
  if (state() === "painting" && object.undo_click()) return;
  await history.undo();
}

async function redo() {
  pointer.end();
  await history.redo();
}

// --- buttons, keys, drop and paste ---

history.changed = () => {
  changed();
  session.changed();
};
on("choose", () => find("file").click());
on("open", () => (find("kept").children.length ? find("others").showModal() : find("file").click()));
on("open-file", () => find("file").click());
on("others", (event) => event.target.closest("button:not(.forget)") && find("others").close());
for (const id of ["file", "folder"]) on(id, (event) => open_all(event.target.files).then(() => (event.target.value = "")), "change");
on("choose-folder", () => find("folder").click());
on("undo", undo);
on("redo", redo);
on("zoom-in", () => stage.zoom(1.5));
on("zoom-out", () => stage.zoom(1 / 1.5));
on("fit", () => stage.fit());
on("forget", forget);
on("fold", () => {
  const folded = document.body.toggleAttribute("data-folded");
  find("fold").setAttribute("aria-pressed", folded);
});
for (const event of ["input", "change"]) on("panel", session.changed, event);
on("help-open", () => find("help").showModal());
find("error").querySelector("button").addEventListener("click", () => (find("error").hidden = true));

const painting = (action) => () => state() === "painting" && action();
const changing = (action) => () => ["painting", "comparing"].includes(state()) && action();
const loaded = (action) => () => stage.picture && action();
listen(
  {
    "[": painting(() => set_diameter(brush.diameter / 1.2)),
    "]": painting(() => set_diameter(brush.diameter * 1.2)),
    "ctrl+z": changing(undo),
    "ctrl+shift+z": changing(redo),
    "ctrl+y": changing(redo),
    o: painting(() => choose_tool("object")),
    Enter: painting(() => object.add()),
    s: painting(() => object.add_with_shadow()),
    Escape: painting(() => object.deselect()),
    n: painting(() => choose_tool("avoid")),
    b: painting(() => choose_tool("mask")),
    c: painting(() => choose_tool("colour")),
    e: painting(() => choose_tool("eraser")),
    "+": loaded(() => stage.zoom(1.5)),
    "-": loaded(() => stage.zoom(1 / 1.5)),
    0: loaded(() => stage.fit()),
    "?": () => find("help").showModal(),
  },
  { " ": (held) => pointer.hold(held), x: show_before },
);

window.addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").hidden = !event.dataTransfer.types.includes("Files");
});
window.addEventListener("dragleave", (event) => event.relatedTarget || (find("drop").hidden = true));
window.addEventListener("drop", (event) => {
  find("drop").hidden = true;
  if (event.target.type === "file") return; // the file input handles it
  event.preventDefault();
  files_of(event.dataTransfer).then(open_all);
});
window.addEventListener("paste", (event) => open_all(event.clipboardData.files));

// Returns the dropped files, also those of folders.
async function files_of(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  const found = await Promise.all(entries.filter(Boolean).map(files_in));
  return found.flat();
}

async function files_in(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
    if (!some.length) return files;
    for (const each of some) files.push(...(await files_in(each)));
  }
}

stage.onview = () => (find("fit").textContent = `${Math.round(100 * stage.view.scale * stage.ratio)} %`);

choose_task("fill");
choose_tool(brush.tool);
choose_colour(brush.colour);
set_diameter(brush.diameter);
settings.show();
attempt(async () => {
  const before = session.of_tab(); // read first: a photograph may be opened meanwhile
  const batch = many.of_tab();
  if (before) await resume(before);
  else if (batch) await resume_many(batch);
  await show_kept();
});
