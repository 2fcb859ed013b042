// Draws photograph, results and marks: two canvases, so that a stroke redraws only the marks.

import { TILE } from "./layer.js";
import { make } from "./panel.js";
import { View } from "./view.js";

const TOOLS = 70; // height in CSS pixels

export class Stage {
  constructor(element) {
    this.element = element;
    this.base = element.querySelector("#base");
    this.top = element.querySelector("#marks");
    this.divider = element.querySelector("#divider");
    this.labels = element.querySelector("#labels");
    this.view = new View();
    this.picture = null; // the photograph
    this.marks = null;
    this.results = []; // pictures
    this.chosen = 0;
    this.mixed = 0; // share of the photograph that is drawn over the chosen result
    this.mode = "paint"; // paint: the marks; result: one result; divider: before and after; side: all side by side
    this.before = false; // whether the original is shown instead of the result
    this.split = 0.5;
    this.onselection = () => {};
    this.selected = null; // the pixels of the selected object, a Layer
    this.edge = null; // a Layer with the edge of the mask, see `edge.js`
    this.frame = null; // box that is being dragged: two corners in pixels of the picture
    this.dirty = null; // box of changed marks in pixels of the picture; "all" for everything
    this.onview = () => {};
    new ResizeObserver(() => this.resize()).observe(element);
    this.watch_density();
  }

  get selection() {
    return this.selected;
  }

  set selection(layer) {
    if (layer === this.selected) return;
    this.selected = layer;
    this.onselection();
  }

  // Follows a change of the screen's resolution.
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
    if (this.view.fitted) this.fit(this.view.part);
    this.redraw();
  }

  // Returns the cells of the stage, with their pictures.
  cells() {
    const free = this.height - this.below();
    const one = this.mode === "result" && !this.before ? this.result : this.picture;
    if (this.mode !== "side") return [{ x: 0, y: 0, width: this.width, height: free, picture: one }];
    const pictures = [this.picture, ...this.results];
    const photo = this.picture.photo;
    const across = best_columns(pictures.length, this.width, free, photo.width / photo.height);
    const [width, height] = [this.width / across, free / Math.ceil(pictures.length / across)];
    return pictures.map((picture, i) => {
      return { x: (i % across) * width, y: Math.floor(i / across) * height, width, height, picture };
    });
  }

  cellAt(x, y) {
    const cells = this.cells();
    return cells.find((c) => x >= c.x && x < c.x + c.width && y >= c.y && y < c.y + c.height) ?? cells[0];
  }

  // Returns the height that the toolbar covers.
  below() {
    return window.innerWidth > 760 ? TOOLS : 0;
  }

  // Fits the photograph, or a part of it: left, top, width and height.
  fit(part = null) {
    if (!this.picture || !this.width) return;
    const [cell] = this.cells();
    const space = this.width < 600 ? 12 : this.mode === "side" ? 8 : 24;
    this.view.fit(this.picture.photo, cell.width, cell.height, space, part);
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
    this.view.hold(this.picture.photo, cell.width, cell.height);
    this.redraw();
  }

  // Redraws everything in the next frame.
  redraw() {
    this.all = true;
    this.changed("all");
  }

  // Redraws the marks in a box of picture pixels in the next frame.
  changed(box) {
    if (box === "all" || this.dirty === "all") this.dirty = "all";
    else this.dirty = this.dirty ? union(this.dirty, box) : box;
    this.waiting ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { dirty, all } = this;
    [this.waiting, this.dirty, this.all] = [null, null, false];
    if (!this.picture) {
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
    for (const cell of cells) this.drawPicture(context, cell, cell.picture, 0, 1);
    if (this.mode === "divider") this.drawPicture(context, cells[0], this.result, this.split, 1);
    this.placeDivider();
    this.placeLabels(cells);
  }

  get result() {
    return this.results[this.chosen];
  }

  // Draws a picture at the photograph's place in a cell, clipped to the columns between two fractions of the cell's width.
  drawPicture(context, cell, picture, from, to) {
    const r = this.ratio;
    const { photo } = this.picture;
    const { x, y, scale } = this.view;
    const [left, top] = [Math.round((cell.x + x) * r), Math.round((cell.y + y) * r)];
    const [width, height] = [Math.round(photo.width * scale * r), Math.round(photo.height * scale * r)];
    context.save();
    context.beginPath();
    context.rect((cell.x + from * cell.width) * r, cell.y * r, (to - from) * cell.width * r, (this.mode === "side" ? cell.height : this.height) * r);
    context.clip();
    context.fillStyle = "#fff"; // behind transparent pixels
    context.fillRect(left, top, width, height);
    context.imageSmoothingEnabled = scale * r < 3;
    const level = picture.at(width);
    if (level) context.drawImage(level, left, top, width, height);
    context.strokeStyle = "rgb(0 0 0 / 18%)";
    context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
    context.globalAlpha = picture === this.result ? this.mixed : 0;
    if (context.globalAlpha) context.drawImage(this.picture.at(width), left, top, width, height);
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
      if (this.edge) drawTiles(context, this.edge, box, (p) => at(p, x), (p) => at(p, y));
      drawTiles(context, this.marks.avoid, box, (p) => at(p, x), (p) => at(p, y));
      if (this.selection) drawTiles(context, this.selection, box, (p) => at(p, x), (p) => at(p, y));
      context.globalAlpha = 0.92;
      drawTiles(context, this.marks.colours, box, (p) => at(p, x), (p) => at(p, y));
    }
    context.restore();
    if (this.frame) this.drawFrame(context, this.frame.flatMap(([px, py]) => [at(px, x), at(py, y)]));
  }

  // Draws the box that is being dragged, light and dark, to be visible on any picture.
  drawFrame(context, [x0, y0, x1, y1]) {
    for (const [colour, dash] of [["#fff", []], ["#22262b", [6 * this.ratio]]]) {
      context.strokeStyle = colour;
      context.lineWidth = 2 * this.ratio;
      context.setLineDash(dash);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    context.setLineDash([]);
  }

  // Returns a part's centre as a fraction of the stage's width: the divider starts there.
  shareOf([left, , width]) {
    const share = (this.view.x + (left + width / 2) * this.view.scale) / this.width;
    return Math.min(0.95, Math.max(0.05, share));
  }

  placeDivider() {
    this.divider.hidden = this.mode !== "divider";
    this.divider.style.left = `${this.split * this.width}px`;
    this.divider.setAttribute("aria-valuenow", Math.round(this.split * 100));
  }

  // Labels the pictures side by side, or the original when it replaces the result.
  placeLabels(cells) {
    const side = this.mode === "side";
    this.labels.hidden = !side && !(this.mode === "result" && this.before);
    if (this.labels.hidden) return;
    const many = cells.length > 2;
    const named = cells.map((cell, i) => {
      const label = make("span", { className: "tag" }, i ? (many ? `result ${i}` : "after") : "before");
      label.dataset.chosen = i === this.chosen + 1 && many;
      label.style.left = `${cell.x + cell.width / 2}px`;
      label.style.top = `${cell.y + 16}px`;
      return label;
    });
    this.labels.replaceChildren(...named);
  }
}

// Tile edges are rounded to screen pixels: otherwise seams would be visible.
function drawTiles(context, layer, box, atX, atY) {
  const first = [Math.max(0, Math.floor(box[0] / TILE)), Math.max(0, Math.floor(box[1] / TILE))];
  const last = [Math.min(layer.across - 1, Math.floor(box[2] / TILE)), Math.floor(box[3] / TILE)];
  for (let row = first[1]; row <= last[1]; row++) {
    for (let column = first[0]; column <= last[0]; column++) {
      const tile = layer.tiles.get(row * layer.across + column);
      if (!tile) continue;
      const [left, top] = [atX(column * TILE), atY(row * TILE)];
      context.drawImage(tile.toCanvas(), left, top, atX((column + 1) * TILE) - left, atY((row + 1) * TILE) - top);
    }
  }
}

function union(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

function overlap(a, b) {
  return [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
}

// Returns the number of columns that makes pictures of this aspect ratio largest.
function best_columns(count, width, height, shape) {
  const size = (across) => Math.min(width / across, (height / Math.ceil(count / across)) * shape);
  const columns = Array.from({ length: count }, (_, i) => i + 1);
  return columns.reduce((best, across) => (size(across) > size(best) * 1.01 ? across : best));
}
