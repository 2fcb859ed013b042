// Tools, brush, colours, and mask files.

import { fetch_json, send } from "./api.js";
import { preview_edge } from "./edge.js";
import * as object from "./object.js";
import { attempt, chosen_of, history, on, save, stage, state, stroke_ended } from "./page.js";
import { find, make_button, show_colour, show_hole, show_tool, SWATCHES } from "./panel.js";
import { Pointer } from "./pointer.js";

export const brush = { tool: "object", colour: "#3f7fbf", diameter: 40 };
let first_tool = brush.tool; // of a photograph that is opened
// Of the tool Crop: done([corner, corner]): a box was dragged; fitted([corner, corner]): the box of the chosen ratio.
export const crops = { done: () => {}, fitted: (places) => places };
const paints = () => state() === "painting" && (chosen_of("task") !== "improve" || brush.tool === "crop");
export const pointer = new Pointer(stage, () => (paints() ? brush : null), {
  stroke: (step) => history.add(step),
  painted: () => {},
  click: (place, event) => brush.tool === "object" && object.click(place, event),
  fit: (places) => (brush.tool === "crop" ? crops.fitted(places) : places),
  box: (places) => (brush.tool === "crop" ? crops.done(places) : object.select_box(places)),
  press: choose_at,
  hold: show_before,
});

// Updates the controls after a change of marks, history or selection.
export function changed() {
  if (!stage.picture) return;
  show_undo();
  show_hole(stage.marks.hole.count, stage.picture.photo);
  if (object.selected()) find("fill").disabled = false;
  find("mask-clear").disabled = stage.marks.empty;
  preview_edge();
  stage.changed("all");
}

// The buttons follow the keys: while an object is selected, undo removes its last click.
function show_undo() {
  const selected = stage.selection && state() === "painting";
  find("undo").disabled = !history.done.length && !selected;
  find("redo").disabled = !history.undone.length;
}

stage.onselection = () => {
  show_undo();
  // A button that the selection disables hands the focus to the photograph, where keys go on.
  setTimeout(() => document.activeElement.matches("body, :disabled") && stage.picture && stage.top.focus());
};

// Changes the marks as one step of undo; change() returns the step, or null.
export function mark(change) {
  pointer.end();
  const step = change();
  if (step) history.add(step);
  return step;
}

// Selects a task, and a tool that it can use.
export function choose_task(task) {
  find("tasks").querySelector(`[value=${task}]`).checked = true;
  document.body.dataset.task = task;
  pointer.cursor();
  if (task === "colorize") choose_tool("colour");
  else if (brush.tool === (task === "fill" ? "colour" : "avoid")) choose_tool("mask");
}

export function choose_tool(tool) {
  pointer.end(); // a key may choose it during a stroke
  brush.tool = tool;
  find("crop").setAttribute("aria-pressed", tool === "crop");
  show_tool(tool);
  const task = chosen_of("task");
  if (tool === "colour" && ["fill", "improve"].includes(task)) choose_task("colorize");
  if (tool === "avoid" && task !== "fill") choose_task("fill");
  if (tool === "mask" && ["colorize", "improve"].includes(task)) choose_task("fill");
  if (tool === "object" && task === "improve") choose_task("fill");
  pointer.cursor();
}

export const choose_first_tool = () => choose_tool(first_tool);

export function choose_colour(colour) {
  brush.colour = colour;
  show_colour(colour);
}

// The slider is logarithmic: from one pixel to half of the shorter side.
function most() {
  const { width, height } = stage.picture?.photo ?? { width: 400, height: 400 };
  return Math.max(20, Math.min(width, height) / 2);
}

export function set_diameter(pixels) {
  brush.diameter = Math.max(1, Math.min(most(), pixels));
  find("size").value = (100 * Math.log(brush.diameter)) / Math.log(most());
  find("size-px").textContent = `${Math.round(brush.diameter)} px`;
}

async function open_mask(file) {
  if (!file) return;
  const { marks } = stage;
  await attempt(async () => {
    const mask = await send(`/api/photos/${stage.picture.photo.key}/mask`, file);
    await stroke_ended();
    if (stage.marks !== marks) return; // another photograph was opened meanwhile
    if (state() !== "painting") throw new Error(`${file.name} was loaded during a task: load it again afterwards.`);
    mark(() => marks.replaceHole(mask));
  });
}

function save_mask() {
  return attempt(async () => {
    const layer = await fetch_json("POST", `/api/photos/${stage.picture.photo.key}/layers`, JSON.stringify(stage.marks.hole.mask()));
    save(`/api/photos/${layer.key}/file?kind=PNG`);
  });
}

// Shows the original instead of the result.
export function show_before(is) {
  if (stage.before === (is && stage.mode === "result")) return;
  stage.before = !stage.before;
  stage.redraw();
}

// Chooses a result by a click, if results are shown side by side.
function choose_at(x, y) {
  if (stage.mode !== "side") return;
  const number = stage.cells().indexOf(stage.cellAt(x, y)) - 1;
  if (number >= 0) find("thumbs").children[number].click();
}

object.start(mark, brush)
  .then((missing) => {
    if (!missing) return;
    first_tool = "mask";
    if (brush.tool === "object") choose_tool("mask");
  })
  .catch(() => {}); // the tool reports it when it is used
on("place-form", () => stage.top.focus(), "submit");
on("mask-open", () => find("mask-file").click());
on("mask-file", (event) => open_mask(event.target.files[0]).then(() => (event.target.value = "")), "change");
on("mask-save", save_mask);
on("mask-clear", () => mark(() => stage.marks.clear()));
on("size", (event) => set_diameter(most() ** (event.target.value / 100)), "input");
on("colour", (event) => choose_colour(event.target.value), "input");
on("tasks", (event) => choose_task(event.target.value), "change");
for (const button of document.querySelectorAll(".tool")) {
  button.addEventListener("click", () => choose_tool(button.dataset.tool));
}
find("swatches").prepend(
  ...Object.entries(SWATCHES).map(([colour, title]) => {
    const button = Object.assign(make_button("", () => choose_colour(colour)), { value: colour, title });
    button.style.background = colour;
    return button;
  }),
);
