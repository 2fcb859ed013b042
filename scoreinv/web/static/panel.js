// The words and controls beside the photograph.

export const find = (id) => document.getElementById(id);

export const SWATCHES = {
  "#e8b999": "light skin", "#a9714b": "tanned skin", "#7a4a2b": "brown", "#c2443a": "red", "#d98f3b": "orange",
  "#e3c75f": "yellow", "#7fa650": "grass", "#3f6b3a": "fir green", "#9cc4e4": "sky blue", "#3f7fbf": "blue",
  "#2c3f6b": "navy blue", "#8a6aa8": "violet", "#cfc8bb": "stone",
};

const JOBS = {
  damage: "Looking for damage", fill: "Filling the hole", colorize: "Drawing the colours", restore: "Restoring",
  denoise: "Removing noise", upscale: "Enlarging", deblur: "Removing the blur",
};

export function say_error(error) {
  find("error").hidden = !error;
  find("error").querySelector("span").textContent = error?.message ?? "";
}

export function say_note(text) {
  find("note").hidden = !text;
  find("note").textContent = text ?? "";
}

export function show_photo(photo) {
  find("title").textContent = photo ? `${photo.name} · ${photo.width} × ${photo.height}${photo.bits === 16 ? " · 16 bit" : ""}` : "";
  document.title = photo ? `${photo.name} – scoreinv` : "scoreinv";
  if (!photo) return;
  const chosen = find("format").value;
  find("format").replaceChildren(...photo.formats.map((kind) => new Option(kind, kind)));
  if (photo.formats.includes(chosen)) find("format").value = chosen;
  find("format").dataset.bits = photo.bits;
  find("keep-exact").hidden = photo.kind !== "JPEG"; // others keep them anyway
  say_exact();
}

// What the chosen format means for the pixels that were not painted over.
export function say_exact() {
  const { value, dataset } = find("format");
  const rounded = dataset.bits === "16" && !["PNG", "TIFF"].includes(value) && `${value} has 8 bits, to which 16 are rounded.`;
  const lossy = ["JPEG", "HEIC", "AVIF"].includes(value) && `${value} compresses the whole picture anew.`;
  const smeared = !find("keep-exact").hidden && !find("exactly").checked;
  const but = smeared ? ", but for colours that the JPEG smeared beside it" : "";
  find("exact").textContent = rounded || lossy
    ? [rounded, lossy, `PNG keeps every pixel outside the hole as it was${but}.`].filter(Boolean).join(" ")
    : `Every pixel outside the hole stays as it was, to the bit${but}.`;
}

export function show_hole(count, photo) {
  const share = (100 * count) / (photo.width * photo.height);
  const told = share < 0.1 ? "less than 0.1" : share.toFixed(share < 10 ? 1 : 0);
  find("hole").textContent = count ? `${told} % of the photograph will be filled.` : "Point at it with Object, or paint over it with the brush.";
  for (const id of ["fill", "mask-save"]) find(id).disabled = !count;
}

export function show_tool(tool) {
  for (const button of document.querySelectorAll(".tool")) {
    button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
  find("colours").hidden = !["colour", "object"].includes(tool);
  find("object").hidden = tool !== "object";
  document.body.dataset.tool = tool;
}

export function show_colour(colour) {
  document.documentElement.style.setProperty("--stroke-colour", colour);
  const chosen = [...find("swatches").children].find((each) => each.value === colour);
  for (const each of find("swatches").children) each.setAttribute("aria-pressed", each === chosen);
}

// What the chosen way to improve needs.
export function show_improvement(kind, blur) {
  for (const part of document.querySelectorAll("[data-of]")) part.hidden = part.dataset.of !== kind;
  find("noise").placeholder = kind === "upscale" ? "none" : "found by itself";
  find("blur-extent").hidden = kind !== "deblur" || !blur; // else it is found
  find("blur-turn").hidden = kind !== "deblur" || blur !== "motion";
  find("blur-name").textContent = { disk: "Radius", motion: "Length", gaussian: "Width" }[blur];
  find("blur-px").textContent = `${find("blur-size").value} px`;
  find("blur-deg").textContent = `${find("blur-angle").value}°`;
}

// How long the chosen improvement takes; null while that is unknown.
export function say_seconds(seconds) {
  find("seconds").textContent = seconds === null ? "" : `This takes ${duration(seconds)}.`;
}

// job: { kind, count } of what is done; report: what the server tells of it.
export function show_job({ kind, count }, report) {
  const title = count > 1 ? `${JOBS[kind]}: ${count} to go` : JOBS[kind];
  if (find("job-title").textContent !== title) find("job-title").textContent = title; // once: it is read out
  const bar = find("progress");
  if (report?.state === "running" && report.done > 0) bar.value = report.done;
  else bar.removeAttribute("value");
  find("job-text").textContent = job_words(report);
}

function job_words(report) {
  if (!report) return "Sending …";
  if (report.state === "waiting") {
    const jobs = report.ahead === 1 ? "one job is" : `${report.ahead} jobs are`;
    return report.ahead ? `Waiting: ${jobs} before this one.` : "Waiting …";
  }
  if (!report.done) return "Getting ready …";
  if (report.done > 0.99) return "Almost done …";
  return `${Math.round(100 * report.done)} %${report.left == null ? "" : `, ${duration(report.left)} left`}`;
}

function duration(seconds) {
  if (seconds < 8) return "a few seconds";
  if (seconds < 57) return `about ${5 * Math.ceil(seconds / 5)} s`;
  return `about ${Math.ceil(seconds / 60)} min`;
}

let listed = null; // the round whose results are shown

// A small picture of each result of a round, with its seed; choose(number) is called when one is clicked.
export function show_results(round, choose) {
  const { results, part, kind } = round;
  if (listed === round && find("thumbs").children.length === results.length) return; // one may have the focus
  listed = round;
  const drawn = ["fill", "colorize", "restore"].includes(kind);
  find("result-title").textContent = results.length > 1 ? `${results.length} results` : "Result";
  find("more").hidden = !results.at(-1).another;
  const buttons = results.map((result, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Result ${i + 1}${drawn ? `, seed ${result.seed}` : ""}`);
    result.small ??= small(result.shown, part);
    button.append(result.small);
    if (drawn) button.append(Object.assign(document.createElement("span"), { textContent: `seed ${result.seed}` }));
    button.addEventListener("click", () => choose(i));
    return button;
  });
  find("thumbs").replaceChildren(...buttons);
}

export function show_chosen(number) {
  const chosen = find("thumbs").children[number];
  for (const button of find("thumbs").children) button.setAttribute("aria-pressed", button === chosen);
  chosen.scrollIntoView({ block: "nearest" });
}

// part: left, top, width and height in picture pixels.
function small(shown, [left, top, width, height]) {
  const canvas = document.createElement("canvas");
  const scale = 240 / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const level = shown.at(shown.photo.width * scale);
  const r = level.width / shown.photo.width;
  canvas.getContext("2d").drawImage(level, left * r, top * r, width * r, height * r, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The part of a photograph that shows what has become of a box of it (null: the whole photograph).
export function part_around(box, photo) {
  const whole = [0, 0, photo.width, photo.height];
  if (!box) return whole;
  const side = Math.max(box[2] - box[0], box[3] - box[1], 32) * 1.6;
  const place = (first, last, length) => {
    const size = Math.min(side, length);
    return [Math.min(Math.max(0, (first + last - size) / 2), length - size), size];
  };
  const [[left, width], [top, height]] = [place(box[0], box[2], photo.width), place(box[1], box[3], photo.height)];
  return [left, top, width, height];
}
