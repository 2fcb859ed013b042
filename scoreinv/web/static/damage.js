// Detected damage: after the first search, the slider updates the mask at once.

import { fetch_json, follow } from "./api.js";
import { values } from "./form.js";
import { current, found_mask, handlers, run } from "./jobs.js";
import { attempt, history, on, stage, state, stroke_ended } from "./page.js";
import { mark } from "./painting.js";
import { find, show_note } from "./panel.js";

const slider = find("damage-sensitivity");
let last = null; // step of undo of the last search
let moving = false;

handlers.damage = ({ state: end, found, note }, mine) => {
  if (end === "done" && stage.marks === mine.sheet.marks) replace(found);
  show_note(note);
};

function replace(found) {
  // While the slider moves, each mask replaces the last one in the history, too.
  if (moving && last && history.done.at(-1) === last) history.drop();
  last = mark(() => stage.marks.replaceFound(found));
}

async function change_sensitivity() {
  const { marks, picture } = stage;
  if (state() !== "painting" || !marks.searched || moving || current()) return;
  moving = true;
  await attempt(async () => {
    const is_shown = () => stage.marks === marks && state() === "painting";
    for (let done = null; done !== slider.value && is_shown(); ) {
      done = slider.value;
      const { job } = await fetch_json("POST", `/api/photos/${picture.photo.key}/damage?${new URLSearchParams(values("damage"))}`);
      const report = await follow(job, () => stage.marks === marks);
      if (report?.state === "failed") throw new Error(report.error);
      const found = report && (await found_mask(report));
      await stroke_ended();
      if (!report || !is_shown()) return;
      replace(found);
      show_note(report.note);
    }
  });
  moving = false;
}

on("damage", () => run("damage", values("damage")));
on(slider.id, change_sensitivity, "input");
on(slider.id, () => state() !== "painting" || stage.marks.searched || current() || find("damage").click(), "change");
