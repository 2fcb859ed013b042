// State shared by all modules: stage, history, and the state that selects the visible controls.

import { ask } from "./api.js";
import { History } from "./history.js";
import { find, make, show_error } from "./panel.js";
import { Stage } from "./stage.js";

export const stage = new Stage(find("stage"));
export const history = new History();

// empty, painting, comparing or many; during a job, the body has the attribute data-working.
export function state() {
  return document.body.dataset.state;
}

export function on(id, action, event = "click") {
  find(id).addEventListener(event, action);
}

export function chosen_of(name) {
  return document.querySelector(`input[name="${name}"]:checked`).value;
}

// Tells that the work changed, or that another view is shown; higher modules listen.
export function tell(event) {
  document.dispatchEvent(new Event(event));
}

export function listen(event, action) {
  document.addEventListener(event, action);
}

// Runs an action; shows its error on the page.
export async function attempt(work) {
  show_error(null);
  try {
    await work();
  } catch (error) {
    show_error(error);
  }
}

// Returns a function that is called at each request; it returns a function that tells whether that is still the latest.
export function latest() {
  let number = 0;
  return () => {
    const mine = ++number;
    return () => mine === number;
  };
}

// Returns a promise that ends with the current stroke, which a change of the marks would cut.
export async function stroke_ended() {
  while (stage.marks?.is_changing) await new Promise((resolve) => setTimeout(resolve, 50));
}

// Saves a file of the server, which names it.
export function save(href) {
  make("a", { href, download: "" }).click();
}

// Downloads a file that takes long to make, one at a time, with its progress on the button.
export async function download(path, button) {
  const label = button.textContent;
  const show = (words) => (button.textContent = words);
  Object.assign(button, { disabled: true, ariaBusy: "true" });
  show("Preparing …");
  try {
    const answer = await ask("GET", path);
    const total = Number(answer.headers.get("content-length"));
    const reader = answer.body.getReader();
    const parts = [];
    for (let received = 0, part; !(part = await reader.read()).done; show(`${Math.floor((100 * received) / total)} %`)) {
      parts.push(part.value);
      received += part.value.length;
    }
    const name = decodeURIComponent(answer.headers.get("content-disposition").split("''")[1]);
    const href = URL.createObjectURL(new Blob(parts));
    make("a", { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000); // the browser reads it after the click
  } finally {
    Object.assign(button, { disabled: false, ariaBusy: "false" });
    show(label);
  }
}
