// A photograph as it is shown: its picture for the browser, and halves of it, so that a small view is neither slow nor
// ragged.

import { ask } from "./api.js";

const SMALLEST = 600;

export class Shown {
  // photo: what the server tells of it. The picture may be smaller than the photograph, which is what is painted on.
  static async load(photo) {
    const blob = await (await ask("GET", `/api/photos/${photo.key}/view`)).blob();
    const levels = [await createImageBitmap(blob)];
    while (Math.min(levels.at(-1).width, levels.at(-1).height) > 2 * SMALLEST) {
      const { width, height } = levels.at(-1);
      const half = { resizeWidth: Math.ceil(width / 2), resizeHeight: Math.ceil(height / 2), resizeQuality: "medium" };
      levels.push(await createImageBitmap(levels.at(-1), half));
    }
    return new Shown(photo, levels);
  }

  constructor(photo, levels) {
    this.photo = photo;
    this.levels = levels;
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
