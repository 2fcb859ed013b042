// Results of one task on one photograph, with the same marks and settings, by seed.

export class ResultGroup {
  // settings: the query without layers and seed; layers: { name: PNG }.
  constructor(picture, marks, kind, settings, layers) {
    Object.assign(this, { picture, marks, kind, settings, layers });
    this.keys = {}; // keys of the layers on the server
    this.results = []; // each { picture, seed, note, another }, and its thumbnail
    this.chosen = -1;
  }

  // The next unused seed.
  get seed() {
    return Math.max(-1, ...this.results.map((result) => result.seed)) + 1;
  }

  get result() {
    return this.results[this.chosen];
  }

  async matches(picture, kind, settings, layers) {
    if (this.picture !== picture || this.kind !== kind) return false;
    if (JSON.stringify(this.settings) !== JSON.stringify(settings)) return false;
    if (Object.keys(this.layers).join() !== Object.keys(layers).join()) return false;
    const equal = await Promise.all(Object.keys(layers).map((name) => same(this.layers[name], layers[name])));
    return equal.every(Boolean);
  }

  // The part that survives a reload.
  get saved() {
    const results = this.results.map(({ picture, seed, note, another }) => ({ key: picture.photo.key, seed, note, another }));
    return { kind: this.kind, settings: this.settings, keys: this.keys, results, chosen: this.chosen };
  }
}

async function same(a, b) {
  if (a.size !== b.size) return false;
  const [left, right] = (await Promise.all([a.arrayBuffer(), b.arrayBuffer()])).map((buffer) => new Uint8Array(buffer));
  return left.every((byte, i) => byte === right[i]);
}
