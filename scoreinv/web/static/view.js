// Where the photograph lies on the stage: from picture pixels p to the stage's CSS pixels, x + scale p.

const MOST = 32; // CSS pixels of a picture pixel

export class View {
  constructor() {
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
  }

  // As large as fits into a space (CSS pixels) with a margin, in its middle; at most eight times as large.
  fit(photo, width, height, margin) {
    const inside = (length) => Math.max(40, length - 2 * margin);
    this.least = Math.min(inside(width) / photo.width, inside(height) / photo.height, 8);
    this.scale = this.least;
    this.x = (width - photo.width * this.scale) / 2;
    this.y = (height - photo.height * this.scale) / 2;
    this.fitted = true;
  }

  // Larger or smaller, with the picture pixel under a place of the stage staying there.
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

  // Some of the photograph stays in sight.
  hold(photo, width, height) {
    const rest = 60;
    this.x = Math.min(width - rest, Math.max(rest - photo.width * this.scale, this.x));
    this.y = Math.min(height - rest, Math.max(rest - photo.height * this.scale, this.y));
  }

  toPicture(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }
}
