// Texts and controls of the panel.

export const find = (id) => document.getElementById(id);

// Returns a new element with these properties and children.
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function make_button(text, action) {
  const made = make("button", { type: "button" }, text);
  made.addEventListener("click", action);
  return made;
}

export const SWATCHES = {
  "#e8b999": "light skin", "#a9714b": "tanned skin", "#7a4a2b": "brown", "#c2443a": "red", "#d98f3b": "orange",
  "#e3c75f": "yellow", "#7fa650": "grass", "#3f6b3a": "fir green", "#9cc4e4": "sky blue", "#3f7fbf": "blue",
  "#2c3f6b": "navy blue", "#8a6aa8": "violet", "#cfc8bb": "stone",
};

const JOBS = {
  damage: "Finding damage", fill: "Filling the mask", colorize: "Adding colour", restore: "Restoring",
  denoise: "Removing noise", upscale: "Enlarging", deblur: "Removing blur",
};

export function show_error(error) {
  find("error").hidden = !error;
  find("error").querySelector("span").textContent = error?.message ?? "";
}

// actions: buttons below the text, each { label, run }; or with { kernel } a picture to download.
export function show_note(text, actions = []) {
  const [words, buttons] = find("note").children;
  find("note").hidden = !text;
  words.textContent = text ?? "";
  buttons.replaceChildren(...actions.map(({ label, run, kernel }) => (kernel ? kernel_link(kernel, label) : make_button(label, run))));
}

const kernel_link = (key, alt) => make("a", { href: `/api/photos/${key}/file?kind=PNG`, title: `Download ${alt.toLowerCase()}` }, make("img", { src: `/api/photos/${key}/view`, alt, className: "kernel" }));

// photo: the server's description of the picture to download, which is the photograph `of` or one of its results.
export function show_photo(photo, of) {
  find("title").textContent = photo ? `${of.name} · ${photo.width} × ${photo.height}${photo.bits === 16 ? " · 16 bit" : ""}` : "";
  document.title = photo ? `${of.name} – scoreinv` : "scoreinv";
  if (!photo) return;
  const chosen = find("format").value;
  find("format").replaceChildren(...photo.formats.map((kind) => new Option(kind, kind)));
  if (photo.formats.includes(chosen)) find("format").value = chosen;
  find("format").dataset.bits = photo.bits;
  show_exact();
}

// Explains the effect of the chosen format on pixels outside the mask.
export function show_exact() {
  const { value, dataset } = find("format");
  const rounded = dataset.bits === "16" && !["PNG", "TIFF"].includes(value) && `${value} stores 8 bits: 16-bit pixels are rounded.`;
  const quality = find("download-quality");
  quality.parentElement.hidden = ["PNG", "TIFF"].includes(value);
  const lossy = (["JPEG", "HEIC", "AVIF"].includes(value) || (value === "WebP" && quality.value)) && `${value} compresses the whole picture with loss.`;
  const except = find("fill-exact").checked ? "" : ", but for traces of the object within 8 pixels of it";
  find("format-loss").textContent = [rounded, lossy].filter(Boolean).join(" ");
  const kept = rounded || lossy ? "PNG leaves pixels outside the mask exactly as they are" : "Pixels outside the mask stay exactly as they are";
  find("kept-pixels").textContent = `${kept}${except}.`;
}

export function show_hole(count, photo) {
  const share = (100 * count) / (photo.width * photo.height);
  const percent = share < 0.1 ? "less than 0.1" : share.toFixed(share < 10 ? 1 : 0);
  find("hole").textContent = count ? `${percent} % of the photograph will be filled.` : "Select an object, or paint with the brush.";
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

// Shows the estimated duration of the improvement; null if unknown.
export function show_seconds(seconds) {
  find("seconds").textContent = seconds === null ? "" : `This takes ${duration(seconds)}.`;
}

// Shows the progress of a job { kind, count }. report: its state on the server.
export function show_job({ kind, count }, report) {
  const title = count > 1 ? `${JOBS[kind]}: ${count} left` : JOBS[kind];
  if (find("job-title").textContent !== title) find("job-title").textContent = title; // only if it changed: screen readers read it aloud
  const bar = find("progress");
  if (report?.state === "running" && report.done > 0) bar.value = report.done;
  else bar.removeAttribute("value");
  find("job-text").textContent = progress_text(report);
}

function progress_text(report) {
  if (!report) return "Sending …";
  if (report.state === "waiting") {
    const jobs = report.ahead === 1 ? "one job is" : `${report.ahead} jobs are`;
    return report.ahead ? `Waiting: ${jobs} before this one.` : "Waiting …";
  }
  const percent = `${Math.floor(100 * report.done)} %`;
  if (!report.done) return `Preparing … ${percent}`;
  if (report.done > 0.99) return `Almost done … ${percent}`;
  return `${percent}${report.left == null ? "" : `, ${duration(report.left)} left`}`;
}

function duration(seconds) {
  if (seconds < 8) return "a few seconds";
  if (seconds < 57) return `about ${5 * Math.ceil(seconds / 5)} s`;
  return `about ${Math.ceil(seconds / 60)} min`;
}

let listed = null; // the results whose thumbnails are listed

// Shows a thumbnail of each result of a photograph; choose(number) is called on a click.
export function show_results({ results, picture: { photo } }, choose) {
  if (listed === results && find("thumbs").children.length === results.length) return; // keeps the focus
  listed = results;
  find("result-title").textContent = results.length > 1 ? `${results.length} results` : "Result";
  const buttons = results.map((result, i) => {
    const button = make_button("", () => choose(i));
    if (result.another) button.title = `--seed ${result.seed}${result.seed ? " --estimate sample" : ""}`;
    result.thumbnail ??= thumbnail(result.picture, part_around(result.request.box, photo));
    button.append(result.thumbnail, make("span", {}, `Result ${i + 1}`));
    return button;
  });
  find("thumbs").replaceChildren(...buttons);
}

export function show_chosen(number) {
  const chosen = find("thumbs").children[number];
  for (const button of find("thumbs").children) button.setAttribute("aria-pressed", button === chosen);
  chosen?.scrollIntoView({ block: "nearest" });
}

// part: left, top, width and height in pixels of the photograph.
function thumbnail(picture, [left, top, width, height]) {
  const scale = 240 / Math.max(width, height);
  const side = (length) => Math.max(1, Math.round(length * scale));
  const canvas = make("canvas", { width: side(width), height: side(height) });
  const level = picture.at(picture.photo.width * scale);
  const r = level.width / picture.photo.width;
  canvas.getContext("2d").drawImage(level, left * r, top * r, width * r, height * r, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// Returns the part of a photograph around a box (null: the whole photograph).
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
