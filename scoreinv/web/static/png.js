// PNG encoder for layers, row by row: exact, without a canvas's limit of size.

const ROWS = 64; // compressed at once

export const mask_png = (layer) =>
  png(layer, 0, 1, (row, out) => {
    for (let x = 0; x < row.length; x++) out[x] = row[x] ? 255 : 0;
  });

export const colour_png = (layer) =>
  png(layer, 6, 4, (row, out) => {
    out.set(new Uint8Array(row.buffer));
  });

const END = 16; // bytes after the compressed pixels: their CRC and IEND

// Returns a fingerprint of a PNG of this encoder, to find equal ones. The CRC of data with their own CRC would have 16
// bits that differ, not 32.
export async function fingerprint(file) {
  return `${file.size}-${crc(new Uint8Array(await file.arrayBuffer()).subarray(0, -END)).toString(16)}`;
}

// kind: PNG's colour type; write(row, out) writes the samples of a row, `channels` bytes per pixel.
async function png(layer, kind, channels, write) {
  const { width, height } = layer;
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  [8, kind, 0, 0, 0].forEach((value, i) => header.setUint8(8 + i, value));
  const zlib = new CompressionStream("deflate");
  const packed = new Response(zlib.readable).arrayBuffer();
  const writer = zlib.writable.getWriter();
  const length = 1 + width * channels; // each row begins with its filter, 0: none
  for (let top = 0; top < height; top += ROWS) {
    const count = Math.min(ROWS, height - top);
    const rows = new Uint8Array(count * length);
    for (let i = 0; i < count; i++) write(layer.row(top + i), rows.subarray(i * length + 1, (i + 1) * length));
    await writer.write(rows);
  }
  await writer.close();
  const signature = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  const parts = [chunk("IHDR", header.buffer), chunk("IDAT", await packed), chunk("IEND", new ArrayBuffer(0))];
  return new Blob([signature, ...parts], { type: "image/png" });
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.byteLength);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(new Uint8Array(data), 8);
  view.setUint32(8 + data.byteLength, crc(bytes.subarray(4, 8 + data.byteLength)));
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
