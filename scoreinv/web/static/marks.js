// What is painted on a photograph: the hole, and strokes of colour. An eraser takes away both.

import { Layer } from "./layer.js";

const HOLE = pixel("#e5383b");

export class Marks {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.hole = new Layer(width, height);
    this.colours = new Layer(width, height);
  }

  get layers() {
    return [this.hole, this.colours];
  }

  begin() {
    this.layers.forEach((layer) => layer.begin());
  }

  // tool: mask, colour (with a colour such as #3f7fbf) or eraser. Gives the box that has changed.
  line(tool, colour, x0, y0, x1, y1, radius) {
    if (tool === "mask") return this.hole.line(x0, y0, x1, y1, radius, HOLE);
    if (tool === "colour") return this.colours.line(x0, y0, x1, y1, radius, pixel(colour));
    this.colours.line(x0, y0, x1, y1, radius, 0);
    return this.hole.line(x0, y0, x1, y1, radius, 0);
  }

  // Ends what `begin` began; gives a step of undo, or null where nothing was changed.
  end() {
    return step(this.layers, this.layers.map((layer) => layer.end()));
  }

  clear() {
    return step(this.layers, this.layers.map((layer) => layer.clear()));
  }

  // Puts a mask in the place of the hole; bytes: a bit a pixel.
  replaceHole(bytes) {
    return this.changedHole(() => this.hole.clear(), bytes);
  }

  // Adds a mask to the hole.
  addHole(bytes) {
    return this.changedHole(() => null, bytes);
  }

  changedHole(first, bytes) {
    const before = new Map([...this.hole.tiles].map(([number, tile]) => [number, tile.pixels.slice()]));
    first();
    this.hole.begin();
    this.hole.bits(bytes, HOLE);
    for (const number of this.hole.end()?.keys() ?? []) if (!before.has(number)) before.set(number, null);
    return step([this.hole], [before.size ? before : null]);
  }
}

function step(layers, patches) {
  if (patches.every((patch) => patch === null)) return null;
  const swap = () => layers.forEach((layer, i) => patches[i] && layer.swap(patches[i]));
  const bytes = patches.reduce((sum, patch) => sum + (patch?.size ?? 0) * 4 * 256 * 256, 0);
  return { undo: swap, redo: swap, bytes };
}

function pixel(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
