// Draws the photograph, its results beside it, and the marks on it: two canvases, so that a stroke draws only itself.

import { TILE } from "./layer.js";
import { View } from "./view.js";

const TOOLS = 70; // CSS pixels

export class Stage {
  constructor(element) {
    this.element = element;
    this.base = element.querySelector("#base");
    this.top = element.querySelector("#marks");
    this.divider = element.querySelector("#divider");
    this.labels = element.querySelector("#labels");
    this.view = new View();
    this.shown = null; // the photograph
    this.marks = null;
    this.results = []; // each a Shown
    this.chosen = 0;
    this.mode = "paint"; // or result, divider, side
    this.before = false; // whether the photograph is shown in place of the result
    this.split = 0.5;
    this.picked = null; // what the tool Object shows: a Layer
    this.frame = null; // a box that is being dragged: two corners in picture pixels
    this.dirty = null; // box of picture pixels whose marks have changed; "all" for everything
    this.onview = () => {};
    new ResizeObserver(() => this.resize()).observe(element);
    this.watch_density();
  }

  // The window may be moved to a screen of other pixels.
  watch_density() {
    const density = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    density.addEventListener("change", () => {
      this.resize();
      this.watch_density();
    }, { once: true });
  }

  resize() {
    const { width, height } = this.element.getBoundingClientRect();
    this.width = width;
    this.height = height;
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.top]) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    if (this.view.fitted) this.fit();
    this.redraw();
  }

  // The boxes of the stage that show a picture each, and what they show.
  cells() {
    const free = this.height - this.below();
    const one = this.mode === "result" && !this.before ? this.result : this.shown;
    if (this.mode !== "side") return [{ x: 0, y: 0, width: this.width, height: free, shown: one }];
    const pictures = [this.shown, ...this.results];
    const photo = this.shown.photo;
    const across = best_columns(pictures.length, this.width, free, photo.width / photo.height);
    const [width, height] = [this.width / across, free / Math.ceil(pictures.length / across)];
    return pictures.map((shown, i) => {
      return { x: (i % across) * width, y: Math.floor(i / across) * height, width, height, shown };
    });
  }

  cellAt(x, y) {
    const cells = this.cells();
    return cells.find((c) => x >= c.x && x < c.x + c.width && y >= c.y && y < c.y + c.height) ?? cells[0];
  }

  // Height that the tools take at the bottom of the stage, where they lie on it.
  below() {
    return window.innerWidth > 760 ? TOOLS : 0;
  }

  fit() {
    if (!this.shown || !this.width) return;
    const [cell] = this.cells();
    const space = this.width < 600 ? 12 : this.mode === "side" ? 8 : 24;
    this.view.fit(this.shown.photo, cell.width, cell.height, space);
    this.redraw();
  }

  zoom(factor, x, y) {
    const cell = this.cellAt(x ?? this.width / 2, y ?? this.height / 2);
    this.view.zoom(factor, (x ?? cell.x + cell.width / 2) - cell.x, (y ?? cell.y + cell.height / 2) - cell.y);
    this.moved();
  }

  pan(dx, dy) {
    this.view.pan(dx, dy);
    this.moved();
  }

  moved() {
    const [cell] = this.cells();
    this.view.hold(this.shown.photo, cell.width, cell.height);
    this.redraw();
  }

  // Everything is drawn anew before the next frame.
  redraw() {
    this.all = true;
    this.changed("all");
  }

  // The marks in a box of picture pixels are drawn anew before the next frame.
  changed(box) {
    if (box === "all" || this.dirty === "all") this.dirty = "all";
    else this.dirty = this.dirty ? union(this.dirty, box) : box;
    this.waiting ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { dirty, all } = this;
    [this.waiting, this.dirty, this.all] = [null, null, false];
    if (!this.shown) {
      this.base.getContext("2d").clearRect(0, 0, this.base.width, this.base.height);
      this.top.getContext("2d").clearRect(0, 0, this.top.width, this.top.height);
      return;
    }
    if (all) this.drawPictures();
    if (dirty) this.drawMarks(dirty);
    if (all) this.onview();
  }

  drawPictures() {
    const context = this.base.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.base.width, this.base.height);
    const cells = this.cells();
    for (const cell of cells) this.drawPicture(context, cell, cell.shown, 0, 1);
    if (this.mode === "divider") this.drawPicture(context, cells[0], this.result, this.split, 1);
    this.placeDivider();
    this.placeLabels(cells);
  }

  get result() {
    return this.results[this.chosen];
  }

  // The part of a picture between two shares of its cell's width. It lies where the photograph does, whatever its size.
  drawPicture(context, cell, shown, from, to) {
    const r = this.ratio;
    const { photo } = this.shown;
    const { x, y, scale } = this.view;
    const [left, top] = [Math.round((cell.x + x) * r), Math.round((cell.y + y) * r)];
    const [width, height] = [Math.round(photo.width * scale * r), Math.round(photo.height * scale * r)];
    context.save();
    context.beginPath();
    context.rect((cell.x + from * cell.width) * r, cell.y * r, (to - from) * cell.width * r, (this.mode === "side" ? cell.height : this.height) * r);
    context.clip();
    context.fillStyle = "#fff"; // behind what is transparent
    context.fillRect(left, top, width, height);
    context.imageSmoothingEnabled = scale * r < 3;
    context.drawImage(shown.at(width), left, top, width, height);
    context.strokeStyle = "rgb(0 0 0 / 18%)";
    context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
    context.restore();
  }

  drawMarks(dirty) {
    const context = this.top.getContext("2d");
    const r = this.ratio;
    const { x, y, scale } = this.view;
    const at = (p, start) => Math.round((start + p * scale) * r);
    const seen = [-x / scale, -y / scale, (this.width - x) / scale, (this.height - y) / scale];
    const box = dirty === "all" ? seen : overlap(seen, dirty);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (box[0] >= box[2] || box[1] >= box[3]) return;
    const [left, top] = [at(box[0], x) - 2, at(box[1], y) - 2];
    const [width, height] = [at(box[2], x) + 2 - left, at(box[3], y) + 2 - top];
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.clearRect(left, top, width, height);
    if (this.mode === "paint") {
      context.imageSmoothingEnabled = scale * r < 1;
      context.globalAlpha = 0.55;
      drawTiles(context, this.marks.hole, box, (p) => at(p, x), (p) => at(p, y));
      drawTiles(context, this.marks.avoid, box, (p) => at(p, x), (p) => at(p, y));
      if (this.picked) drawTiles(context, this.picked, box, (p) => at(p, x), (p) => at(p, y));
      context.globalAlpha = 0.92;
      drawTiles(context, this.marks.colours, box, (p) => at(p, x), (p) => at(p, y));
    }
    context.restore();
    if (this.frame) this.drawFrame(context, this.frame.flatMap(([px, py]) => [at(px, x), at(py, y)]));
  }

  // The box that is being dragged, light on dark so that it is seen on any picture.
  drawFrame(context, [x0, y0, x1, y1]) {
    for (const [colour, dash] of [["#fff", []], ["#22262b", [6 * this.ratio]]]) {
      context.strokeStyle = colour;
      context.lineWidth = 2 * this.ratio;
      context.setLineDash(dash);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    context.setLineDash([]);
  }

  // Where the middle of a part of the photograph lies, as a share of the stage's width; the divider begins there.
  shareOf([left, , width]) {
    const share = (this.view.x + (left + width / 2) * this.view.scale) / this.width;
    return Math.min(0.95, Math.max(0.05, share));
  }

  placeDivider() {
    this.divider.hidden = this.mode !== "divider";
    this.divider.style.left = `${this.split * this.width}px`;
    this.divider.setAttribute("aria-valuenow", Math.round(this.split * 100));
  }

  // In "side" each picture has a label; else the one picture has where it is the photograph as it was.
  placeLabels(cells) {
    const side = this.mode === "side";
    this.labels.hidden = !side && !(this.mode === "result" && this.before);
    if (this.labels.hidden) return;
    const many = cells.length > 2;
    const named = cells.map((cell, i) => {
      const label = document.createElement("span");
      label.className = "tag";
      label.dataset.chosen = i === this.chosen + 1 && many;
      label.textContent = i ? (many ? `result ${i}` : "after") : "before";
      label.style.left = `${cell.x + cell.width / 2}px`;
      label.style.top = `${cell.y + 16}px`;
      return label;
    });
    this.labels.replaceChildren(...named);
  }
}

// Edges of tiles are rounded to the screen's pixels: else the seams between them would show.
function drawTiles(context, layer, box, atX, atY) {
  const first = [Math.max(0, Math.floor(box[0] / TILE)), Math.max(0, Math.floor(box[1] / TILE))];
  const last = [Math.min(layer.across - 1, Math.floor(box[2] / TILE)), Math.floor(box[3] / TILE)];
  for (let row = first[1]; row <= last[1]; row++) {
    for (let column = first[0]; column <= last[0]; column++) {
      const tile = layer.tiles.get(row * layer.across + column);
      if (!tile) continue;
      const [left, top] = [atX(column * TILE), atY(row * TILE)];
      context.drawImage(tile.shown(), left, top, atX((column + 1) * TILE) - left, atY((row + 1) * TILE) - top);
    }
  }
}

function union(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

function overlap(a, b) {
  return [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
}

// In how many columns so many pictures of this shape are largest.
function best_columns(count, width, height, shape) {
  const size = (across) => Math.min(width / across, (height / Math.ceil(count / across)) * shape);
  const columns = Array.from({ length: count }, (_, i) => i + 1);
  return columns.reduce((best, across) => (size(across) > size(best) * 1.01 ? across : best));
}
