// Results of one photograph with the same marks and settings, which differ by their seeds: all stay.

export class Round {
  // shown, marks: of the photograph; settings: the query but for layers and seed; layers: { name: its PNG }.
  constructor(shown, marks, kind, settings, layers) {
    Object.assign(this, { shown, marks, kind, settings, layers });
    this.keys = {}; // of the layers, as the server holds them
    this.results = []; // each { shown, seed, note, another }, and its small picture
    this.chosen = -1;
  }

  // The next seed that no result has.
  get seed() {
    return Math.max(-1, ...this.results.map((result) => result.seed)) + 1;
  }

  get result() {
    return this.results[this.chosen];
  }

  async isOf(shown, kind, settings, layers) {
    if (this.shown !== shown || this.kind !== kind) return false;
    if (JSON.stringify(this.settings) !== JSON.stringify(settings)) return false;
    if (Object.keys(this.layers).join() !== Object.keys(layers).join()) return false;
    const equal = await Promise.all(Object.keys(layers).map((name) => same(this.layers[name], layers[name])));
    return equal.every(Boolean);
  }

  // What a page that is loaded anew takes up.
  get saved() {
    const results = this.results.map(({ shown, seed, note, another }) => ({ key: shown.photo.key, seed, note, another }));
    return { kind: this.kind, settings: this.settings, keys: this.keys, results, chosen: this.chosen };
  }
}

async function same(a, b) {
  if (a.size !== b.size) return false;
  const [left, right] = (await Promise.all([a.arrayBuffer(), b.arrayBuffer()])).map((buffer) => new Uint8Array(buffer));
  return left.every((byte, i) => byte === right[i]);
}
