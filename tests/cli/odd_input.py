"""Odd names, numbers and files in every place of every command, a few thousand of them; by hand.

    PYTHONPATH=tests python tests/cli/odd_input.py [COMMAND...]

A command either does its work or is refused: status 2, one error on stderr, nothing on stdout, nothing written. None
ends in an error that nobody foresaw, takes over 5 s of processor time, replaces a file that was there, or sends a
control character to the terminal. `bad_input.py` is the table of those whose message is known and tested.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bad_input import CASES, CONVERT, DENOISE, EVALUATE, INTERPOLATE, LIKELIHOOD, SAMPLE, TRAIN, make_world
from PIL import Image
from safetensors.torch import save_file
from shell import photo_array, small_config
from test_bad_input_table import state

from scoreinv.checkpoints.files import save_model
from scoreinv.cli.main import main

SECONDS = 5.0
Words = tuple[str, ...]

NAMES = (
    *(
        ".",
        "..",
        "/",
        "//",
        "~",
        "~root/x.png",
        "*.jpg",
        "scans/*",
        "scans/..",
        "photo.png/",
        "photo.png/.",
        ".png",
        "-",
    ),
    *("file:///photo.png", "http://localhost/x.png", "hf:x", "photo", "scene", "CON", "NUL.png", " ", "\t", "..."),
    *("photo.png\n", "/proc/self/mem", "/proc/self/environ", "/proc/1", "/sys/kernel", "/dev/fd/0", "/dev/tty"),
)
WHOLE = (
    *(
        "+5x",
        "\uff15",
        "1_0_",
        " ",
        "0b1",
        "5.",
        "5e0",
        "--",
        "-0",
        "\u0663",
        "\xb2",
        "5;",
        "$(id)",
        "NaN",
        "None",
        "True",
        "[]",
    ),
    *("5 5", "∞", "१", "0o7", "1'000", "1,000", "five", "5\x1b[2J"),
)
NUMBERS = (
    "1e-400",
    "1e-320",
    "-0.0",
    "1e308",
    "٣",
    "1_0",
    ".",
    "+",
    "0x1p3",
    "1.5.2",
    "-nan",
    "1e309",
    "5,",
    "½",
    "1e",
)
MODELS = ("other.safetensors", "bare.safetensors", "none.safetensors", "long.safetensors", "headless.safetensors")
MODELS += ("folder", "folder/", "empty.pth", "other.pth", "list.pth", "zip.pth", "{}.json", "dir.png")
CONFIGS = (
    "null",
    "1",
    '"x"',
    '{"model": NaN}',
    "\ufeff{}",
    '{"model":1,"model":2}',
    "{}",
    '{"steps": 5}',
    "",
    "[" * 5000,
)
UNREAD = ("[a].png", "*.png", "$HOME.png", "%s.png", "{0}.png", "\\n.png", "a\tb.png", "é.png", "e\u0301.png", "🙂.png")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    width: int, height: int, bits: int = 8, colour: int = 2, data: bytes | None = b"", extra: bytes = b""
) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    content = b"" if data is None else _chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + extra + content + _chunk(b"IEND", b"")


def _contents(whole: bytes, archive: bytes) -> dict[str, bytes]:
    """Files that are called pictures."""
    rows = bytes(24 * 121)
    return {
        "zip.png": archive,
        "html.jpg": b"<!doctype html><html>404</html>",
        "gz.png": gzip.compress(whole),
        "utf16.png": "\ufeffa letter".encode("utf-16"),
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        "pdf.png": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer<<>>",
        "psd.png": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 5, 5, 8, 3) + bytes(40),
        "ico.png": b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0" + bytes(200),
        "avif.png": b"\0\0\0\x1cftypavif" + bytes(60),
        "jp2.png": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "zero_wide.png": _png(0, 5),
        "bomb.png": _png(100_000, 100_000, data=bytes(1000)),
        "widest.png": _png(2**31 - 1, 1, data=bytes(1000)),
        "bits.png": _png(4, 4, bits=3, data=bytes(60)),
        "colour.png": _png(4, 4, colour=5, data=bytes(60)),
        "no_data.png": _png(4, 4, data=None),
        "crc.png": whole[:40] + b"\xff" + whole[41:],
        "signature.png": whole[:8],
        "header.png": whole[:33],
        "text_bomb.png": _png(40, 24, data=rows, extra=_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        "profile.png": _png(40, 24, data=rows, extra=_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"nonsense" * 20))),
        "minus.pgm": b"P5 -4 4 255\n" + bytes(16),
        "nothing.pgm": b"P5 0 4 255\n",
        "huge.pgm": b"P5 99999999999 4 255\n",
        "levels.pgm": b"P5 4 4 70000\n" + bytes(64),
        "short.pgm": b"P5 40 24 255\n" + bytes(10),
        "zero.bmp": b"BM" + bytes(52),
        "zero.gif": b"GIF89a" + bytes(20),
        "zero.webp": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8),
        "zero.tif": b"II*\0\0\0\0\0",
        "round.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "big.tif": b"II+\0\x08\0\0\0" + bytes(30),
        "ones.tif": b"MM\0*" + b"\xff" * 20,
    }


def make_odd(folder: Path) -> list[str]:
    """Odd files beside those of `make_world`; returns the names of those that are called pictures."""
    photo = photo_array()
    whole = (folder / "photo.png").read_bytes()
    contents = _contents(whole, (folder / "texts.zip").read_bytes())
    contents |= dict.fromkeys((*UNREAD, os.fsdecode(b"raw\xff.png")), b"no picture")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for index, text in enumerate(CONFIGS):
        (folder / f"{index}.json").write_text(text)
    frames = [Image.fromarray(np.roll(photo, i, 0)) for i in range(3)]
    for name in ("frames.gif", "frames.webp", "frames.png"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    for name, image in {
        "dot.png": photo[:1, :1],
        "row.png": np.repeat(photo, 30, 1)[:1],
        "column.png": photo[:, :1],
        "clear.png": np.dstack([photo, photo[..., :1] * 0]),
        "whole.tif": np.zeros((24, 40), np.int32),
        "nan.tif": np.full((24, 40), np.nan, np.float32),
        "float.tif": np.full((24, 40), 1e30, np.float32),
    }.items():
        Image.fromarray(image).save(folder / name)
    for mode in ("CMYK", "LAB", "1"):
        Image.fromarray(photo).convert(mode).save(folder / f"{mode}.tif")
    (folder / "dir.png").mkdir()
    (folder / "folder").mkdir()
    (folder / "folder/model_index.json").write_text("{}")
    (folder / "{}.json").write_text("{}")
    (folder / "empty.pth").write_bytes(b"\x80\x02}q\x00.")
    torch.save({"a": torch.zeros(2)}, folder / "other.pth")
    torch.save([1, 2], folder / "list.pth")
    shutil.copy(folder / "texts.zip", folder / "zip.pth")
    save_file({"w": torch.zeros(3)}, folder / "other.safetensors")
    save_file({"w": torch.zeros(3)}, folder / "bare.safetensors", {"format": "pt", "config": "{}"})
    save_file({}, folder / "none.safetensors")
    (folder / "long.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    (folder / "headless.safetensors").write_bytes(struct.pack("<Q", 20) + b'{"a":{"dtype":"F32"}}')
    (folder / "mixed").mkdir()
    (folder / "mixed/a.png").write_bytes(whole)
    (folder / "mixed/b.png").write_bytes(whole[:90])
    for name, member, content in (
        ("up.zip", "../../evil.png", whole),
        ("cut.zip", "a.png", whole[:90]),
        ("nested.zip", "b.zip", (folder / "texts.zip").read_bytes()),
        ("folders.zip", "a.png/", b""),
    ):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(member, content)
    more = ("dot.png", "row.png", "column.png", "clear.png", "whole.tif", "nan.tif", "float.tif", "CMYK.tif", "LAB.tif")
    return [*contents, *more, "1.tif", "frames.gif", "frames.webp", "frames.png", "dir.png"]


def commands(pictures: list[str]) -> Iterator[Words]:
    """Every command with something odd in one place."""
    out = ("-o", "new.png")
    inpaint, colorize = ("inpaint", "photo.png", "--mask", "mask.png"), ("colorize", "gray.png")
    for name in (*pictures, *NAMES):
        yield "inpaint", name, "--mask", "mask.png", *out
        yield "inpaint", "photo.png", "--mask", name, *out
        for command in ("colorize", "denoise", "upscale"):
            yield command, name, *out
        yield *colorize, "--hints", name, *out
        yield "deblur", name, "--kernel", "disk:1", *out
        yield "deblur", "photo.png", "--kernel", name, *out
        yield "interpolate", name, "photo.png", *out
        yield "likelihood", name, "--rtol", "0.1"
        yield "evaluate", name, "--reference", "scans"
        yield "convert", name, "--config", "vp/cifar10_ddpm", "-o", "new.safetensors"
        yield "convert", name, "-o", "new.safetensors"
        yield "models", "show", name
        yield *EVALUATE, "--inception", name
        yield "evaluate", "scans", "--reference", name
    for name in (*NAMES, "sub", "NEW.JPEG", "new.png.part", "/dev/full", "model.safetensors", "/proc/x.png", "dir.png"):
        for words in (inpaint, colorize, DENOISE, SAMPLE, INTERPOLATE, CONVERT[:-2]):
            yield *words, "-o", name
        yield *LIKELIHOOD, "--csv", name, "--rtol", "0.1"
        yield *inpaint, *out, "--samples", "2", "--uncertainty", name
    for name in (*NAMES, *MODELS):
        for words in ((*inpaint, *out), (*colorize, *out), (*SAMPLE, *out), (*DENOISE, *out), LIKELIHOOD):
            yield *words, "--model", name
        yield *EVALUATE, "--classifier", name
        yield *SAMPLE, *out, "--class", "1", "--classifier", name
        yield *TRAIN, "--steps", "1", "--out", "newrun", "--init", name
    for name in (
        *NAMES,
        *(f"{i}.json" for i in range(len(CONFIGS))),
        "VE/cifar10_ncsnpp_continuous",
        "ve",
        "ve/",
        "/ve",
    ):
        yield "convert", "other.pth", "--config", name, "-o", "new.safetensors"
        yield "train", "--config", name, "--steps", "1", "--out", "newrun"
    for name in (
        "up.zip",
        "cut.zip",
        "nested.zip",
        "folders.zip",
        "zero.bmp",
        "dir.png",
        "bomb.png",
        "/dev/tty",
        "/proc/1",
    ):
        yield *TRAIN, "--data", name, "--steps", "1", "--out", "newrun"
    yield from _values(inpaint, colorize, out)


def _values(inpaint: Words, colorize: Words, out: Words) -> Iterator[Words]:
    train = (*TRAIN, "--data", "scans", "--out", "newrun")
    deblur = ("deblur", "photo.png", *out)
    for words, options in (
        ((*inpaint, *out), ("--steps", "--samples", "--grow", "--frame", "--seed", "--threads", "--quality")),
        ((*colorize, *out), ("--steps", "--samples", "--frame")),
        ((*DENOISE, *out), ("--steps", "--samples")),
        ((*UPSCALED, *out), ("--factor", "--samples")),
        (("sample", *out), ("--count", "--steps", "--corrector-steps", "--seed")),
        ((*INTERPOLATE, *out), ("--count", "--steps")),
        (LIKELIHOOD, ("--repeats", "--steps")),
        (train, ("--steps", "--batch-size")),
    ):
        for option in options:
            yield from ((*words, f"{option}={value}") for value in WHOLE)
    for words, options in (
        ((*inpaint, *out), ("--start", "--mask-threshold")),
        ((*colorize, *out), ("--saturation", "--temperature", "--start")),
        ((*DENOISE, *out), ("--noise",)),
        ((*UPSCALED, *out), ("--noise",)),
        ((*deblur, "--kernel", "disk:1"), ("--noise",)),
        ((*SAMPLE, *out), ("--snr", "--rtol")),
        ((*INTERPOLATE, *out), ("--temperature",)),
        ((*train, "--steps", "1"), ("--minutes", "--learning-rate", "--sigma-max")),
    ):
        for option in options:
            yield from ((*words, f"{option}={value}") for value in NUMBERS)
    for kernel in (
        "gaussian:1:2",
        "GAUSSIAN:1",
        "motion:5,1e308",
        "motion:,",
        "disk:200",
        "motion:200,45",
        "disk:1e-9",
    ):
        yield *deblur, "--kernel", kernel
    for number in ("x", "\u0663", "9" * 20, "-1", "horse "):
        yield *EVALUATE, "--class", number
        yield *SAMPLE, *out, "--class", number, "--classifier", "cifar10-classifier"
    for more in (
        ("--device", "cuda:7"),
        ("--precision", "float16"),
        ("--steps", "3", "--steps", "0"),
        ("--", "-x.png"),
    ):
        yield *inpaint, *out, *more


UPSCALED = ("upscale", "small.png")


def completed(words: Words) -> list[str]:
    """The command with a small model and few steps, where it does not say which."""
    given = {word.partition("=")[0] for word in words}
    more = []
    if words[0] not in ("evaluate", "convert", "models", "train") and "--model" not in given:
        more += ["--model", "model.safetensors"]
    if words[0] in ("inpaint", "colorize", "sample", "interpolate") and not {"--steps", "--rtol"} & given:
        more += ["--steps", "2"]
    return list(words) + ([] if "--" in given else more)


def fault(words: Words, folder: Path) -> str | None:
    """What is wrong with how a command ended; None: it did what it should."""
    before, started = state(folder), time.process_time()
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    kept = sys.argv, sys.stdin, sys.stdout, sys.stderr
    with Path(os.devnull).open() as nothing:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = ["scoreinv", *completed(words)], nothing, out, err
        try:
            status = main()
        except BaseException as error:
            return f"raised {type(error).__name__}: {error}"
        finally:
            sys.argv, sys.stdin, sys.stdout, sys.stderr = kept
    seconds, after, said = time.process_time() - started, state(folder), err.getvalue()
    printed = out.buffer.getvalue()
    _clear(folder, set(after) - set(before))
    replaced = [path for path in before if Path(path).is_file() and after.get(path) != before[path]]
    wrong = {
        f"status {status}": status not in (0, 2),
        f"{seconds:.1f} s": seconds > SECONDS,
        "an error that nobody foresaw": "--debug shows where" in said,
        "a control character": any(ord(letter) < 32 and letter != "\n" for letter in said),
        f"replaced {replaced}": bool(replaced),
        "not one error": status == 2 and [line[:17] for line in said.splitlines()].count("scoreinv: error: ") != 1,
        "stdout": status == 2 and printed != b"",
        "left something": status == 2 and after != before,
    }
    found = [words for words, holds in wrong.items() if holds]
    return f"{', '.join(found)}: {said[:300]!r}" if found else None


def _clear(folder: Path, made: set[str]) -> None:
    for path in map(Path, sorted(made, reverse=True)):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _run(folder: Path, wanted: list[str]) -> int:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = folder / "small.safetensors"
    save_model(model, small_config().build(), small_config(), half=False, notes={})
    world = folder / "world"
    world.mkdir()
    make_world(world, model)
    pictures = make_odd(world)
    os.chdir(world)
    known, counts, faults = {case.words for case in CASES}, dict.fromkeys(wanted, 0), 0
    for words in dict.fromkeys(commands(pictures)):
        if words in known or (wanted and words[0] not in wanted):
            continue
        counts[words[0]] = counts.get(words[0], 0) + 1
        if found := fault(words, world):
            faults += 1
            sys.stdout.write(f"{[word[:60] for word in words]}: {found}\n")
    sys.stdout.write(f"{faults} of {sum(counts.values())} commands: {counts}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(_run(Path(scratch), sys.argv[1:]))
