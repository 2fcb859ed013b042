// What is marked on a photograph: what to remove, painted or found, what not to copy from, and strokes of colour.

import { Layer } from "./layer.js";

const PAINTED = pixel("#e5383b");
const FOUND = pixel("#f08a24");
const AVOIDED = pixel("#3a5fd9");

export class Marks {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.hole = new Layer(width, height); // what was found lies in it in a colour of its own
    this.avoid = new Layer(width, height);
    this.colours = new Layer(width, height);
    this.spared = new Layer(width, height); // was erased: nothing is found there again
    this.searched = false; // for damage
  }

  get layers() {
    return [this.hole, this.avoid, this.colours, this.spared];
  }

  get empty() {
    return !this.hole.count && !this.avoid.count && !this.colours.count;
  }

  begin() {
    this.layers.forEach((layer) => layer.begin());
  }

  // tool: mask, avoid, colour (with a colour such as #3f7fbf) or eraser. Gives the box that has changed.
  line(tool, colour, ...stroke) {
    if (tool === "mask") return this.hole.line(...stroke, PAINTED);
    if (tool === "avoid") return this.avoid.line(...stroke, AVOIDED);
    if (tool === "colour") return this.colours.line(...stroke, pixel(colour));
    this.spared.line(...stroke, 1);
    this.avoid.line(...stroke, 0);
    this.colours.line(...stroke, 0);
    return this.hole.line(...stroke, 0);
  }

  // Ends what `begin` began; gives a step of undo, or null where nothing was changed.
  end() {
    return step(this.layers, this.layers.map((layer) => layer.end()));
  }

  // Changes the marks as one step of undo, which it gives.
  change(paint) {
    this.begin();
    paint();
    return this.end();
  }

  clear() {
    return this.change(() => this.layers.forEach((layer) => layer.replace(() => true)));
  }

  // Puts a mask in the place of the hole; bytes: a bit a pixel.
  replaceHole(bytes) {
    return this.change(() => {
      this.hole.replace(() => true);
      this.hole.bits(bytes, PAINTED);
    });
  }

  // Puts what is found now in the place of what was found before; what was painted or erased by hand stays.
  replaceFound(bytes) {
    this.searched = true;
    return this.change(() => {
      this.hole.replace((value) => value === FOUND);
      this.hole.bits(bytes, FOUND, this.spared);
    });
  }

  // Adds the pixels of a box, a bit each, to the hole, or as a colour; within a change.
  paint(bytes, box, colour = null) {
    if (colour) this.colours.bits(bytes, pixel(colour), null, box);
    else this.hole.bits(bytes, PAINTED, null, box);
  }
}

function step(layers, patches) {
  if (patches.every((patch) => patch === null)) return null;
  const swap = () => layers.forEach((layer, i) => patches[i] && layer.swap(patches[i]));
  const bytes = patches.reduce((sum, patch) => sum + (patch?.size ?? 0) * 4 * 256 * 256, 0);
  return { undo: swap, redo: swap, bytes };
}

export function pixel(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
