// Opacity of a result, and feathering of a fill's edge. The server blends, so that a download has the same pixels.

import { ask } from "./api.js";
import { attempt, on } from "./page.js";
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
  find("opacity-row").hidden = width !== photo.width || height !== photo.height;
  find("feather-row").hidden = result.request.kind !== "fill";
  const { opacity, feather } = result.blend ?? NONE;
  find("opacity").value = opacity;
  find("feather").value = feather;
  show_values();
}

function show_values() {
  find("opacity").nextElementSibling.textContent = `${find("opacity").value} %`;
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

for (const id of ["opacity", "feather"]) {
  on(id, show_values, "input");
  on(id, change, "change");
}
