// Storage format of layers: 32-bit numbers, with run-length encoded tiles. A layer is a map of tile number -> pixels, or
// null for a tile that was absent.

import { TILE } from "./layer.js";

const NONE = 0xffffffff;

// maps: the map of each layer, or null for an empty one. Returns a Uint32Array.
export function pack(maps) {
  const words = [];
  for (const map of maps) {
    words.push(map?.size ?? 0);
    for (const [number, pixels] of map ?? []) {
      words.push(number);
      const at = words.push(NONE) - 1;
      if (!pixels) continue;
      for (let i = 0; i < pixels.length; ) {
        const first = i;
        while (i < pixels.length && pixels[i] === pixels[first]) i += 1;
        words.push(i - first, pixels[first]);
      }
      words[at] = (words.length - at - 1) / 2; // number of runs
    }
  }
  return Uint32Array.from(words);
}

// Returns the maps of `count` layers.
export function unpack(words, count) {
  let at = 0;
  return Array.from({ length: count }, () => {
    const map = new Map();
    for (let left = words[at++]; left; left--) {
      const number = words[at++];
      const runs = words[at++];
      const pixels = runs === NONE ? null : new Uint32Array(TILE * TILE);
      for (let run = 0, place = 0; pixels && run < runs; run++, at += 2) {
        pixels.fill(words[at + 1], place, place + words[at]);
        place += words[at];
      }
      map.set(number, pixels);
    }
    return map;
  });
}
