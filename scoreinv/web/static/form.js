// The controls of settings, from the server's description of them. An element with data-form gets those of its form.

import forms from "/api/forms" with { type: "json" };
import { chosen_of } from "./page.js";
import { find, make } from "./panel.js";

const id_of = (form, { name }) => `${form}-${name}`;
// The values of a slider; the least one is none for an optional setting.
const range = ({ value, form: [least, most, step] }) => ({ min: value === null ? least - step : least, max: most, step: step || "any" });

for (const place of document.querySelectorAll("[data-form]")) {
  place.append(...forms[place.dataset.form].map((control) => row(place.dataset.form, control)));
}

function row(form, control) {
  const { label, words: title, kind, value, choices, none } = control;
  const id = id_of(form, control);
  if (choices) {
    const options = choices.map(([choice, text]) =>
      make("label", {}, make("input", { type: "radio", name: id, value: choice ?? "", defaultChecked: choice === value }), make("span", {}, text)),
    );
    return make("fieldset", { id, className: "choice", title }, make("legend", {}, label), ...options);
  }
  if (kind === "bool") return make("label", { className: "check", title }, make("input", { id, type: "checkbox", defaultChecked: value }), label);
  const { min, max, step } = range(control);
  const typed = step === "any";
  const input = make("input", { id, type: typed ? "number" : "range", min, max, step, defaultValue: value ?? (typed ? "" : min), placeholder: none });
  return make("label", { className: typed ? "field" : "slider", title }, make("span", {}, label), input, make("output", {}));
}

// Returns the value of a control; null: the task decides.
function value_of(form, control) {
  const id = id_of(form, control);
  if (control.choices) return control.choices.find(([choice]) => String(choice ?? "") === chosen_of(id))[0];
  const { checked, value } = find(id);
  if (control.kind === "bool") return checked;
  return value === "" || value < control.form[0] ? null : Number(value);
}

function is_needed(form, { needs }) {
  if (!needs) return true;
  const [name, wanted] = needs.split("=");
  const value = value_of(form, forms[form].find((control) => control.name === name));
  return wanted ? value === wanted : Boolean(value);
}

// Returns the settings of a form that differ from their defaults.
export function values(form) {
  const changed = forms[form].filter((control) => is_needed(form, control) && value_of(form, control) !== control.value);
  return Object.fromEntries(changed.map((control) => [control.name, value_of(form, control)]));
}

// Updates the texts beside sliders, and hides controls without effect.
export function show_forms() {
  for (const { dataset: { form } } of document.querySelectorAll("[data-form]")) {
    for (const control of forms[form]) {
      const part = find(id_of(form, control));
      if (control.needs) part.closest("label, fieldset").hidden = !is_needed(form, control);
      if (part.type === "range") part.nextElementSibling.textContent = text(control, value_of(form, control));
    }
  }
}

function text({ none, unit, form: [, , step] }, value) {
  if (value === null) return none;
  if (unit === "%") return `${Math.round(100 * value)} %`;
  return `${value.toFixed(step < 1 ? 1 : 0)}${unit === "°" ? "" : " "}${unit}`;
}
