// Opacity of a result, and feathering of a fill's edge. The server blends, so that a download has the same pixels.
// Removed noise has the grain to keep instead: a new run mixes it in before it rounds, and is previewed as it moves.

import { fetch_json } from "./api.js";
import { show_forms, values } from "./form.js";
import * as jobs from "./jobs.js";
import { attempt, on, stage } from "./page.js";
import { find } from "./panel.js";
import { Picture } from "./picture.js";
import * as session from "./session.js";
import * as views from "./views.js";

const [OPACITY, GRAIN, FEATHER] = ["opacity", "keep_grain", "feather"].map((name) => find(`blend-${name}`));
GRAIN.parentElement.classList.add("when-idle");
const latest = new WeakMap(); // result -> its latest change, as answers may come in another order

// Shows the settings of a result, or hides them if it cannot be blended.
export function show_blend({ picture: { photo } }, result) {
  if (!result) return;
  const { width, height } = result.picture.photo;
  const denoised = result.request.kind === "denoise";
  OPACITY.parentElement.hidden = denoised || width !== photo.width || height !== photo.height;
  GRAIN.parentElement.hidden = !denoised;
  FEATHER.parentElement.hidden = result.request.kind !== "fill";
  OPACITY.value = result.blend?.opacity ?? OPACITY.defaultValue;
  FEATHER.value = result.blend?.feather ?? FEATHER.defaultValue;
  GRAIN.value = result.blend?.keep_grain ?? result.request.settings.keep_grain ?? GRAIN.defaultValue;
  show_forms();
}

async function change() {
  const result = views.result();
  const view = views.view();
  const chosen = values("blend");
  delete chosen.keep_grain;
  const mine = {};
  latest.set(result, mine);
  await attempt(async () => {
    const blend = await blended(view.sheet, result, chosen);
    if (latest.get(result) !== mine) return;
    result.blend = blend;
    session.changed();
    if (views.view() === view) await views.go(view);
  });
}

// Returns the blend of a result with the photograph of its sheet: the chosen settings, and the picture.
export async function blended({ picture }, { picture: made, request }, chosen) {
  if (!Object.keys(chosen).length) return null;
  const query = new URLSearchParams({ result: made.photo.key, ...chosen });
  if (request.keys.mask && request.kind === "fill") query.set("mask", request.keys.mask);
  if (request.settings.grow) query.set("grow", request.settings.grow);
  return { ...chosen, picture: await Picture.load(await fetch_json("POST", `/api/photos/${picture.photo.key}/blend?${query}`)) };
}

// Draws the photograph over the result. Less grain than the result was made with is shown after the run.
function preview() {
  const result = views.result();
  const made = result.request.settings.keep_grain ?? 0;
  stage.results[stage.chosen] = result.picture;
  stage.mixed = Math.max(0, GRAIN.value - made) / (1 - made || 1);
  stage.redraw();
}

async function keep_grain() {
  const [view, result, keep_grain] = [views.view(), views.result(), Number(GRAIN.value)];
  const done = ({ picture }) => (result.blend = { keep_grain, picture });
  const hold = (is) => ["keep", "download"].forEach((id) => find(id).classList.toggle("when-idle", is));
  hold(true); // the picture shown is not made yet
  await jobs.run("denoise", { ...result.request.settings, keep_grain }, { done });
  hold(false);
  if (views.view() === view) await views.go(view);
}

for (const each of [OPACITY, FEATHER]) on(each.id, change, "change");
on(GRAIN.id, preview, "input");
on(GRAIN.id, keep_grain, "change");
