// A photograph with its marks and the results made of it.

import { fetch_json } from "./api.js";
import { Picture } from "./picture.js";

export class Sheet {
  // straight: the { picture, angle } that it was straightened from, or null.
  constructor(picture, marks, straight = null) {
    this.straight = straight;
    this.picture = picture;
    this.marks = marks;
    this.results = []; // each { picture, request, seed, note, actions, another, blend }, and its thumbnail
  }

  get pictures() {
    return [...new Set([this.picture, ...this.results.flatMap((result) => [result.picture, shown_picture(result)])])];
  }

  get loaded() {
    return this.pictures.every((picture) => picture.levels.length);
  }

  load() {
    return Promise.all(this.pictures.map((picture) => picture.levels.length || picture.load_bitmaps()));
  }

  // Returns the next unused seed of a request.
  seed(request) {
    const used = this.results.filter((result) => result.request.id === request.id).map((result) => result.seed);
    return Math.max(-1, ...used) + 1;
  }
}

// Returns the picture to show for a result: blended with the photograph, or the result alone.
export const shown_picture = ({ picture, blend }) => blend?.picture ?? picture;

// A request for results: the route, its query without layers and seed, and the layers.
export class Request {
  // prints: { name: fingerprint } of the layers; box: of the mask, for the view of its results; null: everything.
  constructor({ kind, settings, prints = {}, keys = {}, box = null }) {
    Object.assign(this, { kind, settings, prints, keys, box });
    this.layers = {}; // { name: JSON }, to send them again; empty after a reload
  }

  // Equal for requests whose results differ by their seeds alone.
  get id() {
    return JSON.stringify([this.kind, this.settings, this.prints]);
  }

  get saved() {
    const { kind, settings, prints, keys, box } = this;
    return { kind, settings, prints, keys, box };
  }
}

// Returns the blend of a result with the photograph of its sheet: the chosen settings, and the picture.
export async function blended({ picture }, { picture: made, request }, chosen) {
  if (!Object.keys(chosen).length) return null;
  const query = new URLSearchParams({ result: made.photo.key, ...chosen });
  if (request.keys.mask && request.kind === "fill") query.set("mask", request.keys.mask);
  if (request.settings.grow) query.set("grow", request.settings.grow);
  return { ...chosen, picture: await Picture.load(await fetch_json("POST", `/api/photos/${picture.photo.key}/blend?${query}`)) };
}
