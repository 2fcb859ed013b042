// The edge of the mask with the settings Grow and Feather, previewed before the fill.

import { fetch_json } from "./api.js";
import { values } from "./form.js";
import { Layer } from "./layer.js";
import { pixel } from "./marks.js";
import { chosen_of, latest, on, stage } from "./page.js";

const COLOURS = { added: pixel("#e5383b"), removed: pixel("#ffffff"), soft: pixel("#ffd23f") };
const requesting = latest();

export async function preview_edge() {
  const is_latest = requesting();
  const { marks, picture } = stage;
  const { exact, ...edge } = values("fill");
  let layer = null;
  if (marks?.hole.count && Object.keys(edge).length && chosen_of("task") === "fill") {
    const path = `/api/photos/${picture.photo.key}/edge?${new URLSearchParams(edge)}`;
    const parts = await fetch_json("POST", path, JSON.stringify(marks.hole.mask())).catch(() => ({})); // the fill reports it
    layer = new Layer(marks.width, marks.height);
    for (const [name, part] of Object.entries(parts)) layer.add(part, COLOURS[name]);
  }
  if (!is_latest() || (!layer && !stage.edge)) return;
  stage.edge = layer;
  stage.changed("all");
}

for (const id of ["fill-grow", "fill-feather", "tasks"]) on(id, preview_edge, "input");
