// Opacity of a result, and feathering of a fill's edge. The server blends, so that a download has the same pixels.
// Removed noise has the grain to keep instead: a new run mixes it in before it rounds, and is previewed as it moves.

import { ask } from "./api.js";
import * as jobs from "./jobs.js";
import { attempt, on, stage } from "./page.js";
import { find } from "./panel.js";
import { Picture } from "./picture.js";
import * as session from "./session.js";
import * as views from "./views.js";

const NONE = { opacity: 100, feather: 0 };
const latest = new WeakMap(); // result -> its latest change, as answers may come in another order

// Shows the settings of a result, or hides them if it cannot be blended.
export function show_blend({ picture: { photo } }, result) {
  if (!result) return;
  const { width, height } = result.picture.photo;
  const denoised = result.request.kind === "denoise";
  find("opacity-row").hidden = denoised || width !== photo.width || height !== photo.height;
  find("grain-row").hidden = !denoised;
  find("feather-row").hidden = result.request.kind !== "fill";
  const { opacity, feather } = result.blend ?? NONE;
  find("opacity").value = opacity;
  find("feather").value = feather;
  find("grain").value = 100 * (result.blend?.keep_grain ?? result.request.settings.keep_grain ?? 0);
  show_values();
}

function show_values() {
  for (const id of ["opacity", "grain"]) find(id).nextElementSibling.textContent = `${find(id).value} %`;
  find("feather").nextElementSibling.textContent = `${find("feather").value} px`;
}

async function change() {
  const result = views.result();
  const view = views.view();
  const [opacity, feather] = ["opacity", "feather"].map((id) => Number(find(id).value));
  const mine = {};
  latest.set(result, mine);
  await attempt(async () => {
    const blend = await blended(view.sheet, result, opacity, feather);
    if (latest.get(result) !== mine) return;
    result.blend = blend;
    session.changed();
    if (views.view() === view) await views.go(view);
  });
}

async function blended({ picture }, { picture: made, request }, opacity, feather) {
  if (opacity === NONE.opacity && feather === NONE.feather) return null;
  const query = new URLSearchParams({ result: made.photo.key, opacity: opacity / 100, feather });
  if (request.keys.mask && request.kind === "fill") query.set("mask", request.keys.mask);
  if (request.settings.grow) query.set("grow", request.settings.grow);
  const answer = await ask("POST", `/api/photos/${picture.photo.key}/blend?${query}`);
  return { opacity, feather, picture: await Picture.load(await answer.json()) };
}

// Draws the photograph over the result. Less grain than the result was made with is shown after the run.
function preview() {
  const result = views.result();
  const made = result.request.settings.keep_grain ?? 0;
  stage.results[stage.chosen] = result.picture;
  stage.mixed = Math.max(0, find("grain").value / 100 - made) / (1 - made || 1);
  stage.redraw();
}

async function keep_grain() {
  const [view, result, keep_grain] = [views.view(), views.result(), find("grain").value / 100];
  const done = ({ picture }) => (result.blend = { ...NONE, keep_grain, picture });
  const hold = (is) => ["keep", "download"].forEach((id) => find(id).classList.toggle("when-idle", is));
  hold(true); // the picture shown is not made yet
  await jobs.run("denoise", { ...result.request.settings, keep_grain }, { done });
  hold(false);
  if (views.view() === view) await views.go(view);
}

for (const id of ["opacity", "feather", "grain"]) on(id, show_values, "input");
for (const id of ["opacity", "feather"]) on(id, change, "change");
on("grain", preview, "input");
on("grain", keep_grain, "change");
