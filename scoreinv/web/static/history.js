// Undo and redo.

const MOST_BYTES = 400e6;

export class History {
  constructor() {
    this.changed = () => {};
    this.clear();
  }

  clear() {
    this.done = [];
    this.undone = [];
    this.changed();
  }

  // Sets the steps, the latest last.
  set(done, undone) {
    Object.assign(this, { done, undone });
    this.changed();
  }

  // step: { undo(), redo(), bytes }
  add(step) {
    this.done.push(step);
    this.undone = [];
    let held = this.done.reduce((sum, each) => sum + each.bytes, 0);
    while (held > MOST_BYTES && this.done.length > 1) held -= this.done.shift().bytes;
    this.changed();
  }

  // Undoes the last step and removes it.
  drop() {
    this.done.pop().undo();
    this.changed();
  }

  async undo() {
    const step = this.done.pop();
    if (!step) return;
    this.undone.push(step);
    await step.undo();
    this.changed();
  }

  async redo() {
    const step = this.undone.pop();
    if (!step) return;
    this.done.push(step);
    await step.redo();
    this.changed();
  }
}
