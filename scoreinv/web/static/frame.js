// Crop, turn and straighten: each step makes a new photograph, without marks, that can be undone.

import { fetch_json } from "./api.js";
import { show_forms } from "./form.js";
import { attempt, latest, listen, on, stage, state } from "./page.js";
import { choose_tool, crops, brush } from "./painting.js";
import { find, show_note } from "./panel.js";
import { Picture } from "./picture.js";
import * as views from "./views.js";

const ANGLE = find("straighten-angle");
let tool_before = "object"; // the tool before the crop
let last = Promise.resolve(); // ends with the last requested step
const turning = latest(); // of the angles that wait, only the latest is used

// Requests a cropped or turned picture, and makes it the photograph.
// path: the route with its query; of: the picture to change; straight: the source and angle if it is straightened.
function frame(path, of = stage.picture, straight = null) {
  const { picture, marks } = stage;
  const was_marked = !marks.empty;
  return attempt(async () => {
    const made = await Picture.load(await fetch_json("POST", `/api/photos/${of.photo.key}/${path}`));
    if (stage.picture !== picture || state() !== "painting") return;
    stage.view.fitted = true;
    await views.replace(made, { straight });
    if (was_marked) show_note("The mask and hints belong to the photograph before: Undo brings them back.");
  });
}

// Runs a step after those before it, which change the picture, unless another photograph is opened meanwhile.
function in_turn(step) {
  const { session } = stage.picture.photo;
  return (last = last.then(() => stage.picture?.photo.session === session && state() === "painting" && step()));
}

// Each new angle turns the unturned picture, so that the result is resampled once.
function straighten() {
  const angle = Number(ANGLE.value);
  const is_latest = turning();
  return in_turn(() => {
    if (!is_latest()) return;
    const source = views.sheet().straight?.picture ?? stage.picture;
    return frame(`straighten?angle=${angle}`, source, { picture: source, angle });
  });
}

function show_angle() {
  ANGLE.value = views.sheet().straight?.angle ?? 0;
  show_forms();
}

function choose_crop() {
  if (brush.tool !== "crop") tool_before = brush.tool;
  choose_tool(brush.tool === "crop" ? tool_before : "crop");
}

// Returns the box of the chosen ratio within a dragged box and the photograph; upright if it was dragged upright.
crops.fitted = ([a, b]) => {
  const { width, height } = stage.picture.photo;
  const inside = ([x, y]) => [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  const [from, to] = [inside(a), inside(b)];
  const { value } = find("ratio");
  if (!value) return [from, to];
  const [across, down] = [to[0] - from[0], to[1] - from[1]];
  const is_upright = Math.abs(down) > Math.abs(across);
  const ratio = value === "photo" ? width / height : value ** (is_upright ? -1 : 1);
  const wide = Math.min(Math.abs(across), Math.abs(down) * ratio);
  return [from, [from[0] + Math.sign(across) * wide, from[1] + (Math.sign(down) * wide) / ratio]];
};

crops.done = ([a, b]) => {
  const [left, top] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  choose_tool(tool_before);
  const box = [left, top, Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])].map((each) => each.toFixed(1));
  const { picture } = stage;
  return in_turn(() => stage.picture === picture && frame(`crop?box=${box.join()}`));
};

on("turn-left", () => in_turn(() => frame("turn?quarters=-1")));
on("turn-right", () => in_turn(() => frame("turn?quarters=1")));
on("crop", choose_crop);
on("cut-border", () => in_turn(() => frame("border")));
on(ANGLE.id, straighten, "change");
listen("viewed", show_angle);
