// Entry point: opening photographs, undo, keyboard shortcuts, drop and paste.

import { ask, send } from "./api.js";
import { listen } from "./keys.js";
import { Marks } from "./marks.js";
import * as object from "./object.js";
import { attempt, chosen_of, history, on, stage, state } from "./page.js";
import { brush, changed, choose_colour, choose_task, choose_tool, pointer, set_diameter, show_before } from "./painting.js";
import { find, show_exact, show_note, show_improvement } from "./panel.js";
import { Picture } from "./picture.js";
import { cancel, enter, estimate, forget, resume, show, unsaved } from "./work.js";

let opening = 0; // number of requested photographs: only the latest is opened

// --- opening ---

async function open(file) {
  if (!file || (unsaved() && !confirm("Leave this photograph? The mask, strokes and results that were not downloaded will be lost."))) return;
  const mine = ++opening;
  await attempt(async () => {
    busy(true);
    try {
      if (state() === "working") await cancel();
      const answer = await send(`/api/photos?name=${encodeURIComponent(file.name || "photo")}`, file);
      await begin(await answer.json(), mine);
    } finally {
      if (mine === opening) busy(false);
    }
  });
}

// Disables the page while a photograph opens: changes to the previous one would be lost.
function busy(is) {
  find("busy").hidden = !is;
  document.querySelector("main").inert = is;
}

// mine: value of `opening` when this photograph was requested.
async function begin(photo, mine) {
  const picture = await Picture.load(photo);
  if (mine !== opening) return;
  if (state() === "working") await cancel();
  forget();
  find("format").replaceChildren(); // resets the choice: the photograph's own format comes first
  show(picture, new Marks(photo.width, photo.height));
  history.clear();
  set_diameter(Math.max(6, Math.min(photo.width, photo.height) * 0.03));
  stage.view.fitted = true;
  show_note(photo.note && `${photo.note[0].toUpperCase()}${photo.note.slice(1)}.`);
  enter("painting");
}

// Restores the photograph and its results after a reload.
async function reopen() {
  const before = JSON.parse(sessionStorage.getItem("page") ?? "{}");
  if (!before.photo) return;
  const mine = ++opening;
  try {
    await begin(await (await ask("GET", `/api/photos/${before.photo}`)).json(), mine);
  } catch (error) {
    if (mine !== opening) return;
    if (error.status === 404) sessionStorage.removeItem("page"); // the server no longer holds it
    throw error;
  }
  if (mine === opening) await resume(before);
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

function improve() {
  show_improvement(chosen_of("improve"), chosen_of("blur"));
}

history.changed = changed;
for (const id of ["open", "choose"]) on(id, () => find("file").click());
on("file", (event) => open(event.target.files[0]).then(() => (event.target.value = "")), "change");
on("undo", undo);
on("redo", redo);
on("zoom-in", () => stage.zoom(1.5));
on("zoom-out", () => stage.zoom(1 / 1.5));
on("fit", () => stage.fit());
for (const id of ["format", "exactly"]) on(id, show_exact, "change");
on("improve", improve, "input");
for (const id of ["improve", "tasks"]) on(id, estimate, "change");
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
  if (event.target.id === "like") return; // the file input handles it
  event.preventDefault();
  open(event.dataTransfer.files[0]);
});
window.addEventListener("paste", (event) => open(event.clipboardData.files[0]));

stage.onview = () => (find("fit").textContent = `${Math.round(100 * stage.view.scale * stage.ratio)} %`);

choose_task("fill");
choose_tool(brush.tool);
choose_colour(brush.colour);
set_diameter(brush.diameter);
improve();
attempt(reopen);
