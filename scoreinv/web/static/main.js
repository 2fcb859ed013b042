// The page: a photograph is opened, marked, worked on, compared and kept. Everything else is in its own module.

import { ask, send } from "./api.js";
import { listen } from "./keys.js";
import { Marks } from "./marks.js";
import * as object from "./object.js";
import { attempt, chosen_of, history, on, stage, state } from "./page.js";
import { brush, changed, choose_colour, choose_task, choose_tool, pointer, set_diameter, show_before } from "./painting.js";
import { find, say_exact, say_note, show_improvement } from "./panel.js";
import { Shown } from "./shown.js";
import { cancel, enter, estimate, forget, resume, show, unsaved } from "./work.js";

let opening = 0; // how many photographs were asked for: the last is the one that counts, whichever comes first

// --- opening ---

async function open(file) {
  if (!file || (unsaved() && !confirm("Leave this photograph? What is painted on it, and results that were not downloaded, are lost."))) return;
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

// While a photograph is opened nothing is done with the one before, which would be lost without a question.
function busy(is) {
  find("busy").hidden = !is;
  document.querySelector("main").inert = is;
}

// mine: what `opening` was when this photograph was asked for; nothing is done where another was since.
async function begin(photo, mine) {
  const shown = await Shown.load(photo);
  if (mine !== opening) return;
  if (state() === "working") await cancel();
  forget();
  find("format").replaceChildren(); // that of its own file comes first, whatever was chosen before
  show(shown, new Marks(photo.width, photo.height));
  history.clear();
  set_diameter(Math.max(6, Math.min(photo.width, photo.height) * 0.03));
  stage.view.fitted = true;
  say_note(photo.note && `${photo.note[0].toUpperCase()}${photo.note.slice(1)}.`);
  enter("painting");
}

// A page that is loaded anew takes up the photograph, and what was made of it.
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

// --- undo, which goes through marks and results alike; while a stroke is drawn it takes that back ---

async function undo() {
  pointer.end();
  if (state() === "painting" && object.take_back()) return;
  await history.undo();
}

async function redo() {
  pointer.end();
  await history.redo();
}

// --- what is pressed, dropped and pasted ---

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
for (const id of ["format", "exactly"]) on(id, say_exact, "change");
on("improve", improve, "input");
for (const id of ["improve", "tasks"]) on(id, estimate, "change");
on("help-open", () => find("help").showModal());
find("error").querySelector("button").addEventListener("click", () => (find("error").hidden = true));

const painting = (action) => () => state() === "painting" && action();
const changing = (action) => () => ["painting", "comparing"].includes(state()) && action();
const shown = (action) => () => stage.shown && action();
listen(
  {
    "[": painting(() => set_diameter(brush.diameter / 1.2)),
    "]": painting(() => set_diameter(brush.diameter * 1.2)),
    "ctrl+z": changing(undo),
    "ctrl+shift+z": changing(redo),
    "ctrl+y": changing(redo),
    o: painting(() => choose_tool("object")),
    Enter: painting(() => object.take()),
    s: painting(() => object.take_shadow()),
    Escape: painting(() => object.forget()),
    n: painting(() => choose_tool("avoid")),
    b: painting(() => choose_tool("mask")),
    c: painting(() => choose_tool("colour")),
    e: painting(() => choose_tool("eraser")),
    "+": shown(() => stage.zoom(1.5)),
    "-": shown(() => stage.zoom(1 / 1.5)),
    0: shown(() => stage.fit()),
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
  if (event.target.id === "like") return; // takes it itself
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
