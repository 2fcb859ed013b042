// The pixels of a stroke between two points: centres within `radius` of the line.

// Calls row(y, first, last) for each row of the capsule within a picture's size.
export function capsule(x0, y0, x1, y1, radius, width, height, row) {
  const r = Math.max(radius, 0.5);
  const length = Math.hypot(x1 - x0, y1 - y0);
  const corners = length ? corners_of(x0, y0, x1, y1, (r * (x1 - x0)) / length, (r * (y1 - y0)) / length) : [];
  const top = Math.max(0, Math.floor(Math.min(y0, y1) - r));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + r));
  for (let y = top; y <= bottom; y++) {
    const span = [Infinity, -Infinity];
    disc(span, x0, y0, r, y + 0.5);
    disc(span, x1, y1, r, y + 0.5);
    quad(span, corners, y + 0.5);
    const first = Math.max(0, Math.ceil(span[0] - 0.5));
    const last = Math.min(width - 1, Math.floor(span[1] - 0.5));
    if (first <= last) row(y, first, last);
  }
}

function corners_of(x0, y0, x1, y1, ux, uy) {
  return [[x0 - uy, y0 + ux], [x1 - uy, y1 + ux], [x1 + uy, y1 - ux], [x0 + uy, y0 - ux]];
}

function widen(span, left, right) {
  span[0] = Math.min(span[0], left);
  span[1] = Math.max(span[1], right);
}

function disc(span, x, y, r, at) {
  const off = at - y;
  if (Math.abs(off) > r) return;
  const half = Math.max(Math.sqrt(r * r - off * off), r > 0.5 ? 0 : 0.5);
  widen(span, x - half, x + half);
}

function quad(span, corners, at) {
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % 4];
    if (ay === by || (at - ay) * (at - by) > 0) return;
    const x = ax + ((bx - ax) * (at - ay)) / (by - ay);
    widen(span, x, x);
  });
}
