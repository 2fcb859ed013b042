// Marks on a photograph: the mask, the area not to copy from, and strokes of colour.

import { Layer } from "./layer.js";
import { pack } from "./tiles.js";

const PAINTED = pixel("#e5383b");
const FOUND = pixel("#f08a24");
const AVOIDED = pixel("#3a5fd9");

export class Marks {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.hole = new Layer(width, height); // the mask; detected damage has a colour of its own
    this.avoid = new Layer(width, height);
    this.colours = new Layer(width, height);
    this.erased = new Layer(width, height); // erased by hand: detection adds nothing here
    this.searched = false; // whether damage was detected
    this.stored = null; // packed layers, until they change
  }

  get layers() {
    return [this.hole, this.avoid, this.colours, this.erased];
  }

  get empty() {
    return !this.hole.count && !this.avoid.count && !this.colours.count;
  }

  begin() {
    this.layers.forEach((layer) => layer.begin());
  }

  // tool: mask, avoid, colour (such as #3f7fbf) or eraser. Returns the changed box.
  line(tool, colour, ...stroke) {
    if (tool === "mask") return this.hole.line(...stroke, PAINTED);
    if (tool === "avoid") return this.avoid.line(...stroke, AVOIDED);
    if (tool === "colour") return this.colours.line(...stroke, pixel(colour));
    this.erased.line(...stroke, 1);
    this.avoid.line(...stroke, 0);
    this.colours.line(...stroke, 0);
    return this.hole.line(...stroke, 0);
  }

  // Ends a change; returns a step of undo, or null if nothing changed.
  end() {
    const patches = this.layers.map((layer) => layer.end());
    this.stored = null;
    return patches.every((patch) => patch === null) ? null : new MarkStep(this, patches);
  }

  get is_changing() {
    return this.hole.before !== null;
  }

  // Returns the layers as numbers, for storage.
  packed() {
    return (this.stored ??= pack(this.layers.map((layer) => layer.pixels)));
  }

  // Sets the layers to stored tiles.
  restore(tiles, searched) {
    this.layers.forEach((layer, i) => (layer.pixels = tiles[i]));
    this.searched = searched;
  }

  // Returns a copy whose mask lacks the pixels of another layer.
  without(hole) {
    const made = new Marks(this.width, this.height);
    [made.avoid, made.colours, made.hole] = [this.avoid.copy(), this.colours.copy(), this.hole.without(hole)];
    return made;
  }

  // Runs paint() as one step of undo, and returns the step.
  change(paint) {
    this.begin();
    paint();
    return this.end();
  }

  clear() {
    return this.change(() => this.layers.forEach((layer) => layer.remove(() => true)));
  }

  // Replaces the mask with another one, see `Layer.add`.
  replaceHole(mask) {
    return this.change(() => {
      this.hole.remove(() => true);
      this.hole.add(mask, PAINTED);
    });
  }

  // Replaces detected damage; painted and erased pixels stay.
  replaceFound(mask) {
    this.searched = true;
    return this.change(() => {
      this.hole.remove((value) => value === FOUND);
      this.hole.add(mask, FOUND, this.erased);
    });
  }

  // Adds a mask to the hole, or as strokes of a colour, within a change.
  paint(mask, colour = null) {
    if (colour) this.colours.add(mask, pixel(colour));
    else this.hole.add(mask, PAINTED);
  }
}

// A change of marks as a step of undo.
export class MarkStep {
  // patches: one for each layer, or null.
  constructor(marks, patches) {
    this.marks = marks;
    this.patches = patches;
    this.bytes = patches.reduce((sum, patch) => sum + (patch?.size ?? 0) * 4 * 256 * 256, 0);
    this.stored = null; // packed patches, until they change
  }

  undo() {
    this.marks.layers.forEach((layer, i) => this.patches[i] && layer.swap(this.patches[i]));
    this.stored = this.marks.stored = null;
  }

  redo() {
    this.undo();
  }

  packed() {
    return (this.stored ??= pack(this.patches));
  }
}

const hex = (colour) => `#${[0, 8, 16].map((at) => ((colour >> at) & 255).toString(16).padStart(2, "0")).join("")}`;

// Returns strokes for the server: a mask for each colour.
export const strokes = (layer) => Object.fromEntries(layer.colours.map((colour) => [hex(colour), layer.mask(colour)]));

export function pixel(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}
