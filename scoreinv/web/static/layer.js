// Marks on a photograph, in its own pixels: hard-edged, of any size, in tiles that exist only where something is.

import { capsule } from "./capsule.js";

export const TILE = 256;

export class Layer {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.across = Math.ceil(width / TILE);
    this.tiles = new Map(); // number -> Tile
    this.before = null; // of the tiles that the present stroke has touched: their pixels before it
  }

  // Begins a stroke; what is painted until `end` is one step of undo.
  begin() {
    this.before = new Map();
  }

  // Ends a stroke; gives what `swap` takes to undo it, or null where nothing was painted.
  end() {
    const patch = this.before;
    this.before = null;
    for (const number of patch.keys()) this.tiles.get(number)?.recount();
    return patch.size ? patch : null;
  }

  // Paints from one place to another with a colour (0: erases); gives the box that has changed.
  line(x0, y0, x1, y1, radius, colour) {
    capsule(x0, y0, x1, y1, radius, this.width, this.height, (y, first, last) => this.run(y, first, last, colour));
    const r = radius + 1;
    return [Math.min(x0, x1) - r, Math.min(y0, y1) - r, Math.max(x0, x1) + r, Math.max(y0, y1) + r];
  }

  // Exchanges tiles with those of a patch, which then holds what was there.
  swap(patch) {
    for (const [number, pixels] of patch) {
      patch.set(number, this.tiles.get(number)?.pixels ?? null);
      if (pixels === null) this.tiles.delete(number);
      else this.tiles.set(number, new Tile(pixels));
    }
  }

  // Removes everything; gives the patch that brings it back, or null.
  clear() {
    const patch = new Map([...this.tiles].map(([number, tile]) => [number, tile.pixels]));
    this.tiles.clear();
    return patch.size ? patch : null;
  }

  // Paints the pixels of a mask, a bit each, row by row.
  bits(bytes, colour) {
    bytes.forEach((byte, i) => {
      for (let bit = 0; byte && bit < 8; bit++) {
        if (!(byte & (128 >> bit))) continue;
        const x = (i * 8 + bit) % this.width;
        this.run((i * 8 + bit - x) / this.width, x, x, colour);
      }
    });
  }

  get count() {
    let sum = 0;
    for (const tile of this.tiles.values()) sum += tile.count;
    return sum;
  }

  // The smallest box of picture pixels around everything; null where nothing is.
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

  // The pixels of a row, 0 where nothing is.
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

  run(y, first, last, colour) {
    const band = Math.floor(y / TILE) * this.across;
    const start = (y % TILE) * TILE;
    for (let column = Math.floor(first / TILE); column * TILE <= last; column++) {
      const tile = this.touched(band + column, colour);
      if (!tile) continue;
      const left = column * TILE;
      tile.pixels.fill(colour, start + Math.max(first - left, 0), start + Math.min(last - left + 1, TILE));
      tile.changed(y % TILE);
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

// Pixels as 0xAABBGGRR, and the canvas that shows them.
class Tile {
  constructor(pixels) {
    this.pixels = pixels;
    this.image = new ImageData(new Uint8ClampedArray(pixels.buffer), TILE, TILE);
    this.canvas = null;
    this.top = 0;
    this.bottom = TILE; // rows that the canvas does not show yet
    this.recount();
  }

  changed(y) {
    this.top = Math.min(this.top, y);
    this.bottom = Math.max(this.bottom, y + 1);
  }

  recount() {
    this.count = this.pixels.reduce((sum, pixel) => sum + (pixel ? 1 : 0), 0);
  }

  shown() {
    if (!this.canvas) {
      this.canvas = document.createElement("canvas");
      this.canvas.width = this.canvas.height = TILE;
    }
    if (this.top < this.bottom) {
      const context = this.canvas.getContext("2d");
      context.putImageData(this.image, 0, 0, 0, this.top, TILE, this.bottom - this.top);
      [this.top, this.bottom] = [TILE, 0];
    }
    return this.canvas;
  }
}
