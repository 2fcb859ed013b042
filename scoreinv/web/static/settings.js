// Settings of the tasks: the values of the panel's controls, and the texts that depend on them.

import { fetch_json } from "./api.js";
import { show_forms, values as values_of } from "./form.js";
import { chosen_of, latest, on, stage, state } from "./page.js";
import { choose_task } from "./painting.js";
import { find, show_exact, show_seconds } from "./panel.js";

const reference = find("like");
let like = null; // the reference photograph: { key, name } of its layer on the server
const choosing = latest(); // of the references that are sent, only the latest is used

// The controls whose values belong to the photograph. Other controls, such as the colour, keep theirs for the next one.
const controls = () => document.querySelectorAll("[data-setting] input, #format");

// Returns the values of all controls.
export function values() {
  const out = { like };
  for (const control of controls()) {
    if (control.type === "radio") {
      if (control.checked) out[control.name] = control.value;
    } else out[control.id] = control.type === "checkbox" ? control.checked : control.value;
  }
  return out;
}

// Sets the controls; those without a value get their defaults.
export function set(saved = {}) {
  for (const control of controls()) {
    const given = saved[control.type === "radio" ? control.name : control.id];
    if (control.type === "radio") control.checked = given === undefined ? control.defaultChecked : control.value === given;
    else if (control.type === "checkbox") control.checked = given ?? control.defaultChecked;
    else if (control.id !== "format") control.value = given ?? control.defaultValue;
    else if ([...control.options].some((option) => option.value === given)) control.value = given;
  }
  set_reference(saved.like ?? null);
  choose_task(chosen_of("task"));
  show();
}

// Updates the controls and texts that depend on the settings.
export function show() {
  for (const part of document.querySelectorAll("[data-of]")) part.hidden = part.dataset.of !== chosen_of("improve");
  show_forms();
  show_exact();
}

function set_reference(of) {
  choosing();
  like = of;
  if (!of) reference.value = "";
  find("like-name").textContent = of ? `Reference: ${of.name}` : "Optional: a colour photograph of the same subject. Similar areas take its colours.";
}

// The keys of Colorize's layers that are on the server already.
export function reference_keys() {
  return like ? { like: like.key } : {};
}

// Sends a reference photograph.
export async function take_reference(file) {
  const { picture } = stage;
  set_reference(null);
  const is_latest = choosing();
  const { key } = await fetch_json("POST", `/api/photos/${picture.photo.key}/layers?of=like`, file);
  if (stage.picture === picture && is_latest()) set_reference({ key, name: file.name });
}

export const forget_reference = () => set_reference(null);

// Shows the estimated duration of the chosen improvement.
let estimated = null; // path of the last request

export async function estimate() {
  show_seconds(null);
  if (!stage.picture || chosen_of("task") !== "improve" || state() !== "painting") return;
  const work = chosen_of("improve");
  const query = new URLSearchParams({ work, ...values_of(work) });
  const mine = (estimated = `/api/photos/${stage.picture.photo.key}/seconds?${query}`);
  const estimate = await fetch_json("GET", mine).catch(() => null); // optional
  if (estimate && estimated === mine) show_seconds(estimate.seconds);
}

on("panel", show, "input");
for (const id of ["improve", "tasks"]) on(id, estimate, "change");
on("format", show_exact, "change");
