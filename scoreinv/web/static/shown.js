// A photograph as it is shown: its picture, and halves of it, so that a small view is neither slow nor ragged.

import { ask } from "./api.js";

const SMALLEST = 600;
const MOST_BYTES = 500e6; // of all that are held large

const large = new Set(); // those that are, the one that was shown last at the end

export class Shown {
  // photo: what the server tells of it. The picture may be smaller than the photograph, which is what is painted on.
  static async load(photo) {
    const shown = new Shown(photo);
    await shown.enlarge();
    return shown;
  }

  constructor(photo) {
    this.photo = photo;
    this.levels = [];
  }

  async enlarge() {
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

  // It is shown: the others are reduced to their smallest picture. Gives what is waited for until it is whole.
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
    return this.reduced ? this.enlarge() : null;
  }

  // Of memory that it takes.
  get bytes() {
    return this.levels.reduce((sum, { width, height }) => sum + 4 * width * height, 0);
  }

  // The smallest picture that has enough pixels for the photograph to be so many wide.
  at(width) {
    return this.levels.findLast((level) => level.width >= width) ?? this.levels[0];
  }
}
