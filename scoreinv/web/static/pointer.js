// Mouse, pen and touch: one pointer paints or selects, two pan and zoom, as do wheel and space.

const STILL = 4; // CSS pixels that a finger moves involuntarily

export class Pointer {
  // brush(): returns the current { tool, colour, diameter }, or null if nothing can be painted.
  // callbacks: stroke(step): a stroke has ended; step undoes it.
  //   painted(): the pointer of a stroke was lifted.
  //   click(point, event), box([point, point], event): of the tools Object and Crop, in pixels of the picture.
  //   fit([point, point]): the box to draw for one that is dragged, in pixels of the picture.
  //   hold(down): true when the stage is pressed without a brush, false when it is released or dragged.
  //   press(x, y): without a brush, the stage was pressed without a movement, in pixels of the stage.
  constructor(stage, brush, callbacks) {
    this.stage = stage;
    this.brush = brush;
    this.callbacks = callbacks;
    this.down = new Map(); // pressed pointers: id -> [x, y]
    this.last = null; // latest point of the stroke, in pixels of the picture
    this.first = null; // where the tool Object or Crop was pressed, in pixels of the stage
    this.divided = null; // where the divider was when it was pressed
    this.panning = false;
    this.space = false;
    this.ring = stage.element.querySelector("#ring");
    const surface = stage.top; // captures all pointers, also those that begin on the divider
    for (const part of [surface, stage.divider]) part.addEventListener("pointerdown", (event) => this.press(event));
    surface.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) surface.addEventListener(name, (event) => this.lift(event));
    surface.addEventListener("pointerleave", () => (this.ring.hidden = true));
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.keys(stage.divider);
  }

  place(event) {
    const box = this.stage.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (!this.stage.picture) return;
    this.stage.top.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.place(event));
    const brush = this.brush();
    if (event.currentTarget === this.stage.divider && this.down.size === 1) {
      this.divided = this.stage.split;
    } else if (brush && event.button === 0 && !this.space && this.down.size === 1) {
      if (["object", "crop"].includes(brush.tool)) {
        this.first = this.place(event);
      } else {
        this.stage.marks.begin();
        this.last = this.stage.view.toPicture(...this.place(event));
        this.paint(event);
      }
    } else {
      this.cancel(); // a second finger: cancel the stroke, box or move of the divider
      this.panning = true;
      this.still = this.down.size === 1;
      this.callbacks.hold(this.still && !brush);
    }
    this.cursor();
  }

  move(event) {
    const now = this.place(event);
    this.circle(event, now);
    if (!this.down.has(event.pointerId)) return;
    if (this.divided !== null) {
      this.divide(now[0] / this.stage.width);
    } else if (this.last) {
      // Includes all events since the last frame, so that fast strokes stay smooth.
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) this.paint(each);
    } else if (this.first) {
      if (this.stage.frame || apart(this.first, now) >= STILL) this.draw_frame([this.first, now]);
    } else if (this.panning) {
      const before = [...this.down.values()];
      if (this.still && apart(before[0], now) < STILL) return;
      this.still = false;
      this.callbacks.hold(false);
      this.down.set(event.pointerId, now);
      this.drag(before, [...this.down.values()]);
    }
    this.down.set(event.pointerId, now);
  }

  lift(event) {
    if (!this.down.delete(event.pointerId)) return;
    const painted = this.last !== null;
    this.end();
    if (painted) this.callbacks.painted();
    this.divided = null;
    if (this.first) {
      const places = this.fitted([this.first, this.place(event)]);
      const is_box = this.stage.frame;
      this.draw_frame(null);
      if (event.type === "pointerup") {
        if (is_box) this.callbacks.box(places, event);
        else this.callbacks.click(places[0], event);
      }
    }
    this.callbacks.hold(false);
    if (this.panning && this.still && !this.brush()) this.callbacks.press(...this.place(event));
    if (!this.down.size) this.panning = false;
    this.cursor();
  }

  draw_frame(places) {
    if (!places) this.first = null;
    this.stage.frame = places && this.fitted(places);
    this.stage.changed("all");
  }

  fitted(places) {
    return this.callbacks.fit(places.map((place) => this.stage.view.toPicture(...place)));
  }

  paint(event) {
    const { tool, colour, diameter } = this.brush();
    const now = this.stage.view.toPicture(...this.place(event));
    this.stage.changed(this.stage.marks.line(tool, colour, ...this.last, ...now, diameter / 2));
    this.last = now;
  }

  // Ends the current stroke, if any.
  end() {
    if (!this.last) return;
    this.last = null;
    const step = this.stage.marks.end();
    if (step) this.callbacks.stroke(step);
  }

  cancel() {
    if (this.first) this.draw_frame(null);
    if (this.divided !== null) this.divide(this.divided);
    this.divided = null;
    if (!this.last) return;
    this.last = null;
    this.stage.marks.end()?.undo();
    this.stage.changed("all");
  }

  drag(before, after) {
    const [b, a] = [middle(before), middle(after)];
    this.stage.pan(a[0] - b[0], a[1] - b[1]);
    if (before.length < 2) return;
    const between = ([p, q]) => apart(p, q) || 1;
    this.stage.zoom(between(after) / between(before), ...a);
  }

  wheel(event) {
    if (!this.stage.picture) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 30 : 1);
    this.stage.zoom(Math.exp(-Math.max(-200, Math.min(200, pixels)) * (event.ctrlKey ? 0.01 : 0.0018)), ...this.place(event));
  }

  // Takes the state of the space bar, which moves the photograph while it is pressed.
  hold(space) {
    this.space = space;
    this.cursor();
  }

  cursor() {
    const brush = this.brush();
    const marking = ["object", "crop"].includes(brush?.tool) ? "point" : "none";
    const hand = this.panning ? "grabbing" : this.space || !brush ? "grab" : marking;
    this.stage.element.dataset.cursor = this.stage.picture ? hand : "";
    if (hand !== "none") this.ring.hidden = true;
  }

  // Moves the circle that shows the brush's size; touch hides it.
  circle(event, [x, y]) {
    this.ring.hidden = this.stage.element.dataset.cursor !== "none" || event.pointerType === "touch";
    if (this.ring.hidden) return;
    const side = Math.max(4, this.brush().diameter * this.stage.view.scale);
    this.ring.style.width = this.ring.style.height = `${side}px`;
    this.ring.style.transform = `translate(${x - side / 2}px, ${y - side / 2}px)`;
  }

  // Moves the divider between before and after; share: of the stage's width.
  divide(share) {
    this.stage.split = Math.min(1, Math.max(0, share));
    this.stage.redraw();
  }

  keys(divider) {
    divider.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
      if (!way) return;
      event.preventDefault(); // otherwise the page would scroll
      this.divide(this.stage.split + way);
    });
  }
}

function middle(places) {
  return [0, 1].map((i) => places.reduce((sum, place) => sum + place[i], 0) / places.length);
}

function apart([x0, y0], [x1, y1]) {
  return Math.hypot(x1 - x0, y1 - y0);
}
