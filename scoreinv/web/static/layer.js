// A layer over a photograph at full resolution, in tiles created when needed. Edges are hard.

import { capsule } from "./capsule.js";
import { make } from "./panel.js";

export const TILE = 256;

export class Layer {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.across = Math.ceil(width / TILE);
    this.tiles = new Map(); // number -> Tile
    this.before = null; // pixels of the tiles that the current stroke has changed, as they were before
  }

  // Begins a stroke: one step of undo until `end`.
  begin() {
    this.before = new Map();
  }

  // Ends a stroke; returns a patch that `swap` undoes, or null if nothing was painted.
  end() {
    const patch = this.before;
    this.before = null;
    for (const number of patch.keys()) this.tiles.get(number)?.recount();
    return patch.size ? patch : null;
  }

  // Paints a line with a colour (0: erases); returns the box that has changed.
  line(x0, y0, x1, y1, radius, colour) {
    capsule(x0, y0, x1, y1, radius, this.width, this.height, (y, first, last) => this.run(y, first, last, colour));
    const r = radius + 1;
    return [Math.min(x0, x1) - r, Math.min(y0, y1) - r, Math.max(x0, x1) + r, Math.max(y0, y1) + r];
  }

  // Exchanges the layer's tiles with those of a patch: undoes a stroke, or redoes it.
  swap(patch) {
    for (const [number, pixels] of patch) {
      patch.set(number, this.tiles.get(number)?.pixels ?? null);
      if (pixels === null) this.tiles.delete(number);
      else this.tiles.set(number, new Tile(pixels));
    }
  }

  // Removes the pixels for whose value matches(value) is true, as part of a stroke.
  remove(matches) {
    for (const [number, tile] of [...this.tiles]) {
      if (!tile.pixels.some((value) => value && matches(value))) continue;
      const { pixels } = this.touched(number, 0);
      pixels.forEach((value, i) => value && matches(value) && (pixels[i] = 0));
      tile.changed(0, TILE);
    }
  }

  // Paints a mask, in the form in which masks travel: its box (left, top, width, height), null if it is empty, and the
  // bits in the box, row by row, in base64.
  // free: another layer; pixels are then painted only if they are empty in both layers.
  add({ box, bits }, colour, free = null) {
    if (!box) return;
    const [left, top, width, height] = box;
    const bytes = Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
    const end = width * height;
    for (let at = 0; at < end; ) {
      if (!(at & 7) && !bytes[at >> 3]) {
        at += 8;
        continue;
      }
      if (!set(bytes, at)) {
        at += 1;
        continue;
      }
      const first = at % width;
      const row = (at - first) / width;
      const most = end - at < width - first ? end : at + width - first;
      while (at < most && set(bytes, at)) at += 1;
      const last = at - 1 - row * width;
      this.run(top + row, left + first, left + last, colour, free);
    }
  }

  // Returns the pixels as a mask, see `add`; with a colour, only those of this colour.
  mask(colour = null) {
    const [left, top, right, bottom] = this.box();
    const bytes = new Uint8Array(Math.ceil(((right - left) * (bottom - top)) / 8));
    for (let y = top, at = 0; y < bottom; y++) {
      for (const value of this.row(y).subarray(left, right)) {
        if (colour === null ? value : value === colour) bytes[at >> 3] |= 128 >> (at & 7);
        at += 1;
      }
    }
    let letters = "";
    for (const byte of bytes) letters += String.fromCharCode(byte);
    return { box: [left, top, right - left, bottom - top], bits: btoa(letters) };
  }

  // Returns the pixels of all tiles, for storage.
  get pixels() {
    return new Map([...this.tiles].map(([number, tile]) => [number, tile.pixels]));
  }

  // Sets the pixels of all tiles.
  set pixels(tiles) {
    this.tiles = new Map([...tiles].map(([number, pixels]) => [number, new Tile(pixels)]));
  }

  copy() {
    const made = new Layer(this.width, this.height);
    made.pixels = new Map([...this.pixels].map(([number, pixels]) => [number, pixels.slice()]));
    return made;
  }

  // Returns a copy without the pixels that are in another layer.
  without(other) {
    const made = this.copy();
    for (const [number, tile] of made.tiles) {
      const taken = other.tiles.get(number)?.pixels;
      if (taken) tile.pixels.forEach((_, i) => taken[i] && (tile.pixels[i] = 0));
      tile.recount();
      if (!tile.count) made.tiles.delete(number);
    }
    return made;
  }

  // The colours of the pixels.
  get colours() {
    return [...new Set([...this.tiles.values()].flatMap((tile) => [...new Set(tile.pixels)]))].filter(Boolean);
  }

  get count() {
    let sum = 0;
    for (const tile of this.tiles.values()) sum += tile.count;
    return sum;
  }

  // Returns the bounding box in pixels; null if the layer is empty.
  box() {
    let box = null;
    for (const [number, tile] of this.tiles) {
      if (!tile.count) continue;
      const [left, top] = [(number % this.across) * TILE, Math.floor(number / this.across) * TILE];
      tile.pixels.forEach((pixel, i) => {
        if (!pixel) return;
        const [x, y] = [left + (i % TILE), top + Math.floor(i / TILE)];
        box ??= [x, y, x + 1, y + 1];
        box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x + 1), Math.max(box[3], y + 1)];
      });
    }
    return box;
  }

  // Returns the pixels of a row, 0 for empty ones.
  row(y) {
    const out = new Uint32Array(this.width);
    const start = (y % TILE) * TILE;
    const band = Math.floor(y / TILE) * this.across;
    for (let column = 0; column < this.across; column++) {
      const tile = this.tiles.get(band + column);
      const most = Math.min(TILE, this.width - column * TILE);
      if (tile) out.set(tile.pixels.subarray(start, start + most), column * TILE);
    }
    return out;
  }

  run(y, first, last, colour, free = null) {
    const band = Math.floor(y / TILE) * this.across;
    const start = (y % TILE) * TILE;
    for (let column = Math.floor(first / TILE); column * TILE <= last; column++) {
      const tile = this.touched(band + column, colour);
      if (!tile) continue;
      const left = column * TILE;
      const [from, to] = [start + Math.max(first - left, 0), start + Math.min(last - left + 1, TILE)];
      if (free) {
        const taken = free.tiles.get(band + column)?.pixels;
        for (let i = from; i < to; i++) if (!tile.pixels[i] && !taken?.[i]) tile.pixels[i] = colour;
      } else tile.pixels.fill(colour, from, to);
      tile.changed(y % TILE, (y % TILE) + 1);
    }
  }

  touched(number, colour) {
    let tile = this.tiles.get(number);
    if (!tile && !colour) return null;
    if (this.before && !this.before.has(number)) this.before.set(number, tile ? tile.pixels.slice() : null);
    if (!tile) this.tiles.set(number, (tile = new Tile(new Uint32Array(TILE * TILE))));
    return tile;
  }
}

function set(bytes, at) {
  return bytes[at >> 3] & (128 >> (at & 7));
}

// Pixels as 0xAABBGGRR, and their canvas.
class Tile {
  constructor(pixels) {
    this.pixels = pixels;
    this.image = new ImageData(new Uint8ClampedArray(pixels.buffer), TILE, TILE);
    this.canvas = null;
    this.top = 0;
    this.bottom = TILE; // rows that the canvas does not show yet
    this.recount();
  }

  changed(top, bottom) {
    this.top = Math.min(this.top, top);
    this.bottom = Math.max(this.bottom, bottom);
  }

  recount() {
    this.count = this.pixels.reduce((sum, pixel) => sum + (pixel ? 1 : 0), 0);
  }

  toCanvas() {
    this.canvas ??= make("canvas", { width: TILE, height: TILE });
    if (this.top < this.bottom) {
      const context = this.canvas.getContext("2d");
      context.putImageData(this.image, 0, 0, 0, this.top, TILE, this.bottom - this.top);
      [this.top, this.bottom] = [TILE, 0];
    }
    return this.canvas;
  }
}
