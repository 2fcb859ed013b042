// The marks: tools, brush and colours, and masks from files.

import { send } from "./api.js";
import * as object from "./object.js";
import { attempt, chosen_of, history, on, save, stage, state } from "./page.js";
import { find, show_colour, show_hole, show_tool, SWATCHES } from "./panel.js";
import { mask_png } from "./png.js";
import { Pointer } from "./pointer.js";

export const brush = { tool: "object", colour: "#3f7fbf", diameter: 40 };
export const pointer = new Pointer(stage, () => (state() === "painting" ? brush : null), {
  stroke: (step) => history.add(step),
  pointed: object.pointed,
  boxed: object.boxed,
  pressed: picked,
  held: show_before,
});

// Marks have changed, or what can be undone.
export function changed() {
  if (!stage.shown) return;
  find("undo").disabled = !history.done.length;
  find("redo").disabled = !history.undone.length;
  show_hole(stage.marks.hole.count, stage.shown.photo);
  if (object.pending()) find("fill").disabled = false;
  find("mask-clear").disabled = stage.marks.empty;
  stage.changed("all");
}

// Changes the marks by other means than a stroke, which ends before; change() gives a step of undo, or null.
export function mark(change) {
  pointer.end();
  const step = change();
  if (step) history.add(step);
  return step;
}

// The task that is chosen says what is to be done with the photograph, and the tool how it is marked.
export function choose_task(task) {
  find("tasks").querySelector(`[value=${task}]`).checked = true;
  document.body.dataset.task = task;
  if (task === "colorize") choose_tool("colour");
  else if (brush.tool === (task === "fill" ? "colour" : "avoid")) choose_tool("mask");
}

export function choose_tool(tool) {
  brush.tool = tool;
  show_tool(tool);
  const task = chosen_of("task");
  if (tool === "colour" && ["fill", "improve"].includes(task)) choose_task("colorize");
  if (tool === "avoid" && task !== "fill") choose_task("fill");
  if (tool === "mask" && ["colorize", "improve"].includes(task)) choose_task("fill");
  if (tool === "object" && task === "improve") choose_task("fill");
  pointer.cursor();
}

export function choose_colour(colour) {
  brush.colour = colour;
  show_colour(colour);
}

// The slider goes through diameters in equal ratios, from a pixel to half of the shorter side.
function most() {
  const { width, height } = stage.shown?.photo ?? { width: 400, height: 400 };
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
    const answer = await send(`/api/photos/${stage.shown.photo.key}/mask`, file);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (stage.marks !== marks) return; // another photograph was opened meanwhile
    if (state() !== "painting") throw new Error(`${file.name} was read while something was done: load it again afterwards.`);
    mark(() => marks.replaceHole(bytes));
  });
}

async function save_mask() {
  save(URL.createObjectURL(await mask_png(stage.marks.hole)), `${stage.shown.photo.name}_mask.png`);
}

// Shows the photograph as it was in place of the result.
export function show_before(is) {
  if (stage.before === (is && stage.mode === "result")) return;
  stage.before = !stage.before;
  stage.redraw();
}

// A place of the stage was pressed where nothing can be marked: of pictures side by side it chooses one.
function picked(x, y) {
  if (stage.mode !== "side") return;
  const number = stage.cells().indexOf(stage.cellAt(x, y)) - 1;
  if (number >= 0) find("thumbs").children[number].click();
}

object.start(mark, brush)
  .then((missing) => missing && brush.tool === "object" && choose_tool("mask"))
  .catch(() => {}); // the tool says it when it is used
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
    const button = Object.assign(document.createElement("button"), { type: "button", value: colour, title });
    button.style.background = colour;
    button.addEventListener("click", () => choose_colour(colour));
    return button;
  }),
);
