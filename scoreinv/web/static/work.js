// The buttons that run tasks.

import { fetch_json } from "./api.js";
import { values } from "./form.js";
import * as jobs from "./jobs.js";
import * as many from "./many.js";
import * as object from "./object.js";
import { attempt, chosen_of, download, on, stage, state } from "./page.js";
import { brush, pointer, show_before } from "./painting.js";
import { find, show_note } from "./panel.js";
import { forget_reference, reference_keys, take_reference } from "./settings.js";
import * as views from "./views.js";

// Runs a task on the photograph, or on many.
const run = (kind, settings, layers) => (state() === "many" ? many.start(kind, settings) : jobs.run(kind, settings, layers));

// Adds the selection to the mask, also if it is still being computed, and then runs a task.
async function with_selection(task) {
  await object.settled();
  await object.add();
  if (!object.selected() && !jobs.current()) await task();
}

function fill(more = {}) {
  const { feather, ...settings } = values("fill"); // the result is blended by the feather
  if (state() === "many") {
    delete settings.grow; // the mask is not shown
    return many.start("fill", { ...settings, ...(many.masked() ? {} : values("damage")) });
  }
  if (stage.marks.hole.count) return jobs.run("fill", settings, { layers: ["mask", "avoid"], ...more });
}

function restore() {
  const settings = values("restore");
  if (stage.marks?.hole.count || many.masked()) delete settings.sensitivity; // nothing is detected
  const layers = [...(settings.inpaint ?? true ? ["mask"] : []), ...(settings.colorize ?? true ? ["strokes"] : [])];
  return run("restore", settings, { layers });
}

// Deblurs the mask, or all, with the kernel of the chosen file, if any.
async function deblur() {
  const [file] = state() === "many" ? [] : find("kernel").files;
  const keys = file ? { kernel: (await fetch_json("POST", `/api/photos/${stage.picture.photo.key}/layers?of=kernel`, file)).key } : {};
  return run("deblur", values("deblur"), { layers: ["mask"], keys });
}

// --- filling when the brush is released: the result becomes the photograph ---

function fill_stroke() {
  if (!find("go").checked || chosen_of("task") !== "fill" || brush.tool !== "mask" || jobs.current()) return;
  const sent = stage.marks.hole.copy();
  return fill({ done: (report, mine) => continue_filling(report, mine, sent) });
}

// Makes a result the photograph, keeps the marks that were painted meanwhile, and fills them.
async function continue_filling({ picture, note }, { sheet }, sent) {
  if (!picture || views.sheet() !== sheet) return show_note(note);
  await views.replace(picture, { marks: sheet.marks.without(sent) });
  show_note(note);
  await fill_stroke();
}

pointer.callbacks.painted = fill_stroke;

// --- downloads ---

function download_shown() {
  const { photo } = stage.result ?? stage.picture;
  const quality = find("download-quality").parentElement.hidden ? {} : values("download");
  const query = new URLSearchParams({ kind: find("format").value, ...quality });
  return attempt(() => download(`/api/photos/${photo.key}/file?${query}`, find("download")));
}

on("fill", () => with_selection(fill));
on("colorize", () => run("colorize", values("colorize"), { layers: ["strokes"], keys: reference_keys() }));
on("restore", () => with_selection(restore));
for (const kind of ["denoise", "upscale"]) on(kind, () => run(kind, values(kind)));
on("deblur", () => attempt(deblur));
on("again", () => jobs.repeat(views.result().request, 1));
on("four", () => jobs.repeat(views.result().request, 4));
on("download", download_shown);
on("like", (event) => event.target.files[0] && attempt(() => take_reference(event.target.files[0])), "change");
on("like-clear", forget_reference);
on("before", () => show_before(true), "pointerdown");
on("before", (event) => [" ", "Enter"].includes(event.key) && show_before(true), "keydown");
for (const event of ["pointerup", "pointerleave", "blur", "keyup"]) on("before", () => show_before(false), event);
