// Opacity of a result, and feathering of a fill's edge. The server blends, so that a download has the same pixels.
// Removed noise has the grain to keep instead: a new run mixes it in before it rounds, and is previewed as it moves.

import { show_forms, values } from "./form.js";
import * as jobs from "./jobs.js";
import { attempt, listen, on, stage, tell } from "./page.js";
import { find } from "./panel.js";
import { blended } from "./sheet.js";
import * as views from "./views.js";

const [OPACITY, GRAIN, FEATHER] = ["opacity", "keep_grain", "feather"].map((name) => find(`blend-${name}`));
GRAIN.parentElement.classList.add("when-idle");
const latest = new WeakMap(); // result -> its latest change, as answers may come in another order

// Shows the settings of a result, or hides them if it cannot be blended.
function show_blend() {
  const result = views.result();
  if (!result) return;
  const { photo } = views.sheet().picture;
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
    tell("changed");
    if (views.view() === view) await views.go(view);
  });
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
listen("viewed", show_blend);
