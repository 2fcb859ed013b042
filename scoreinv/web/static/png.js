// PNG encoder for strokes of colour, row by row: exact, without a canvas's limit of size.

const ROWS = 64; // compressed at once
const END = 16; // bytes after the compressed pixels: their CRC and IEND

// Returns a fingerprint of a layer's file, to find equal ones. The CRC of data with their own CRC would have 16 bits that
// differ, not 32.
export async function fingerprint(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  return `${file.size}-${crc(file.type ? bytes.subarray(0, -END) : bytes).toString(16)}`;
}

export async function png(layer) {
  const { width, height } = layer;
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  [8, 6, 0, 0, 0].forEach((value, i) => header.setUint8(8 + i, value)); // RGBA of 8 bits
  const zlib = new CompressionStream("deflate");
  const packed = new Response(zlib.readable).arrayBuffer();
  const writer = zlib.writable.getWriter();
  const length = 1 + 4 * width; // each row begins with its filter, 0: none
  for (let top = 0; top < height; top += ROWS) {
    const count = Math.min(ROWS, height - top);
    const rows = new Uint8Array(count * length);
    for (let i = 0; i < count; i++) rows.set(new Uint8Array(layer.row(top + i).buffer), i * length + 1);
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
