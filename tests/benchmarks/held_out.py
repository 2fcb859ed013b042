"""Download the 24 photographs that were held out from training, as the benchmarks use them.

    python tests/benchmarks/held_out.py FOLDER [TABLE]

The table, by default `held_out.csv`, has the address of each, its path in a Debian package (FILE.rcc!PATH in a Qt
resource file) and the SHA-256 of the original. The photographs are oriented upright, converted to sRGB, reduced to 768
pixels on the shorter side and saved as JPEG of quality 95. It needs `dpkg-deb`.
"""

import csv
import hashlib
import io
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zlib
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageCms, ImageOps

SIDE = 768


def checked(data: bytes, sha256: str) -> bytes:
    """Return the data; raise ValueError if they have another hash."""
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(f"the SHA-256 is {found}, not {sha256}")
    return data


def qt_resource(data: bytes, path: str) -> bytes:
    """Return a file of a Qt resource file of version 1 to 3, uncompressed or compressed by zlib."""
    magic, version, tree, content, names = struct.unpack(">4sIIII", data[:20])
    assert magic == b"qres"

    def node(number: int) -> tuple[str, int, int]:
        at = tree + number * (14 if version < 2 else 22)
        name_at, flags = struct.unpack(">IH", data[at : at + 6])
        (length,) = struct.unpack(">H", data[names + name_at : names + name_at + 2])
        start = names + name_at + 6
        return data[start : start + 2 * length].decode("utf-16-be"), flags, at + 6

    found = node(0)
    for part in path.split("/"):
        count, first = struct.unpack(">II", data[found[2] : found[2] + 8])
        found = next(each for each in map(node, range(first, first + count)) if each[0] == part)
    start = content + struct.unpack(">I", data[found[2] + 4 : found[2] + 8])[0]
    (size,) = struct.unpack(">I", data[start : start + 4])
    stored = data[start + 4 : start + 4 + size]
    return zlib.decompress(stored[4:]) if found[1] & 1 else stored


def converted(data: bytes) -> Image.Image:
    """Return a photograph upright, in sRGB, with a shorter side of at most `SIDE`."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    alpha = image.convert("RGBA").getchannel("A")
    profile = image.info.get("icc_profile")
    of_rgb, image = image.mode in ("RGB", "RGBA"), image.convert("RGB")
    if profile and of_rgb:
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb)
    image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    scale = SIDE / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    return image


def main() -> None:
    folder, table = Path(sys.argv[1]), Path(*(sys.argv[2:] or [Path(__file__).with_suffix(".csv")]))
    folder.mkdir(parents=True, exist_ok=True)
    sources = defaultdict(list)
    for row in csv.DictReader(table.read_text().splitlines()):
        sources[row["address"]].append(row)
    for address, rows in sources.items():
        with urllib.request.urlopen(address) as response:
            downloaded = response.read()
        with tempfile.TemporaryDirectory() as name:
            if rows[0]["path"]:
                package = Path(name, "package.deb")
                package.write_bytes(downloaded)
                subprocess.run(["dpkg-deb", "-x", package, name], check=True)
            for row in rows:
                path, _, inner = row["path"].partition("!")
                data = Path(name, path).read_bytes() if path else downloaded
                original = checked(qt_resource(data, inner) if inner else data, row["sha256"])
                options = {"quality": 95, "subsampling": 0, "optimize": True}
                converted(original).save(folder / f"{row['name']}.jpg", **options)


if __name__ == "__main__":
    main()
