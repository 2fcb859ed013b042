// A photograph as bitmaps: the whole and its halves, for fast and smooth reduced views.

import { ask } from "./api.js";

const SMALLEST = 600;
const MOST_BYTES = 500e6; // of all full-size bitmaps

const large = new Set(); // pictures with full-size bitmaps, the latest last

export class Picture {
  // photo: the server's description. The bitmap may be smaller; marks have the photograph's pixels.
  static async load(photo) {
    const picture = new Picture(photo);
    await picture.load_bitmaps();
    return picture;
  }

  constructor(photo) {
    this.photo = photo;
    this.levels = [];
    this.loading = null; // promise of the bitmaps while they are loaded
  }

  load_bitmaps() {
    return (this.loading ??= this.read().finally(() => (this.loading = null)));
  }

  async read() {
    const blob = await (await ask("GET", `/api/photos/${this.photo.key}/view`)).blob();
    const levels = [await createImageBitmap(blob)];
    while (Math.min(levels.at(-1).width, levels.at(-1).height) > 2 * SMALLEST) {
      const { width, height } = levels.at(-1);
      const half = { resizeWidth: Math.ceil(width / 2), resizeHeight: Math.ceil(height / 2), resizeQuality: "medium" };
      levels.push(await createImageBitmap(levels.at(-1), half));
    }
    this.levels = levels;
    this.reduced = false;
    this.use();
  }

  // Keeps this picture's bitmaps, and reduces others. Returns a promise if bitmaps must be loaded.
  use() {
    large.delete(this);
    large.add(this);
    let held = [...large].reduce((sum, each) => sum + each.bytes, 0);
    for (const each of large) {
      if (held <= MOST_BYTES || each === this) break;
      held -= each.bytes;
      each.levels.splice(0, each.levels.length - 1).forEach((level) => level.close());
      each.reduced = true;
      large.delete(each);
    }
    return this.reduced ? this.load_bitmaps() : null;
  }

  // Memory of the bitmaps.
  get bytes() {
    return this.levels.reduce((sum, { width, height }) => sum + 4 * width * height, 0);
  }

  // Returns the smallest bitmap with enough pixels for this width of the photograph.
  at(width) {
    return this.levels.findLast((level) => level.width >= width) ?? this.levels[0]; // undefined until it is loaded
  }
}
