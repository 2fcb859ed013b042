"""A table of what users get wrong: commands, by kinds, and what each is told.

`PYTHONPATH=tests python tests/cli/bad_input.py` counts it.

Every command of the table ends with its status, one line on stderr that holds the words beside it, an empty stdout, and
nothing written or changed (`test_bad_input_table.py`). They run in `make_world`'s folder.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from shell import hole_array, photo_array

LONG = "n" * 250 + ".png"
"""A name at the file system's limit, of 254 bytes."""
BIG, HUGE, ENDLESS = str(10**9), str(2**70), "9" * 5000
INPAINT = ("inpaint", "photo.png", "--mask", "mask.png")
COLORIZE = ("colorize", "gray.png")
DENOISE = ("denoise", "photo.png")
RESTORE = ("restore", "photo.png")
UPSCALE = ("upscale", "photo.png")
DEBLUR = ("deblur", "photo.png", "--kernel", "gaussian:1")
SAMPLE = ("sample", "-n", "1")
INTERPOLATE = ("interpolate", "photo.png", "photo2.png")
LIKELIHOOD = ("likelihood", "photo.png")
EVALUATE = ("evaluate", "scans", "--reference", "scans")
CONVERT = ("convert", "weights.pth", "--config", "vp/cifar10_ddpm", "-o", "new.safetensors")
TRAIN = ("train", "--sde", "ve")


@dataclass(frozen=True)
class Case:
    """A command and what it is told.

    Attributes:
        kind: what is wrong.
        words: of the command line.
        said: words of the error.
        code: its exit status.
    """

    kind: str
    words: tuple[str, ...]
    said: str
    code: int = 2

    def __str__(self) -> str:
        line = shlex.join(word if len(word) < 60 else f"{word[:20]}..." for word in self.words)
        return f"{self.kind}: {line}"


def make_world(folder: Path, model: Path) -> None:
    """What the commands of the table are about."""
    photo = photo_array()

    def save(name: str, pixels: np.ndarray, **more: object) -> None:
        Image.fromarray(pixels.astype(np.uint8) if pixels.dtype == bool else pixels).save(folder / name, **more)

    for name in ("scans", "masks", "pair", "empty", "sub", "no_masks", "twins", "texts", ".hidden"):
        (folder / name).mkdir()
    for name in (
        "photo.png",
        "photo2.png",
        "existing.png",
        "scans/a.png",
        "scans/c.png",
        "pair/a.png",
        ".hidden/a.png",
    ):
        save(name, photo)
    save("gray.png", photo_array(channels=1))
    save("scans/b.jpg", photo)
    mask = hole_array().astype(np.uint8) * 255
    for name in ("mask.png", "masks/a.png", "masks/b.png", "masks/c.png", "pair/b.png", "no_masks/z.png"):
        save(name, mask)
    for name in ("twins/a.png", "twins/a.tif"):
        save(name, mask)
    save("small.png", photo_array(12, 12))
    save("odd.png", photo_array(23, 41))
    save("odd_mask.png", mask[:23])
    save("narrow.png", mask[:, :30])
    save("nothing.png", mask * 0)
    save("everything.png", mask * 0 + 255)
    save("binary.png", mask // 255)
    save("clear.png", np.dstack([photo, np.full(photo.shape[:2], 90, np.uint8)]))
    save("hints.png", np.dstack([photo, mask]))
    save("hints_small.png", np.dstack([photo, mask])[:12, :12])
    save("deep.png", photo_array(channels=1, dtype=np.uint16))
    save("frames.tif", photo, save_all=True, append_images=[Image.fromarray(photo)])
    whole = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "void.png").write_bytes(b"")
    (folder / "text.png").write_text("a letter")
    (folder / "texts/notes.txt").write_text("a letter")
    (folder / "model.safetensors").write_bytes(model.read_bytes())
    (folder / "cut.safetensors").write_bytes(model.read_bytes()[:3000])
    (folder / "void.safetensors").write_bytes(b"")
    (folder / "text.safetensors").write_text("a letter")
    (folder / "weights.pth").write_text("no pickle")
    (folder / "notes.json").write_text("{")
    (folder / "list.json").write_text("[1]")
    (folder / "table.csv").write_text("a,b\n")
    with zipfile.ZipFile(folder / "texts.zip", "w") as archive:
        archive.writestr("notes.txt", "a letter")
    (folder / "results").mkdir()
    (folder / "results/000001.png").write_bytes(whole)
    (folder / "other").mkdir()
    (folder / "other/manifest.csv").write_text("another,table\n")
    (folder / "taken").mkdir()
    (folder / "taken/manifest.csv").mkdir()
    (folder / "names").mkdir()
    with suppress(OSError):
        save(f"names/{LONG}", photo)
    (folder / "runs.d").mkdir()
    (folder / "runs.d/config.json").write_text(json.dumps({"model": 1}))
    if os.name == "posix":
        _make_special(folder)


def _make_special(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "ring.png").symlink_to("ring2.png")
    (folder / "ring2.png").symlink_to("ring.png")
    (folder / "ring").symlink_to("ring2")
    (folder / "ring2").symlink_to("ring")
    (folder / "dangling.png").symlink_to("gone.png")
    (folder / "null.png").symlink_to("/dev/null")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "zero.safetensors").symlink_to("/dev/zero")
    (folder / "same.png").hardlink_to(folder / "photo.png")
    (folder / "link.png").symlink_to("photo.png")
    (folder / "mask_link.png").symlink_to("mask.png")
    (folder / "linked").symlink_to("scans")
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.png")
    finally:
        os.chdir(here)
        os.close(here)


def _empty() -> Iterator[tuple[tuple[str, ...], str]]:
    for words, options in (
        (INPAINT, ("-o", "--model", "--uncertainty", "--color-model", "--start", "--mask", "--format")),
        (COLORIZE, ("-o", "--model", "--uncertainty", "--hints", "--start", "--gray-weights", "--tint")),
        (DENOISE, ("-o", "--model", "--uncertainty", "--noise", "--estimate")),
        (RESTORE, ("-o", "--mask", "--hints", "--noise", "--sensitivity", "--steps-to", "--damage-model")),
        (UPSCALE, ("-o", "--model", "--factor", "--downsampling", "--method")),
        (DEBLUR, ("-o", "--model", "--kernel", "--noise", "--format")),
        (SAMPLE, ("-o", "--model", "--class", "--classifier", "--predictor", "--sampler")),
        (INTERPOLATE, ("-o", "--model")),
        (LIKELIHOOD, ("--model", "--csv", "--probe")),
        (EVALUATE, ("--reference", "--classifier", "--class", "--inception")),
        (CONVERT, ("-o", "--config")),
        (TRAIN, ("--data", "--out", "--init", "--sigma-max")),
        (("train",), ("--config", "--sde")),
    ):
        for option in options:
            yield (*words, option, ""), "--output" if option == "-o" else option
            yield (*words, f"{'--output' if option == '-o' else option}="), option.removeprefix("-")
    for words, said in (
        (("inpaint", "", "--mask", "mask.png"), "PHOTO: is empty"),
        (("inpaint", "photo.png", "", "--mask", "mask.png"), "PHOTO: is empty"),
        (("inpaint", "scans", "", "--mask", "masks"), "PHOTO: is empty"),
        (("inpaint", "photo.png", "--mask", ""), "--mask: is empty"),
        (("colorize", ""), "GRAY: is empty"),
        (("colorize", "", ""), "GRAY: is empty"),
        (("denoise", ""), "PHOTO: is empty"),
        (("restore", ""), "PHOTO: is empty"),
        (("upscale", "photo.png", ""), "PHOTO: is empty"),
        (("interpolate", "", "photo.png"), "A: is empty"),
        (("interpolate", "photo.png", ""), "B: is empty"),
        (("likelihood", ""), "IMAGE: is empty"),
        (("evaluate", "", "--reference", "scans"), "GENERATED: is empty"),
        (("convert", "", "-o", "new.safetensors"), "SRC: is empty"),
        (("models", "show", ""), "NAME: is empty"),
    ):
        yield words, said


def _missing() -> Iterator[tuple[tuple[str, ...], str]]:
    for gone in ("gone.png", "sub/gone.png", "nowhere/gone.png", "./gone.png", "photo.png/gone.png", " photo.png"):
        yield ("inpaint", gone, "--mask", "mask.png"), gone
        yield ("inpaint", "photo.png", "--mask", gone), gone
        yield ("colorize", gone), gone
        yield ("likelihood", gone), gone
        yield ("interpolate", "photo.png", gone), gone
        yield (*COLORIZE, "--hints", gone), gone
        yield ("denoise", gone), gone
        yield ("restore", gone), gone
        yield (*RESTORE, "--mask", gone), gone
        yield (*RESTORE, "--hints", gone), gone
        yield ("upscale", gone), gone
        yield ("deblur", "photo.png", "--kernel", gone), gone
    yield from (
        ((*INPAINT, "--model", "gone.safetensors"), "gone.safetensors: no such model file"),
        ((*INPAINT, "--model", "sub/"), "no such model file"),
        ((*INPAINT, "--model", "phto"), "no bundled model is named 'phto'"),
        ((*INPAINT, "--model", "hf:"), "hf:"),
        ((*INPAINT, "--colorize", "--color-model", "phto"), "no bundled model is named 'phto'"),
        ((*COLORIZE, "--model", "gone.safetensors"), "gone.safetensors: no such model file"),
        ((*RESTORE, "--damage-model", "gone.safetensors"), "gone.safetensors: no such model file"),
        ((*RESTORE, "--inpaint-model", "phto"), "no bundled model is named 'phto'"),
        ((*RESTORE, "--denoise-model", "phto"), "no bundled model is named 'phto'"),
        ((*RESTORE, "--color-model", "phto"), "no bundled model is named 'phto'"),
        ((*SAMPLE, "--model", "ve/church_ncsnpp_continuous"), "a published model, not bundled"),
        ((*SAMPLE, "--class", "1", "--classifier", "gone.safetensors"), "--class: needs a classifier"),
        ((*LIKELIHOOD, "--model", "gone.safetensors"), "gone.safetensors: no such model file"),
        (("models", "show", "phto"), "no bundled model is named 'phto'"),
        (("models", "show", "sub/gone.safetensors"), "no such model file"),
        (("evaluate", "gone", "--reference", "scans"), "GENERATED gone: no such folder"),
        (("evaluate", "scans", "--reference", "gone"), "--reference gone: no such folder"),
        (("evaluate", "photo.png", "--reference", "scans"), "photo.png: is a file: give a folder"),
        ((*EVALUATE, "--inception", "gone.pth"), "--inception gone.pth: no such file"),
        ((*EVALUATE, "--classifier", "gone.safetensors"), "gone.safetensors: no such model file"),
        (("convert", "gone.pth", "--config", "vp/cifar10_ddpm", "-o", "new.safetensors"), "gone.pth: no such file"),
        ((*TRAIN, "--data", "gone"), "gone: no such folder"),
        (("train", "--config", "gone.json"), "gone.json"),
        (("train", "--config", "ve/no_such_model"), "ve/no_such_model"),
        ((*TRAIN, "--init", "gone.safetensors", "--out", "new"), "gone.safetensors"),
    )


def _damaged() -> Iterator[tuple[tuple[str, ...], str]]:
    for name in ("cut.png", "void.png", "text.png", "model.safetensors", "table.csv", "sub"):
        yield ("interpolate", "photo.png", name), name
        yield ("interpolate", name, "photo.png"), name
        if name == "sub":
            continue
        yield ("inpaint", name, "--mask", "mask.png", "-o", "new.png"), name
        yield ("inpaint", "photo.png", "--mask", name), name
        yield ("colorize", name, "-o", "new.png"), name
        yield ("likelihood", name), name
        yield (*COLORIZE, "--hints", name), name
        yield ("denoise", name, "-o", "new.png"), name
        yield ("restore", name, "-o", "new.png"), name
        yield (*RESTORE, "--mask", name), name
        yield (*RESTORE, "--hints", name), name
        yield ("upscale", name, "-o", "new.png"), name
        yield ("deblur", name, "--kernel", "disk:1", "-o", "new.png"), name
        yield ("deblur", "photo.png", "--kernel", name), name
    for name in ("cut.safetensors", "void.safetensors", "text.safetensors", "weights.pth", "photo.png", "notes.json"):
        yield (*INPAINT, "--model", name), name
        yield (*COLORIZE, "--model", name), name
        yield (*SAMPLE, "--model", name), name
        yield (*LIKELIHOOD, "--model", name), name
        yield (*DENOISE, "--model", name), name
        yield (*RESTORE, "--damage-model", name), name
        yield (*INTERPOLATE, "--model", name), name
        yield ("models", "show", name), name
    for name in ("notes.json", "list.json", "photo.png"):
        yield ("convert", "weights.pth", "--config", name, "-o", "new.safetensors"), name
    for name in ("notes.json", "list.json"):
        yield ("train", "--config", name, "--out", "new"), name
    for name in ("photo.png", "void.png"):
        yield (*TRAIN, "--data", name, "--out", "new"), f"{name}: neither a folder nor a readable zip file"
    yield (*TRAIN, "--data", "texts", "--out", "new"), "texts: "
    yield (*TRAIN, "--data", "empty", "--out", "new"), "empty: holds no pictures"
    yield (*TRAIN, "--data", "scans", "--out", "photo.png"), "photo.png: cannot be written"
    yield (*TRAIN, "--data", "scans", "--out", "photo.png/new"), "cannot be written"
    yield CONVERT, "weights.pth"
    yield (*EVALUATE, "--inception", "weights.pth"), "weights.pth: holds no weights"
    yield (*EVALUATE, "--inception", "photo.png"), "photo.png: holds no weights"
    yield ("evaluate", "texts", "--reference", "scans"), "texts: no pictures in this folder"
    yield ("evaluate", "scans", "--reference", "empty"), "empty: no pictures in this folder"


def _out_of_range() -> Iterator[tuple[tuple[str, ...], str]]:
    no_whole = ("none", "1.5", "1e9", "nan", "inf", "0x10", "-1", HUGE, ENDLESS)
    no_number = ("none", "nan", "inf", "-inf", "1e400", "1,5")
    for words, option, more in (
        (INPAINT, "--steps", ("0", BIG)),
        (INPAINT, "--samples", ("0", BIG)),
        (INPAINT, "--grow", (BIG,)),
        (INPAINT, "--frame", ()),
        (INPAINT, "--seed", (str(2**63), str(2**64))),
        (INPAINT, "--threads", ("0", BIG)),
        (INPAINT, "--quality", ("0", "101")),
        (COLORIZE, "--steps", ("0", BIG)),
        (COLORIZE, "--samples", ("0", BIG)),
        (DENOISE, "--samples", ("0", BIG)),
        (RESTORE, "--samples", ("0", BIG)),
        (UPSCALE, "--factor", ("0", "1", "5")),
        (DEBLUR, "--steps", ("0", BIG)),
        (SAMPLE, "--steps", ("0", BIG)),
        (SAMPLE, "--count", ("0", BIG)),
        (SAMPLE, "--corrector-steps", (BIG,)),
        (SAMPLE, "--seed", (str(2**63),)),
        (INTERPOLATE, "--count", ("0", "1", BIG)),
        (INTERPOLATE, "--steps", ("0", BIG)),
        (LIKELIHOOD, "--repeats", ("0", BIG)),
        (LIKELIHOOD, "--steps", ("0", BIG)),
        (TRAIN, "--steps", ("0", BIG)),
        (TRAIN, "--batch-size", ("0", BIG)),
    ):
        for value in (*no_whole, *more):
            if value == HUGE and option == "--frame":
                continue  # of a photo of one frame, told when it is read
            yield (*words, f"{option}={value}"), option
    for words, option, more in (
        (INPAINT, "--start", ("0", "-1", "soon")),
        (INPAINT, "--mask-threshold", ("-0.1", "1.1", "1")),
        (COLORIZE, "--start", ("0", "-1", "soon")),
        (COLORIZE, "--saturation", ("-1", "11")),
        (COLORIZE, "--temperature", ("-1", "3")),
        (DENOISE, "--noise", ("-1", "256")),
        (RESTORE, "--noise", ("-1", "256")),
        (RESTORE, "--sensitivity", ("-0.1", "1.1")),
        (UPSCALE, "--noise", ("-1", "256")),
        (DEBLUR, "--noise", ("-1", "256")),
        (SAMPLE, "--snr", ("0", "-1", "11")),
        (SAMPLE, "--rtol", ("0", "-1", "1")),
        ((*SAMPLE, "--class", "1"), "--guidance", ("-1", "1e9")),
        (INTERPOLATE, "--temperature", ("-1", "101")),
        (LIKELIHOOD, "--rtol", ("0", "-1", "1")),
        (TRAIN, "--minutes", ("0", "-1", "1e300")),
        (TRAIN, "--learning-rate", ("0", "-1", "1e9")),
        (TRAIN, "--sigma-max", ("0", "-1", "0.001")),
    ):
        for value in (*no_number, *more):
            yield (*words, f"{option}={value}"), option
    for name, values in (
        ("gaussian", ("", "0", "-1", "201", "wide", "nan", "1,2", "1e400")),
        ("disk", ("", "0", "-1", "201", "wide", "inf")),
        ("motion", ("", "5", "0,5", "-1,5", "201,5", "5,up", "1,2,3")),
    ):
        yield ("deblur", "photo.png", "--kernel", name), f"{name}: needs its size"
        for value in values:
            yield ("deblur", "photo.png", "--kernel", f"{name}:{value}"), "pixels" if value else name
    yield ("deblur", "photo.png", "--kernel", "motion:5,inf"), "must be a number of degrees"
    for level in ("0", "0.5", "1.2"):
        yield (*DENOISE, "--noise", level), "grey levels of 255 is out of the model's range"
        yield (*RESTORE, "--noise", level), "grey levels of 255 is out of the model's range"


def _choices() -> Iterator[tuple[tuple[str, ...], str]]:
    for words, option in (
        (INPAINT, "--method"),
        (INPAINT, "--estimate"),
        (INPAINT, "--format"),
        (INPAINT, "--device"),
        (INPAINT, "--precision"),
        (COLORIZE, "--gray-weights"),
        (COLORIZE, "--tint"),
        (DENOISE, "--estimate"),
        (UPSCALE, "--downsampling"),
        (UPSCALE, "--method"),
        (DEBLUR, "--method"),
        (SAMPLE, "--sampler"),
        (SAMPLE, "--predictor"),
        (SAMPLE, "--corrector"),
        (LIKELIHOOD, "--probe"),
        (("train",), "--sde"),
    ):
        yield (*words, option, "magic"), option
        yield (*words, option, "PC "), option


def _usage() -> Iterator[tuple[tuple[str, ...], str]]:
    yield from (
        (("nonsense",), "nonsense"),
        (("--nonsense",), "--nonsense"),
        (("inpaint",), "Missing"),
        (("inpaint", "photo.png"), "--mask"),
        (("inpaint", "--mask", "mask.png"), "PHOTO"),
        (("inpaint", "photo.png", "--mask"), "--mask"),
        ((*INPAINT, "--nonsense"), "--nonsense"),
        ((*INPAINT, "--step", "5", "--nonsense"), "--"),
        ((*INPAINT, "--quiet=yes"), "--quiet"),
        ((*INPAINT, "-z"), "-z"),
        (("colorize",), "GRAY"),
        ((*COLORIZE, "--mask", "mask.png"), "--mask"),
        (("denoise",), "PHOTO"),
        (("restore",), "PHOTO"),
        ((*RESTORE, "--model", "photo"), "--model"),
        ((*RESTORE, "--estimate", "mean"), "--estimate"),
        ((*DENOISE, "--factor", "2"), "--factor"),
        ((*DENOISE, "--method", "dpir"), "--method"),
        ((*UPSCALE, "--kernel", "disk:1"), "--kernel"),
        (("deblur", "photo.png"), "--kernel"),
        (("deblur", "--kernel", "disk:1"), "PHOTO"),
        (("sample", "photo.png"), "photo.png"),
        (("interpolate",), "A"),
        (("interpolate", "photo.png"), "B"),
        (("interpolate", "photo.png", "photo2.png", "photo.png"), "photo.png"),
        (("likelihood",), "IMAGE"),
        (("evaluate",), "Missing"),
        (("evaluate", "scans"), "--reference"),
        (("convert",), "Missing"),
        (("convert", "weights.pth"), "-o"),
        (("models", "nonsense"), "nonsense"),
        (("models", "show"), "NAME"),
        (("models", "show", "photo", "scene"), "scene"),
        (("models", "list", "photo"), "photo"),
        (("train",), "say what to train"),
    )


def _together() -> Iterator[tuple[tuple[str, ...], str]]:
    yield from (
        ((*INPAINT, "--method", "conditioned", "--start", "1"), "--start does not go with conditioned"),
        ((*INPAINT, "--method", "pc", "--estimate", "mean"), "--estimate mean of pc is that of several"),
        ((*INPAINT, "--estimate", "mean"), "--estimate mean of pc is that of several"),
        ((*INPAINT, "--method", "conditioned"), "trained without observations"),
        ((*INPAINT, "--color-model", "scene"), "--color-model belongs to --colorize"),
        ((*RESTORE, "--mask", "mask.png", "--no-inpaint"), "--mask does not go with --no-inpaint"),
        ((*RESTORE, "--mask", "mask.png", "--sensitivity", "0.7"), "it has no effect with --mask or --no-inpaint"),
        ((*RESTORE, "--no-inpaint", "--sensitivity", "0.7"), "--sensitivity controls damage detection"),
        ((*RESTORE, "--hints", "hints.png", "--no-colorize"), "--hints do not go with --no-colorize"),
        ((*RESTORE, "--noise", "9", "--no-denoise"), "--noise does not go with --no-denoise"),
        ((*RESTORE, "--invert-mask"), "belong to --mask"),
        ((*RESTORE, "--grow", "2", "--no-inpaint"), "--grow does not go with --no-inpaint"),
        ((*RESTORE, "--no-inpaint", "--no-denoise", "--no-colorize", "--keep-tint"), "nothing is done"),
        ((*RESTORE, "--mask", "narrow.png"), "narrow.png: the mask is 30x24, the photo 40x24"),
        ((*RESTORE, "--mask", "nothing.png"), "nothing.png: the mask has no hole"),
        ((*RESTORE, "--mask", "photo.png"), "--mask photo.png: is a photo itself"),
        ((*RESTORE, "--hints", "hints_small.png"), "hints_small.png: the hints are 12x12, the photo is 40x24"),
        ((*RESTORE, "--mask", "mask.png", "-o", "mask.png", "--overwrite"), "-o mask.png: is the mask"),
        ((*RESTORE, "--hints", "hints.png", "-o", "hints.png", "--overwrite"), "-o hints.png: is the hints"),
        ((*RESTORE, "--steps-to", "photo.png"), "photo.png"),
        ((*RESTORE, "--steps-to", "photo.png/sub"), "photo.png: is no folder"),
        (("restore", "scans", "--steps-to", "scans"), "--steps-to scans: is a folder of the photos"),
        (("restore", "scans", "-o", "new.png"), "with several inputs the output is a folder"),
        ((*INPAINT, "--uncertainty", "u.png"), "--samples 4"),
        ((*INPAINT, "--uncertainty", "u.jpg", "--samples", "2"), "--uncertainty u.jpg"),
        ((*INPAINT, "--uncertainty", "-", "--samples", "2"), "--uncertainty -"),
        (("inpaint", "scans", "--mask", "masks", "--uncertainty", "u.png", "--samples", "2"), "--uncertainty"),
        ((*INPAINT, "--quality", "80"), "--quality"),
        ((*INPAINT, "-o", "new.tif", "--quality", "80"), "--quality"),
        ((*INPAINT, "-o", "new.tif", "--format", "jpg"), "give one of them"),
        ((*INPAINT, "-o", "-", "--format", "jpg"), "give one of them"),
        ((*INPAINT, "-o", "-", "--samples", "2"), "--samples: several do not fit on stdout"),
        ((*INPAINT, "--frame", "3"), "--frame"),
        (("inpaint", "-", "--mask", "-"), "stdin can be read once"),
        (("inpaint", "-", "photo.png", "--mask", "mask.png"), "cannot be combined"),
        (("inpaint", "scans", "-", "--mask", "mask.png"), "cannot be combined"),
        (("inpaint", "scans", "--mask", "-"), "stdin can be read once"),
        ((*COLORIZE, "--hints", "-"), "--hints -"),
        ((*COLORIZE, "--method", "pc", "--temperature", "1"), "--temperature"),
        ((*COLORIZE, "--start", "1", "--temperature", "1"), "--temperature"),
        ((*COLORIZE, "--temperature", "1"), "--temperature belongs to the method conditioned"),
        ((*COLORIZE, "--estimate", "mean", "--temperature", "1"), "--temperature does not go with the posterior mean"),
        (
            ("inpaint", "gone.png", *INPAINT[2:], "--colorize", "--estimate", "mean", "--temperature", "1"),
            "--temperature does not go with the posterior mean",  # before anything is read
        ),
        ((*COLORIZE, "--hints", "gray.png"), "transparency"),
        ((*COLORIZE, "--hints", "hints_small.png"), "12x12"),
        ((*DENOISE, "--steps", "5"), "--steps"),
        ((*DENOISE, "--estimate", "mean", "--steps", "5"), "--steps"),
        ((*DENOISE, "--orientations", "3"), "--orientations must be 1, 2, 4 or 8, not 3"),
        ((*DENOISE, "--orientations", "8", "--samples", "2"), "--orientations belong to the estimate mean"),
        ((*COLORIZE, "--uncertainty", "u.png"), "--samples 4"),
        ((*DENOISE, "--uncertainty", "u.png"), "--samples 4"),
        ((*DENOISE, "--uncertainty", "u.jpg", "--samples", "2"), "--uncertainty u.jpg"),
        (("denoise", "scans", "--uncertainty", "u.png", "--samples", "2"), "--uncertainty"),
        ((*DENOISE, "--quality", "80"), "--quality"),
        ((*DENOISE, "-o", "-", "--samples", "2"), "--samples: several do not fit on stdout"),
        ((*DENOISE, "--frame", "3"), "--frame"),
        (("denoise", "-", "photo.png"), "cannot be combined"),
        ((*UPSCALE, "--method", "mmps", "--estimate", "mean"), "--estimate mean of mmps is that of several"),
        ((*UPSCALE, "--method", "dpir", "--samples", "2"), "--method dpir draws no samples"),
        ((*UPSCALE, "--method", "dpir", "--estimate", "sample"), "--method dpir draws no samples"),
        ((*UPSCALE, "--method", "pc", "--noise", "5"), "pc takes the observation for exact"),
        ((*DEBLUR, "--method", "pc"), "pc takes the observation for exact"),
        ((*DEBLUR, "--method", "ddrm"), "no singular value decomposition"),
        ((*DEBLUR, "--method", "ddnm"), "multiple of a projection"),
        (("deblur", "photo.png", "--kernel", "gaussian:9"), "the kernel is 73x73 and the picture 40x24"),
        (("deblur", "photo.png", "--kernel", "nothing.png"), "nothing.png: is black everywhere"),
        (("deblur", "-", "--kernel", "-"), "--kernel -"),
        ((*SAMPLE, "--sampler", "ode", "--steps", "5"), "--steps do not go with the sampler ode"),
        ((*SAMPLE, "--sampler", "ode", "--predictor", "none"), "--predictor belongs to the sampler pc, not to ode"),
        ((*SAMPLE, "--sampler", "multistep", "--snr", "1"), "--snr belongs to the sampler pc, not to multistep"),
        ((*SAMPLE, "--sampler", "multistep", "--corrector", "none"), "--corrector belongs to the sampler pc"),
        ((*SAMPLE, "--sampler", "ode", "--corrector-steps", "2"), "--corrector-steps belongs to the sampler pc"),
        ((*SAMPLE, "--sampler", "pc", "--rtol", "1e-3"), "--rtol belongs to the sampler ode, not to pc"),
        ((*SAMPLE, "--rtol", "1e-3", "--snr", "0.1"), "--rtol belongs to the sampler ode, not to pc"),
        ((*SAMPLE, "--rtol", "1e-3", "--steps", "9"), "--steps do not go with the sampler ode"),
        ((*SAMPLE, "--sampler", "ddim", "--churn", "5"), "--churn belongs to the sampler heun, not to ddim"),
        ((*SAMPLE, "--sampler", "heun", "--eta", "0.5"), "--eta belongs to the sampler ddim, not to heun"),
        ((*SAMPLE, "--churn", "5", "--eta", "0.5"), "--eta belongs to the sampler ddim, not to heun"),
        ((*SAMPLE, "--corrector", "none", "--snr", "0.1"), "--snr belongs to a corrector"),
        ((*SAMPLE, "--corrector", "none", "--corrector-steps", "2"), "--corrector-steps belongs to a corrector"),
        ((*SAMPLE, "--predictor", "none", "--corrector", "none"), "--predictor none leaves the work"),
        ((*SAMPLE, "--predictor", "none", "--corrector-steps", "0"), "--predictor none leaves the work"),
        ((*SAMPLE, "--rtol", "1e-3", "--precision", "bfloat16"), "--precision bfloat16"),
        ((*SAMPLE, "--guidance", "2"), "belong to --class"),
        ((*SAMPLE, "--classifier", "cifar10-classifier"), "belong to --class"),
        ((*SAMPLE, "--class", "horse"), "--classifier"),
        ((*SAMPLE, "--class", ENDLESS, "--classifier", "cifar10-classifier"), "there is no class"),
        ((*SAMPLE, "--class", "-1", "--classifier", "cifar10-classifier"), "there is no class"),
        ((*SAMPLE, "--class", "horse", "--classifier", "photo"), "not a classifier"),
        (("sample", "-n", "1", "-o", "new.tif", "--quality", "5"), "--quality"),
        (("interpolate", "-", "-"), "stdin"),
        (("interpolate", "-", "photo.png"), "-o"),
        (("interpolate", "photo.png", "small.png"), "small.png: is 12x12"),
        (("interpolate", ".", "photo.png"), ".: is a folder"),
        (("interpolate", "odd.png", "odd.png"), "odd.png: the picture is 41x23"),
        (("likelihood", "-", "photo.png"), "cannot be combined"),
        (("likelihood", "odd.png"), "odd.png: the picture is 41x23"),
        (("likelihood", "deep.png"), "8-bit"),
        ((*LIKELIHOOD, "--steps", "4", "--rtol", "1e-3"), "give one of them"),
        ((*LIKELIHOOD, "--model", "damage"), "it goes with `scoreinv damage`"),
        (("damage", "photo.png", "--model", "photo", "-o", "new.png"), "`scoreinv train --damage` makes what does"),
        ((*LIKELIHOOD, "--precision", "bfloat16"), "--precision bfloat16"),
        (("convert", "weights.pth", "-o", "new.safetensors"), "--config"),
        (("convert", "sub", "--config", "vp/cifar10_ddpm", "-o", "new.safetensors"), "leave out --config"),
        (("convert", "sub", "--raw", "-o", "new.safetensors"), "leave out --raw"),
        (("convert", "sub", "-o", "new.safetensors"), "sub"),
        ((*TRAIN, "--config", "notes.json"), "give one of them"),
        ((*TRAIN, "--resume"), "--out"),
        ((*TRAIN, "--resume", "--out", "new", "--init", "photo"), "--init and --resume"),
        (("train", "--resume", "--out", "empty"), "empty: holds no run"),
        (("train", "--config", "notes.json", "--conditional"), "--conditional: goes with --sde"),
        ((*TRAIN, "--classifier"), "--data"),
        ((*TRAIN, "--classifier", "--conditional", "--data", "scans"), "give one of them"),
        (("train", "--sde", "vp", "--sigma-max", "50"), "--sigma-max belongs to the VE SDE"),
        ((*TRAIN, "--sigma-max", "lots"), "--sigma-max lots"),
        (("train", "--config", "ve/ncsn/cifar10"), "no weights of them were published"),
    )


def _masks() -> Iterator[tuple[tuple[str, ...], str]]:
    yield from (
        (("inpaint", "photo.png", "--mask", "photo.png"), "--mask photo.png: is a photo itself"),
        (("inpaint", "./photo.png", "--mask", "photo.png"), "--mask photo.png: is a photo itself"),
        (("inpaint", "scans", "--mask", "scans"), "is a photo itself"),
        (("inpaint", "scans", "--mask", "scans/"), "is a photo itself"),
        (("inpaint", "scans", "--mask", "scans/a.png"), "--mask scans/a.png: is a photo itself"),
        (("inpaint", "scans/a.png", "--mask", "scans"), "is a photo itself"),
        (("inpaint", "scans/a.png", "scans/c.png", "--mask", "scans/a.png"), "is a photo itself"),
        (("inpaint", "pair", "--mask", "pair"), "is a photo itself"),
        (("inpaint", "photo.png", "--mask", "narrow.png"), "30x24"),
        (("inpaint", "photo.png", "--mask", "odd_mask.png"), "40x23"),
        (("inpaint", "photo.png", "--mask", "nothing.png"), "the largest value is 0 of 255"),
        (("inpaint", "photo.png", "--mask", "everything.png"), "no known pixel"),
        (("inpaint", "photo.png", "--mask", "binary.png"), "--mask-threshold 0"),
        (("inpaint", "photo.png", "--mask", "nothing.png", "--invert-mask"), "no known pixel"),
        ((*INPAINT, "--grow", "99999"), "grown by 99999 pixels"),
        (("inpaint", "photo.png", "--mask", "frames.tif"), "frames"),
        (("inpaint", "photo.png", "--mask", "no_masks"), "no_masks: no mask in this folder has the name"),
        (("inpaint", "absent.png", "--mask", "no_masks"), "absent.png: no such file"),
        (("inpaint", "scans", "--mask", "no_masks"), "no_masks: no mask in this folder has the name"),
        (("inpaint", "scans", "--mask", "empty"), "empty: no pictures in this folder"),
        (("inpaint", "scans", "--mask", "texts"), "texts: no pictures in this folder"),
        (("inpaint", "scans", "--mask", "twins"), "are masks of one name"),
    )


def _outputs() -> Iterator[tuple[tuple[str, ...], str]]:
    for words in (INPAINT, COLORIZE, DENOISE, UPSCALE, DEBLUR, SAMPLE, INTERPOLATE):
        for name, said in (
            ("existing.png", "existing.png: exists already"),
            ("new.gif", "new.gif") if words in (SAMPLE, INTERPOLATE) else ("new", "new"),
            ("new.xyz", "new.xyz"),
            ("new.PNG.txt", "new.PNG.txt"),
            ("nowhere/new.png", "nowhere"),
            ("photo.png/new.png", "photo.png"),
            ("photo.png/", "photo.png"),
            (f"{LONG}.png", "name"),
        ):
            yield (*words, "-o", name), said
        yield (*words, "-o", "model.png", "--model", "model.safetensors", "--quality", "3"), "--quality"
    for words, said in (
        ((*INPAINT, "-o", "photo.png"), "photo.png: exists already"),
        ((*INPAINT, "-o", "mask.png", "--overwrite"), "-o mask.png: is the mask"),
        ((*INPAINT, "-o", "./mask.png", "--overwrite"), "is the mask"),
        ((*COLORIZE, "-o", "hints.png", "--hints", "hints.png", "--overwrite"), "-o hints.png: is the hints"),
        (
            (*COLORIZE, "--hints", "hints.png", "--uncertainty", "hints.png", "--samples", "2", "--overwrite"),
            "--uncertainty hints.png: is the photo, the hints",
        ),
        ((*INPAINT, "-o", "new.jpg", "--uncertainty", "photo.png", "--samples", "2", "--overwrite"), "is the photo"),
        ((*INPAINT, "--uncertainty", "mask.png", "--samples", "2", "--overwrite"), "--uncertainty mask.png: is the"),
        (
            (*INPAINT, "-o", "new.png", "--uncertainty", "new.1.png", "--samples", "2"),
            "--uncertainty new.1.png: is the photo, the mask or a result",
        ),
        ((*INPAINT, "--uncertainty", "existing.png", "--samples", "2"), "existing.png: exists already"),
        ((*INPAINT, "--uncertainty", "nowhere/u.png", "--samples", "2"), "nowhere"),
        (("inpaint", "clear.png", "--mask", "mask.png", "-o", "new.jpg"), "transparency"),
        (("upscale", "clear.png", "-o", "new.jpg"), "transparency"),
        (
            ("deblur", "photo.png", "--kernel", "mask.png", "-o", "mask.png", "--overwrite"),
            "-o mask.png: is the kernel",
        ),
        ((*DENOISE, "-o", "u.png", "--uncertainty", "u.1.png", "--samples", "2"), "or a result"),
        ((*SAMPLE, "-o", "results/"), "exists already"),
        (
            (*LIKELIHOOD, "--csv", "table.csv"),
            "table.csv: exists already; --overwrite replaces it, --csv names another",
        ),
        ((*LIKELIHOOD, "--csv", "photo.png", "--overwrite"), "--csv photo.png: is one of the pictures"),
        ((*LIKELIHOOD, "--csv", "model.safetensors", "--model", "model.safetensors", "--overwrite"), "is the model"),
        ((*LIKELIHOOD, "--csv", "sub"), "--csv sub"),
        ((*LIKELIHOOD, "--csv", "-"), "--csv -"),
        ((*LIKELIHOOD, "--csv", "nowhere/table.csv"), "nowhere"),
        (("convert", "weights.pth", "--config", "vp/cifar10_ddpm", "-o", "new.pth"), ".safetensors"),
        (("convert", "weights.pth", "--config", "vp/cifar10_ddpm", "-o", "model.safetensors"), "exists already"),
        (
            ("convert", "weights.pth", "--config", "vp/cifar10_ddpm", "-o", "photo.png/a.safetensors"),
            "photo.png: is no folder",
        ),
    ):
        yield words, said


def _batches() -> Iterator[tuple[tuple[str, ...], str]]:
    yield from (
        (("inpaint", "empty", "--mask", "mask.png"), "empty: no pictures in this folder"),
        (("colorize", "texts"), "texts: no pictures in this folder"),
        (("colorize", ".hidden", "empty"), "empty: no pictures in this folder"),
        (("likelihood", "empty"), "empty: no pictures in this folder"),
        (("denoise", "empty"), "empty: no pictures in this folder"),
        (("upscale", "scans", "-o", "new.png"), "the output is a folder"),
        (("deblur", "scans", "--kernel", "disk:1", "-o", "other"), "manifest.csv: has columns of another version"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "new.png"), "the output is a folder"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "-"), "the output is a folder"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "photo.png"), "the output is a folder"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "photo.png/out"), "photo.png"),
        (("inpaint", "scans", "pair", "--mask", "mask.png", "-o", "new"), "would both be written"),
        (("colorize", "photo.png", "photo.png"), "would both be written"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "other"), "manifest.csv: has columns of another version"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "taken"), "manifest.csv: cannot be written to"),
        (("inpaint", "scans", "--mask", "mask.png", "--model", "gone.safetensors"), "gone.safetensors"),
        (("colorize", "scans", "--model", "text.safetensors", "-o", "new"), "text.safetensors"),
        (("inpaint", "scans", "--mask", "mask.png", "--quality", "9"), "--quality"),
        (("inpaint", "scans", "photo.png", "--mask", "mask.png", "-o", f"{LONG}.d/new"), "name"),
    )


def _special() -> Iterator[tuple[tuple[str, ...], str]]:
    for name, said in (
        ("pipe.png", "use -"),
        ("socket.png", "socket"),
        ("ring.png", "ring.png"),
        ("dangling.png", "no such file"),
        ("null.png", "null.png"),
        ("zero.png", "zero.png"),
        ("/dev/null", "/dev/null"),
        ("/dev/zero", "/dev/zero"),
        (f"{LONG}{LONG}", "name"),
    ):
        yield ("inpaint", name, "--mask", "mask.png", "-o", "new.png"), said
        yield ("inpaint", "photo.png", "--mask", name), name[:250]
        yield ("colorize", name, "-o", "new.png"), said
        yield ("likelihood", name), said
        yield ("denoise", name, "-o", "new.png"), said
        yield ("deblur", "photo.png", "--kernel", name), name[:250]
        yield ("interpolate", name, "photo.png", "-o", "new.png"), said
        yield (*COLORIZE, "--hints", name), name[:250]
    for words in (INPAINT, COLORIZE, SAMPLE, INTERPOLATE):
        for name, said in (
            ("pipe.png", "pipe.png"),
            ("socket.png", "socket.png"),
            ("null.png", "null.png"),
            ("ring.png", "ring.png"),
            ("ring/new.png", "ring"),
            ("/dev/null/", "/dev/null"),
        ):
            yield (*words, "-o", name, "--overwrite"), said
    for words, said in (
        ((*INPAINT, "-o", "mask_link.png", "--overwrite"), "is the mask"),
        (("inpaint", "photo.png", "--mask", "same.png"), "is a photo itself"),
        (("inpaint", "link.png", "--mask", "photo.png"), "is a photo itself"),
        (("inpaint", "scans", "--mask", "linked"), "is a photo itself"),
        (
            (*INPAINT, "--uncertainty", "same.png", "--samples", "2", "--overwrite"),
            "--uncertainty same.png: is the photo",
        ),
        ((*INPAINT, "--uncertainty", "pipe.png", "--samples", "2", "--overwrite"), "pipe.png"),
        ((*INPAINT, "--uncertainty", "null.png", "--samples", "2", "--overwrite"), "null.png"),
        ((*LIKELIHOOD, "--csv", "pipe.png", "--overwrite"), "--csv pipe.png: name a file"),
        ((*LIKELIHOOD, "--csv", "/dev/null", "--overwrite"), "--csv /dev/null: name a file"),
        ((*LIKELIHOOD, "--csv", "same.png", "--overwrite"), "--csv same.png: is one of the pictures"),
        ((*LIKELIHOOD, "--csv", "ring.png"), "ring.png"),
        (("inpaint", "ring", "--mask", "mask.png"), "ring"),
        (("inpaint", "scans", "--mask", "ring"), "ring"),
        (("inpaint", "scans", "--mask", "mask.png", "-o", "ring"), "ring"),
        ((*INPAINT, "--model", "zero.safetensors"), "zero.safetensors"),
        ((*INPAINT, "--model", "pipe.png"), "pipe.png"),
        ((*INPAINT, "--model", "ring.png"), "ring.png"),
        ((*INPAINT, "--model", f"{LONG}{LONG}"), "name"),
        (("models", "show", "/dev/null"), "/dev/null"),
        (("models", "show", "pipe.png"), "pipe.png"),
        (("evaluate", "ring", "--reference", "scans"), "ring"),
        (("convert", "pipe.png", "--config", "vp/cifar10_ddpm", "-o", "new.safetensors"), "pipe.png"),
        (
            ("convert", "weights.pth", "--config", "vp/cifar10_ddpm", "-o", "zero.safetensors", "--overwrite"),
            "replaced",
        ),
        *(((*TRAIN, "--data", name, "--out", "new"), name) for name in ("pipe.png", "socket.png", "ring", "/dev/zero")),
        *(((*TRAIN, "--out", name), "cannot be written") for name in ("pipe.png", "null.png", "ring", "/dev/zero")),
        ((*TRAIN, "--data", f"{LONG}{LONG}"), "name"),
        ((*TRAIN, "--out", f"{LONG}{LONG}"), "name"),
        ((*TRAIN, "--init", "zero.safetensors", "--out", "new"), "zero.safetensors"),
        (("inpaint", f"names/{LONG}", "--mask", "mask.png"), "name"),
        (("inpaint", "photo.png", "--mask", "mask.png", "-o", LONG, "--samples", "2"), "name"),
        (("colorize", f"names/{LONG}"), "name"),
    ):
        yield words, said


KINDS = {
    "nothing given": _empty,
    "not there": _missing,
    "damaged or of another kind": _damaged,
    "out of range": _out_of_range,
    "no such choice": _choices,
    "no such command": _usage,
    "not together": _together,
    "masks": _masks,
    "outputs": _outputs,
    "batches": _batches,
    "special files": _special,
}
CASES = [
    Case(kind, words, said)
    for kind, table in KINDS.items()
    if kind != "special files" or os.name == "posix"
    for words, said in table()
]

if __name__ == "__main__":
    for kind, count in Counter(case.kind for case in CASES).items():
        print(f"{count:4d}  {kind}")
    print(f"{len(CASES):4d}  in all")
