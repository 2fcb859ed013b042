// Mouse, pen and fingers on the stage: one paints, two move and stretch; the wheel zooms, space or the middle button pans.

export class Pointer {
  // brush: { tool, colour, diameter } of the present moment, or null where nothing can be painted.
  // stroke(step): a stroke has ended, with its step of undo. pressed(x, y): a place was pressed and nothing was moved.
  constructor(stage, brush, stroke, pressed) {
    this.stage = stage;
    this.brush = brush;
    this.stroke = stroke;
    this.pressed = pressed;
    this.down = new Map(); // pointers that are down: id -> [x, y]
    this.last = null; // of a stroke: the place that it has come to, in picture pixels
    this.panning = false;
    this.space = false;
    this.ring = stage.element.querySelector("#ring");
    const surface = stage.top;
    surface.addEventListener("pointerdown", (event) => this.press(event));
    surface.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) surface.addEventListener(name, (event) => this.lift(event));
    surface.addEventListener("pointerleave", () => (this.ring.hidden = true));
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.divide(stage.divider);
  }

  place(event) {
    const box = this.stage.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (!this.stage.shown) return;
    this.stage.top.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.place(event));
    const paints = this.brush() && event.button === 0 && !this.space && this.down.size === 1;
    if (paints) {
      this.stage.marks.begin();
      this.last = this.stage.view.toPicture(...this.place(event));
      this.paint(event);
    } else {
      if (this.last) this.take_back(); // a second finger: it was no stroke
      this.panning = true;
      this.still = this.down.size === 1;
    }
    this.cursor();
  }

  move(event) {
    const now = this.place(event);
    this.circle(event, now);
    if (!this.down.has(event.pointerId)) return;
    if (this.last) {
      // All places that the pointer has been at since the last frame, so that quick strokes stay round.
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) this.paint(each);
    } else if (this.panning) {
      const before = [...this.down.values()];
      if (this.still && Math.hypot(now[0] - before[0][0], now[1] - before[0][1]) < 4) return;
      this.still = false;
      this.down.set(event.pointerId, now);
      this.drag(before, [...this.down.values()]);
    }
    this.down.set(event.pointerId, now);
  }

  lift(event) {
    if (!this.down.delete(event.pointerId)) return;
    this.end();
    if (this.panning && this.still && !this.brush()) this.pressed(...this.place(event));
    if (!this.down.size) this.panning = false;
    this.cursor();
  }

  paint(event) {
    const { tool, colour, diameter } = this.brush();
    const now = this.stage.view.toPicture(...this.place(event));
    this.stage.changed(this.stage.marks.line(tool, colour, ...this.last, ...now, diameter / 2));
    this.last = now;
  }

  // Ends the stroke that is being drawn, if there is one.
  end() {
    if (!this.last) return;
    this.last = null;
    const step = this.stage.marks.end();
    if (step) this.stroke(step);
  }

  take_back() {
    this.last = null;
    this.stage.marks.end()?.undo();
    this.stage.changed("all");
  }

  drag(before, after) {
    const [b, a] = [middle(before), middle(after)];
    this.stage.pan(a[0] - b[0], a[1] - b[1]);
    if (before.length < 2) return;
    const apart = ([p, q]) => Math.hypot(p[0] - q[0], p[1] - q[1]) || 1;
    this.stage.zoom(apart(after) / apart(before), ...a);
  }

  wheel(event) {
    if (!this.stage.shown) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    this.stage.zoom(Math.exp(-Math.max(-200, Math.min(200, pixels)) * (event.ctrlKey ? 0.01 : 0.0018)), ...this.place(event));
  }

  // Space is held down, or let go.
  hold(space) {
    this.space = space;
    this.cursor();
  }

  cursor() {
    const brush = this.brush();
    const hand = this.panning ? "grabbing" : this.space || !brush ? "grab" : "none";
    this.stage.element.dataset.cursor = this.stage.shown ? hand : "";
    if (hand !== "none") this.ring.hidden = true;
  }

  // The circle that shows how large the brush is; a finger hides it anyway.
  circle(event, [x, y]) {
    const brush = this.brush();
    this.ring.hidden = !brush || this.space || this.panning || event.pointerType === "touch";
    if (this.ring.hidden) return;
    const side = Math.max(4, brush.diameter * this.stage.view.scale);
    this.ring.style.width = this.ring.style.height = `${side}px`;
    this.ring.style.transform = `translate(${x - side / 2}px, ${y - side / 2}px)`;
  }

  // The divider between before and after, by pointer and by keys.
  divide(divider) {
    const to = (share) => {
      this.stage.split = Math.min(1, Math.max(0, share));
      this.stage.redraw();
    };
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) to(this.place(event)[0] / this.stage.width);
    });
    divider.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
      if (!way) return;
      event.preventDefault(); // the page would scroll
      to(this.stage.split + way);
    });
  }
}

function middle(places) {
  return [0, 1].map((i) => places.reduce((sum, place) => sum + place[i], 0) / places.length);
}
