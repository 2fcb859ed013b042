// The photograph's position on the stage: pixel p of the picture is at x + scale p in CSS pixels.

const MOST = 32; // CSS pixels per pixel of the picture

export class View {
  constructor() {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
    this.part = null; // the part that is fitted; null: the photograph
  }

  // Centres the photograph or a part of it (left, top, width, height), as large as the space allows, at most eightfold.
  fit(photo, width, height, margin, part = null) {
    const [left, top, wide, high] = part ?? [0, 0, photo.width, photo.height];
    const inside = (length) => Math.max(40, length - 2 * margin);
    const scale = (across, down) => Math.min(inside(width) / across, inside(height) / down, 8);
    this.least = scale(photo.width, photo.height);
    this.scale = scale(wide, high);
    this.x = width / 2 - (left + wide / 2) * this.scale;
    this.y = height / 2 - (top + high / 2) * this.scale;
    this.fitted = true;
    this.part = part;
  }

  // Zooms about a point of the stage.
  zoom(factor, x, y) {
    const scale = Math.min(MOST, Math.max(this.least / 2, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
  }

  // Keeps part of the photograph visible.
  hold(photo, width, height) {
    const rest = 60;
    this.x = Math.min(width - rest, Math.max(rest - photo.width * this.scale, this.x));
    this.y = Math.min(height - rest, Math.max(rest - photo.height * this.scale, this.y));
  }

  toPicture(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }
}
