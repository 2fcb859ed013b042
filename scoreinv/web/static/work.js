// The buttons that run tasks.

import { ask } from "./api.js";
import * as jobs from "./jobs.js";
import * as many from "./many.js";
import * as object from "./object.js";
import { attempt, chosen_of, on, save, stage, state } from "./page.js";
import { brush, pointer, show_before } from "./painting.js";
import { find, show_note } from "./panel.js";
import { forget_reference, reference_keys, step, strength, take_reference } from "./settings.js";
import * as views from "./views.js";

// Runs a task on the photograph, or on many.
const run = (kind, settings, layers) => (state() === "many" ? many.start(kind, settings) : jobs.run(kind, settings, layers));

// Adds the selection to the mask, also if it is still being computed, and then runs a task.
async function with_selection(task) {
  await object.settled();
  await object.add();
  if (!object.selected() && !jobs.current()) await task();
}

function fill() {
  if (!stage.marks.hole.count) return;
  return jobs.run("fill", fill_settings(), { layers: ["mask", "avoid"] });
}

function fill_settings() {
  const grow = Number(find("grow").value);
  return { ...(find("exactly").checked && { exact: true }), ...(grow && { grow }) };
}

function restore() {
  const layers = [...(step("inpaint") ? ["mask"] : []), ...(step("colorize") ? ["strokes"] : [])];
  const steps = { inpaint: step("inpaint"), denoise: step("denoise"), colorize: step("colorize") };
  const size = step("enlarge") && { enlarge: 2 };
  return run("restore", { ...steps, ...strengths(), keep_tint: !step("tint"), ...size, ...changed_sensitivity() }, { layers });
}

function strengths() {
  const [tone, colour] = ["tone", "colorize"].map((name) => step(name) && strength(name));
  return {
    ...(step("tone") ? tone && { tone: tone / 100 } : { tone: 0 }),
    ...(step("denoise") && kept("denoise")),
    ...(colour && { saturation: colour / 100 }),
  };
}

const kept = (name) => strength(name) && { keep_grain: strength(name) / 100 };

// Returns the sensitivity if it was changed: the server's default depends on the photograph.
function changed_sensitivity() {
  const { value, defaultValue } = find("sensitivity");
  const detects = step("inpaint") && !stage.marks?.hole.count;
  return detects && value !== defaultValue && { sensitivity: value };
}

function noise() {
  const { value } = find("noise");
  return value === "" ? {} : { noise: value };
}

function blur() {
  const blur = chosen_of("blur");
  if (!blur) return {};
  const turned = blur === "motion" && { angle: find("blur-angle").value };
  return { blur, size: find("blur-size").value, ...turned };
}

// --- filling when the brush is released: the result becomes the photograph ---

function fill_stroke() {
  if (!find("go").checked || chosen_of("task") !== "fill" || brush.tool !== "mask" || jobs.current() || !stage.marks.hole.count) return;
  const sent = stage.marks.hole.copy();
  return jobs.run("fill", fill_settings(), { layers: ["mask", "avoid"], done: (report, mine) => continue_filling(report, mine, sent) });
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

async function download() {
  const { photo } = stage.result ?? stage.picture;
  await attempt(async () => {
    await ask("GET", `/api/photos/${photo.key}`); // reports an error that a failed download would not
    save(`/api/photos/${photo.key}/file?kind=${find("format").value}`, "");
  });
}

on("fill", () => with_selection(fill));
on("colorize", () => run("colorize", {}, { layers: ["strokes"], keys: reference_keys() }));
on("restore", () => with_selection(restore));
on("denoise", () => run("denoise", { ...noise(), ...kept("grain") }));
on("upscale", () => run("upscale", { factor: chosen_of("factor"), ...noise() }));
on("deblur", () => run("deblur", { ...blur(), ...noise() }));
on("again", () => jobs.repeat(views.result().request, 1));
on("four", () => jobs.repeat(views.result().request, 4));
on("download", download);
on("like", (event) => event.target.files[0] && attempt(() => take_reference(event.target.files[0])), "change");
on("like-clear", forget_reference);
on("before", () => show_before(true), "pointerdown");
on("before", (event) => [" ", "Enter"].includes(event.key) && show_before(true), "keydown");
for (const event of ["pointerup", "pointerleave", "blur", "keyup"]) on("before", () => show_before(false), event);
