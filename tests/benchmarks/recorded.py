"""Record the results of fifty groups of commands, requests and calls, and compare them with an earlier record.

    python tests/benchmarks/recorded.py record before.json
    python tests/benchmarks/recorded.py compare before.json [after.json] [--only NAME ...]
    PYTHONPATH=OTHER_CHECKOUT python tests/benchmarks/recorded.py record before.json

A refactoring must not change results: record them before it, and compare after each step. Each case runs commands,
requests of the page or calls from Python on small pictures, with fixed seeds, on one thread, in float32. The record
holds exit statuses, messages, JSON records, names of files, and of each picture a hash, the mean and standard deviation
per channel, and the means of 12x12 blocks. On one machine hashes must agree; elsewhere compare the rms and maximal
differences of the block means, in grey levels.

The script uses public interfaces only: the command line, the page's HTTP requests, and names of `scoreinv`. So it runs
against any checkout that PYTHONPATH names. Pictures come from the `examples/` beside this script. All of it takes
three minutes of an idle core.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import dataclasses
import difflib
import functools
import hashlib
import io
import json
import logging
import os
import pickle
import platform
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image, ImageCms, ImageDraw, ImageFilter

import scoreinv

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **{"OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "100", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"},
}
"""One thread, since the last bits of a sum depend on their number; and the same messages everywhere."""
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PARITY = ROOT / "tests" / "data" / "parity"
BLOCKS = 12
PICTURES = {".png", ".jpg", ".tif", ".webp"}
VARYING = {"seconds", "minutes", "link", "key", "job", "left", "done", "ahead", "images_per_second", "time"}
"""Entries of JSON records that differ from run to run."""
WITHOUT_PRECISION = {"evaluate", "convert", "models", "select", "serve"}

# --- the cases --------------------------------------------------------------------------------------------------------

COMMANDS = {
    "inpaint": ["inpaint photo.png --mask mask.png --json"],
    "inpaint_auto": ["inpaint photo.png --mask auto -v", "inpaint healthy.jpg --mask auto --sensitivity 0.1"],
    "inpaint_jpeg": [
        "inpaint rim.jpg --mask tight.png --json",
        "inpaint rim.jpg --mask tight.png --exact --grow 4 -o exact.jpg --quality 90",
    ],
    "inpaint_pc": [
        "inpaint photo.png --mask mask.png --method pc --steps 6 --json",
        "inpaint tiny.png --mask tiny_mask.png --model cifar10 --steps 4 --start 0.4",
    ],
    "inpaint_samples": [
        "inpaint photo.png --mask mask.png --samples 2 --seed 5 --uncertainty std.png --json",
        "inpaint photo.png --mask mask.png --estimate mean -o mean.webp",
    ],
    "inpaint_object": ["inpaint object.png --mask object_mask.png --avoid avoid.png -v --json"],
    "inpaint_classical": [
        f"inpaint photo.png --mask soft.png --method {method} --invert-mask --mask-threshold 0.3 -o {method}.png"
        for method in ("telea", "navier-stokes", "biharmonic")
    ],
    "inpaint_kinds": [
        "inpaint deep.tif la.png rgba.png palette.png cmyk.jpg level.png bits.png profile.jpg --mask tiny_mask.png "
        "-o filled --json"
    ],
    "inpaint_turned": [
        "inpaint turned.jpg --mask upright.png --json",
        "inpaint pages.tif --mask tiny_mask.png --frame 1 -o page.tif",
        "inpaint pages.tif --mask tiny_mask.png",
    ],
    "inpaint_workers": ["inpaint scans --mask masks -o out --workers 2 --json"],
    "colorize": ["colorize grey.jpg --json"],
    "colorize_tint": ["colorize sepia.jpg", "colorize sepia.jpg --tint white --seed 3 -o white.png"],
    "colorize_hints": ["colorize grey.jpg --hints hints.png --saturation 1.2 --json"],
    "colorize_like": ["colorize grey.jpg --like like.jpg --json"],
    "colorize_kept": ["colorize partly.png --keep-color", "colorize like.jpg --json"],
    "colorize_samples": [
        "colorize small.png --samples 2 --uncertainty std.png --json",
        "colorize small.png --estimate mean -o mean.png",
        "colorize small.png --method pc --steps 5 -o pc.png",
    ],
    "restore": ["restore old.jpg --json"],
    "restore_steps": [
        "restore noisy_grey.png --mask noisy_mask.png --noise 12 --no-colorize --steps-to steps --json",
        "restore small.png --samples 2 --estimate sample --hints small_hints.png",
    ],
    "restore_faded": ["restore faded.jpg --json", "restore faded.jpg --tone 0.5 --no-denoise -o half.jpg"],
    "restore_print": ["restore print.jpg --crop-border --keep-tint -v"],
    "restore_healthy": ["restore healthy.jpg --json"],
    "denoise": [
        "denoise noisy.png --json",
        "denoise noisy.png --noise 18 --samples 2 --steps 4 --uncertainty std.png",
        "denoise noisy_grey.png --noise 12 --orientations 2 -o turned.png",
        "denoise clean.png --json",
    ],
    "upscale": [
        "upscale small_colour.png --json",
        "upscale small.png --factor 3 --downsampling bicubic --noise 3 -o three.png",
        "upscale small.png --samples 2 --steps 4 -o sample.png",
    ],
    "deblur": [
        "deblur blurred.png --kernel gaussian:1.6 --json",
        "deblur small_colour.png --kernel motion:7,30 --samples 2 --steps 4 -o sample.png",
    ],
    "deblur_found": ["deblur defocused.jpg --json", "deblur healthy.jpg"],
    "damage": ["damage photo.png old.jpg -o found --json", "damage healthy.jpg --sensitivity 0.6 --grow 0"],
    "select": [
        "select object.png --at 96,96 --json",
        "select object.png --box 60,50,80,90 --not 10,10 --size small --shadow --grow 0 -o box.png",
    ],
    "sample": [
        "sample --model cifar10 -n 4 --steps 8 -o grid.png --json",
        "sample --model cifar10 --class horse -n 2 --steps 8 --guidance 2 -o horses",
        "sample --model cifar10 -n 2 --sampler pc --corrector none --predictor ancestral --steps 8 -o pc.png",
        "sample --model photo -n 2 --sampler ode --rtol 0.01 -o ode.png",
    ],
    "interpolate": ["interpolate left.png right.png --model cifar10 -n 3 --steps 4 -o row.png --json"],
    "likelihood": ["likelihood left.png right.png --model cifar10 --steps 4 --repeats 2 --csv table.csv --json"],
    "evaluate": ["evaluate drawn --reference real --json", "evaluate drawn --reference real --class ship"],
    "convert": [
        f"convert {PARITY}/vp_ddpm_cifar10/checkpoint.pth --config {PARITY}/vp_ddpm_cifar10/config.json "
        "-o own.safetensors --json",
        "sample --model ./own.safetensors -n 1 --steps 3 -o own.png",
        "models show cifar10 --json",
        "models list",
    ],
    "train": [
        "train --sde ve --batch-size 2 --data tinies --steps 3 --out run --json",
        "train --resume --out run --steps 5",
    ],
    "dry_run": [
        "inpaint scans --mask masks --dry-run --json",
        "inpaint scans --mask masks --shard 2/2 --dry-run",
        "restore old.jpg -o old.tif --dry-run",
        "denoise noisy.png --dry-run --json",
    ],
    "refusals": [
        "",
        "frobnicate",
        "inpaint photo.png",
        "inpaint missing.png --mask mask.png",
        "inpaint photo.png --mask tiny_mask.png",
        "inpaint tiny.png --mask empty.png",
        "inpaint broken.png --mask tiny_mask.png --json",
        "inpaint text.png --mask mask.png",
        "inpaint photo.png --mask mask.png -o photo.png",
        "inpaint photo.png --mask mask.png -o out.bmp",
        "inpaint photo.png --mask mask.png --samples 0",
        "inpaint photo.png --mask mask.png --model nothing",
        "inpaint photo.png --mask mask.png --model denoiser --method conditioned",
        "inpaint photo.png --mask mask.png --uncertainty std.png",
        "inpaint photo.png --mask mask.png --start 0.5",
        "colorize grey.jpg --hints small_hints.png",
        "colorize grey.jpg --like grey.jpg",
        "colorize grey.jpg --temperature 3",
        "restore photo.png --no-inpaint --mask mask.png",
        "restore photo.png --noise 5 --no-denoise",
        "denoise noisy.png --noise 300",
        "upscale small.png --factor 9",
        "deblur blurred.png --kernel cube:1",
        "damage photo.png --sensitivity 2",
        "select object.png",
        "select object.png --at 900,900",
        "sample --model photo --class horse",
        "sample --model cifar10 --sampler heun --snr 0.1",
        "likelihood deep.tif --model cifar10",
        "convert text.png -o own.safetensors",
        "evaluate drawn --reference missing",
        "train --steps 1 --data missing",
    ],
}
"""Command lines, by the case's name. Each case runs in a folder of its own with copies of all pictures."""


def inpaint_folder(case: Case) -> None:
    """A folder with a folder of masks, a broken file and a photo without a mask: the manifest, and resumption."""
    line = "inpaint scans --mask masks --recursive --json"
    shutil.copy("broken.png", "scans/broken.png")
    shutil.copy("tiny_mask.png", "masks/broken.png")
    case.command(line)
    case.command(line)
    for path in Path("scans_inpainted").glob("two*"):
        path.unlink()
    case.command(line)
    case.command(f"{line} --overwrite --shard 1/2")


def inpaint_stream(case: Case) -> None:
    case.command("inpaint - --mask tiny_mask.png -o -", stdin=Path("tiny.png").read_bytes())


def page_fill(case: Case) -> None:
    """A photo with scratches: its damage is found, filled twice and selected; and a JPEG with a rim."""
    page = case.page()
    photo = page.photo("photo.png")
    found = page.work(f"photos/{photo}/damage", sensitivity=0.4)
    page.ask("GET", f"photos/{found}/bits")
    for seed in (0, 1):
        page.work(f"photos/{photo}/fill", mask=found, seed=seed)
    page.work(f"photos/{photo}/damage", sensitivity=0.05)
    rim = page.photo("rim.jpg")
    mask = page.layer(rim, "tight.png")
    page.work(f"photos/{rim}/fill", mask=mask)
    page.work(f"photos/{rim}/fill", mask=mask, avoid=page.layer(rim, "tight_beside.png", beside=mask), exact=True)
    whole = page.photo("object.png")
    page.ask("POST", f"photos/{whole}/select", click="96,96,1")
    page.ask("POST", f"photos/{whole}/select", click="96,96,1", rim=True, another=True)
    page.ask("POST", f"photos/{whole}/shadow", box="60,50,80,90")


def page_restore(case: Case) -> None:
    page = case.page()
    old = page.photo("old.jpg")
    page.work(f"photos/{old}/restore")
    faded = page.photo("faded.jpg")
    page.work(f"photos/{faded}/restore", tone=0.5, denoise=False)
    healthy = page.photo("healthy.jpg")
    page.work(f"photos/{healthy}/restore")
    small = page.photo("small.png")
    strokes = page.layer(small, "small_hints.png", of="strokes")
    page.work(f"photos/{small}/restore", strokes=strokes, seed=2)


def page_colorize(case: Case) -> None:
    page = case.page()
    grey = page.photo("grey.jpg")
    page.work(f"photos/{grey}/colorize")
    page.work(f"photos/{grey}/colorize", strokes=page.layer(grey, "hints.png", of="strokes"), seed=1)
    page.work(f"photos/{grey}/colorize", like=page.layer(grey, "like.jpg", of="like"))
    coloured = page.photo("small_colour.png")
    page.work(f"photos/{coloured}/colorize")


def page_improve(case: Case) -> None:
    """Noise, enlargement and blur; and requests that the page refuses."""
    page = case.page()
    noisy = page.photo("noisy.png")
    page.work(f"photos/{noisy}/denoise")
    page.work(f"photos/{noisy}/denoise", noise=10)
    page.work(f"photos/{page.photo('clean.png')}/denoise")
    page.work(f"photos/{page.photo('healthy.jpg')}/deblur")
    page.work(f"photos/{page.photo('small_colour.png')}/upscale", factor=2)
    blurred = page.photo("blurred.png")
    page.work(f"photos/{blurred}/deblur", blur="gaussian", size=1.6, noise=2)
    page.work(f"photos/{page.photo('defocused.jpg')}/deblur")
    page.ask("POST", "photos", content=Path("text.png").read_bytes(), name="text.png")
    page.ask("POST", "photos/nothing/damage")
    page.ask("POST", f"photos/{noisy}/fill", mask=page.photo("empty.png"))
    page.ask("POST", f"photos/{noisy}/upscale", factor=7)
    page.ask("GET", f"photos/{noisy}/file", kind="GIF")


def python_inpaint(case: Case) -> None:
    """The same hole of an array, a PIL image and a tensor of two pictures; and a rim that is left."""
    prior = scoreinv.load("photo")
    photo, mask = Image.open("photo.png"), Image.open("mask.png")
    pixels, hole = np.asarray(photo), np.asarray(mask) > 0
    batch = torch.from_numpy(np.stack([pixels, pixels[:, ::-1]])).permute(0, 3, 1, 2) / 255
    case.call("array", lambda: scoreinv.inpaint(pixels, hole, prior=prior, seed=4))
    case.call("image", lambda: scoreinv.inpaint(photo, mask, prior=prior, samples=2, estimate="mean"))
    case.call("tensor", lambda: scoreinv.inpaint(batch, torch.from_numpy(hole), prior=prior, steps=2))
    case.call("telea", lambda: scoreinv.inpaint(photo, mask, method="telea", grow=1, invert=False))
    rim, tight = Image.open("rim.jpg"), Image.open("tight.png")
    case.call("rim", lambda: scoreinv.inpaint(rim, tight, prior="photo"))
    case.call("wrong mask", lambda: scoreinv.inpaint(pixels, hole[1:], prior=prior))


def python_colorize(case: Case) -> None:
    prior = scoreinv.load("scene")
    grey, hints, like = (Image.open(name) for name in ("grey.jpg", "hints.png", "like.jpg"))
    case.call("image", lambda: scoreinv.colorize(grey, prior=prior, seed=2))
    case.call("hints", lambda: scoreinv.colorize(np.asarray(grey) / 255, prior=prior, hints=hints, estimate="mean"))
    case.call("like", lambda: scoreinv.colorize(grey, prior=prior, like=like, samples=2))
    case.call("coloured", lambda: scoreinv.colorize(Image.open("small_colour.png"), prior=prior, steps=4))
    case.call("average", lambda: scoreinv.colorize(Image.open("small.png"), prior=prior, gray_weights="average"))


def python_restore(case: Case) -> None:
    small, old = Image.open("small.png"), Image.open("old.jpg")
    case.call("old", lambda: scoreinv.restore(old))
    case.call("cropped", lambda: scoreinv.restore(Image.open("print.jpg"), crop_border=True, keep_tint=True))
    case.call("steps", lambda: scoreinv.restore(np.asarray(small), noise_std=0.05, tone=0.7, colorize=False, samples=2))
    case.call("contradiction", lambda: scoreinv.restore(small, inpaint=False, mask=small))


def python_deblur(case: Case) -> None:
    """`deblur`, and the masks of `find_damage` and `select`."""
    blurred = Image.open("blurred.png")
    case.call(
        "kernel", lambda: scoreinv.deblur(blurred, kernel=scoreinv.operators.kernels.gaussian(1.6), noise_std=0.01)
    )
    case.call("found", lambda: scoreinv.deblur(Image.open("defocused.jpg")))
    case.call("sharp", lambda: scoreinv.deblur(Image.open("healthy.jpg")))
    case.call("damage", lambda: scoreinv.find_damage(Image.open("photo.png"), grow=0))
    case.call("select", lambda: scoreinv.select(np.asarray(Image.open("object.png")), box=(60, 50, 80, 90)))


def python_solve(case: Case) -> None:
    """Masks, blur and enlargement by each method of `solve`."""
    prior, general = scoreinv.load("denoiser"), scoreinv.load("photo")
    picture = torch.from_numpy(np.array(Image.open("tiny.png"))).permute(2, 0, 1)[None] / 255
    blur = scoreinv.operators.Blur(scoreinv.operators.kernels.gaussian(1.2), 64, 64)
    noise = 0.02 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    y = blur(picture) + noise
    case.call("mean", lambda: scoreinv.solve(blur, y, prior=prior, noise_std=0.02, estimate="mean"))
    for method in ("diffpir", "ddrm", "pigdm", "mmps", "pc", "dps"):
        case.call(
            method,
            lambda method=method: scoreinv.solve(
                blur, y, prior=general, noise_std=0.1, method=method, steps=8, samples=2, seed=1
            ),
        )
    case.call("grey", lambda: scoreinv.solve(blur, y[:, :1].numpy()[0, 0], prior=prior, noise_std=0.02))
    half = scoreinv.operators.mask((torch.arange(64) < 40).float().expand(1, 1, 64, 64))
    case.call("mask", lambda: scoreinv.solve(half, half(picture), prior=general, steps=4))
    identity = scoreinv.operators.mask(torch.ones(1, 1, 64, 64))
    case.call("noise", lambda: scoreinv.solve(identity, picture + noise, prior=prior, noise_std=0.02))


def python_rows(case: Case) -> None:
    """`Inpainter`, `Colorizer` and `Restorer`, also after pickling."""
    images = np.stack([np.asarray(Image.open(f"scans/{name}.png")) for name in ("one", "two")])
    masks = np.stack([np.asarray(Image.open(f"masks/{name}.png")) for name in ("one", "two")])
    greys = np.stack([np.asarray(Image.open(f"scans/{name}.png").convert("L")) for name in ("one", "two")])
    for name, task, batch in (
        ("inpainter", scoreinv.Inpainter(seed=3), {"image": images, "mask": masks}),
        ("samples", scoreinv.Inpainter(method="telea", mask="hole"), {"image": images, "hole": masks}),
        ("colorizer", scoreinv.Colorizer(steps=4), {"image": greys}),
        ("denoised", scoreinv.Restorer(noise_std=0.05), {"image": images}),
        ("clean", scoreinv.Restorer(), {"image": images}),
        ("enlarged", scoreinv.Restorer(factor=2, samples=2, steps=4), {"image": greys}),
        ("deblurred", scoreinv.Restorer(kernel=scoreinv.operators.kernels.gaussian(1.2)), {"image": images}),
        ("missing column", scoreinv.Inpainter(), {"image": images}),
    ):
        case.call(name, lambda task=task, batch=batch: pickle.loads(pickle.dumps(task))(batch)["result"])


def python_deepinv(case: Case) -> None:
    """Our prior in deepinv's sampler, and deepinv's physics in ours."""
    import deepinv

    from scoreinv.interop.deepinv import Denoiser, operator_of  # the public module

    prior = scoreinv.load("denoiser")
    picture = torch.from_numpy(np.array(Image.open("tiny.png"))).permute(2, 0, 1)[None] / 255
    known = torch.from_numpy(np.random.default_rng(0).random((1, 64, 64)) < 0.6).float()
    physics = deepinv.physics.Inpainting((3, 64, 64), mask=known)
    case.call("denoiser", lambda: Denoiser(prior)(picture, 0.08))
    operator = operator_of(physics, (3, 64, 64))
    general = scoreinv.load("photo")
    case.call("operator", lambda: scoreinv.solve(operator, physics(picture), prior=general, method="ddrm", steps=4))


def python_core(case: Case) -> None:
    """Samples, latent codes, interpolation and likelihood of a prior."""
    prior = scoreinv.load("cifar10")
    pictures = [Image.open(name) for name in ("left.png", "right.png")]
    levels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
    x = prior.to_model((levels + 0.5) / 256)
    case.call("generate", lambda: scoreinv.generate(prior, 2, steps=6, seed=1))
    case.call("interpolate", lambda: scoreinv.interpolate(*pictures, prior=prior, count=3, steps=4))
    case.call("bits", lambda: scoreinv.bits_per_dim(prior, x, probe=torch.ones_like(x), steps=4).bits_per_dim)
    latent = scoreinv.encode(prior, x, steps=4)
    case.call("decode", lambda: prior.to_image(scoreinv.decode(prior, latent.z, steps=4).x0))


FUNCTIONS = (
    *(inpaint_folder, inpaint_stream, page_fill, page_restore, page_colorize, page_improve, python_inpaint),
    *(python_colorize, python_restore, python_deblur, python_solve, python_rows, python_deepinv, python_core),
)
IN_A_PROCESS = {"inpaint_workers"}  # whose workers are processes, which would import this script as their main module
UNORDERED = {"inpaint_workers"}


def cases() -> dict[str, Callable[[Case], None]]:
    """What each case does, by its name."""

    def lines(name: str) -> Callable[[Case], None]:
        def run(case: Case) -> None:
            for line in COMMANDS[name]:
                case.command(line, process=name in IN_A_PROCESS, ordered=name not in UNORDERED)

        return run

    return {name: lines(name) for name in COMMANDS} | {function.__name__: function for function in FUNCTIONS}


# --- pictures ---------------------------------------------------------------------------------------------------------


def make_pictures(folder: Path) -> None:
    """Write the pictures of all cases, made from those of `examples/`."""
    random_numbers = np.random.default_rng(0)

    def example(name: str, box: tuple[int, int, int, int] | None = None, width: int | None = None) -> Image.Image:
        picture = Image.open(EXAMPLES / name)
        picture = picture if box is None else picture.crop(box)
        size = picture.size if width is None else (width, round(picture.height * width / picture.width))
        return picture.resize(size, Image.Resampling.BOX) if size != picture.size else picture

    def marked(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Image.Image:
        mask = Image.new("L", size)
        for box in boxes:
            ImageDraw.Draw(mask).rectangle(box, fill=255)
        return mask

    def noisy(picture: Image.Image, deviation: float) -> Image.Image:
        values = np.asarray(picture) + deviation * random_numbers.standard_normal(np.asarray(picture).shape)
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))

    def sepia(picture: Image.Image) -> Image.Image:
        levels = np.asarray(picture.convert("L"))[..., None] / 255
        return Image.fromarray(np.rint(255 * levels ** np.array([0.8, 1.0, 1.3]) * [0.95, 0.88, 0.74]).astype(np.uint8))

    def scratched(picture: Image.Image) -> Image.Image:
        draw, (width, height) = ImageDraw.Draw(picture), picture.size
        draw.line((0.1 * width, 0.2 * height, 0.9 * width, 0.35 * height), fill=(240, 236, 228), width=2)
        draw.line((0.7 * width, 0, 0.62 * width, height), fill=(245, 240, 232), width=2)
        return picture

    def save(picture: Image.Image, name: str, **options: Any) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(folder / name, **options)

    # photographs and their masks
    part = (190, 40, 318, 168)
    save(example("damaged/astronaut.png", part), "photo.png")
    mask = example("masks/astronaut.png", part).convert("L")
    save(mask, "mask.png")
    soft = mask.filter(ImageFilter.GaussianBlur(1.5))
    save(soft.point(lambda level: 255 - level), "soft.png")
    rim = example("photos/lake.jpg", width=192)
    ImageDraw.Draw(rim).ellipse((60, 40, 110, 80), fill=(220, 30, 40))
    save(rim, "rim.jpg", quality=60, subsampling=2)
    save(marked(rim.size, (62, 42, 108, 76)), "tight.png")
    save(marked(rim.size, (120, 40, 150, 70)), "tight_beside.png")
    whole = example("photos/moose.jpg", (120, 20, 600, 500), 192)
    save(whole, "object.png")
    save(marked(whole.size, (50, 44, 140, 150)), "object_mask.png")
    save(marked(whole.size, (0, 0, 40, 60)), "avoid.png")
    save(example("photos/dog.jpg", width=192), "healthy.jpg", quality=95)

    # kinds of files
    tiny = example("photos/tulips.jpg", (100, 100, 356, 356), 64)
    pixels = np.asarray(tiny)
    save(tiny, "tiny.png")
    save(marked(tiny.size, (20, 24, 30, 40), (40, 8, 44, 50)), "tiny_mask.png")
    save(marked(tiny.size), "empty.png")
    deep = 257 * pixels.astype(np.uint16) - np.uint16(3) * (pixels > 100)
    tifffile.imwrite(folder / "deep.tif", deep, photometric="rgb")
    alpha = Image.fromarray(np.tile(np.linspace(40, 255, 64).astype(np.uint8), (64, 1)))
    save(Image.merge("LA", (tiny.convert("L"), alpha)), "la.png")
    save(Image.merge("RGBA", (*tiny.split(), alpha)), "rgba.png")
    save(tiny.quantize(64, dither=Image.Dither.NONE), "palette.png")
    save(tiny.convert("CMYK"), "cmyk.jpg", quality=95)
    save(tiny.convert("L"), "level.png", dpi=(300, 300))
    save(tiny.convert("1"), "bits.png")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save(tiny, "profile.jpg", quality=92, icc_profile=profile, dpi=(200, 200))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    save(example("photos/lake.jpg", width=96), "turned.jpg", quality=95, exif=exif)
    upright = example("photos/lake.jpg", width=96).size[::-1]
    save(marked(upright, (20, 30, 32, 60)), "upright.png")
    save(tiny, "pages.tif", save_all=True, append_images=[tiny.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    (folder / "broken.png").write_bytes((folder / "tiny.png").read_bytes()[:3000])
    (folder / "text.png").write_text("no picture\n")

    # grey, tinted and old photographs
    dog = (100, 40, 420, 360)
    save(example("grey/dog.jpg", dog, 160), "grey.jpg", quality=95)
    hints = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(hints).line((20, 130, 140, 140), fill=(70, 140, 60, 255), width=6)
    ImageDraw.Draw(hints).line((60, 50, 90, 60), fill=(170, 120, 80, 255), width=5)
    save(hints, "hints.png")
    save(example("photos/dog.jpg", width=160), "like.jpg", quality=95)
    partly = np.array(example("grey/dog.jpg", dog, 160).convert("RGB"))
    partly[:60] = np.asarray(example("photos/dog.jpg", dog, 160))[:60]
    save(Image.fromarray(partly), "partly.png")
    small = example("photos/lake.jpg", (100, 60, 420, 380), 80)
    save(small, "small_colour.png")
    save(small.convert("L"), "small.png")
    small_hints = Image.new("RGBA", small.size)
    ImageDraw.Draw(small_hints).rectangle((10, 8, 30, 14), fill=(90, 130, 200, 255))
    save(small_hints, "small_hints.png")
    save(sepia(example("photos/moonwalk.jpg", width=144)), "sepia.jpg", quality=95)
    save(scratched(sepia(example("old/woman.webp", width=208))), "old.jpg", quality=92)
    faded = np.asarray(example("photos/tulips.jpg", width=176)) / 255
    faded = np.clip((0.3 + 0.45 * faded) * [1.12, 1.0, 0.8], 0, 1)
    save(Image.fromarray(np.rint(255 * faded).astype(np.uint8)), "faded.jpg", quality=95)
    paper = Image.new("RGB", (200, 200), (236, 226, 204))
    paper.paste(scratched(sepia(example("old/parthenon.webp", width=160))), (20, 18))
    save(noisy(paper, 1.0), "print.jpg", quality=95)

    # noise and blur
    save(noisy(example("photos/tulips.jpg", (60, 60, 380, 380), 160), 16), "noisy.png")
    bands = np.repeat(np.arange(30, 190, 20, dtype=np.uint8), 20)  # with less noise than the model removes
    save(Image.fromarray(np.tile(bands[:, None], (160, 1, 3))), "clean.png")
    save(noisy(example("photos/moose.jpg", (200, 60, 456, 316), 128).convert("L"), 12), "noisy_grey.png")
    save(marked((128, 128), (30, 20, 36, 100)), "noisy_mask.png")
    blurred = example("photos/facade.jpg", (200, 100, 328, 228)).filter(ImageFilter.GaussianBlur(1.6))
    save(noisy(blurred, 1.0), "blurred.png")
    save(
        example("photos/facade.jpg", (60, 40, 380, 360)).filter(ImageFilter.GaussianBlur(2.0)),
        "defocused.jpg",
        quality=95,
    )

    # folders
    for number, name in enumerate(("one", "two", "three", "four", "deep/five")):
        left = 60 * number
        save(example("photos/lake.jpg", (left, 100, left + 256, 356), 64), f"scans/{name}.png")
        if name != "four":
            save(marked((64, 64), (10 + 4 * number, 8, 16 + 4 * number, 50)), f"masks/{name}.png")
    for number, name in enumerate(("left", "right")):
        save(example("photos/moose.jpg", (100 + 200 * number, 100, 356 + 200 * number, 356), 32), f"{name}.png")
    for number in range(12):
        left, top = 90 * (number % 4), 110 * (number // 4)
        for group, source in (
            ("drawn", "photos/facade.jpg"),
            ("real", "photos/lake.jpg"),
            ("tinies", "photos/dog.jpg"),
        ):
            save(example(source, (left, top, left + 128, top + 128), 32), f"{group}/{number}.png")


# --- recording --------------------------------------------------------------------------------------------------------


class Case:
    """The runs of one case, in a folder of its own, which is the working directory.

    Args:
        address: returns the address of the page's server.
    """

    def __init__(self, folder: Path, address: Callable[[], str]) -> None:
        self.folder = folder
        self.runs: list[dict[str, Any]] = []
        self._address = address

    def command(self, line: str, *, stdin: bytes = b"", process: bool = False, ordered: bool = True) -> None:
        """Run a command line in this process, or in a process of its own."""
        words = shlex.split(line)
        if words and words[0] not in WITHOUT_PRECISION:
            words += ["--precision", "float32"]  # "auto" is decided by a measurement of time
        before = self._files()
        if process:
            done = subprocess.run([sys.executable, "-m", "scoreinv", *words], input=stdin, capture_output=True)
            code, out, err = done.returncode, done.stdout, done.stderr.decode()
        else:
            code, out, err = run_here(words, stdin)
        messages = self._plain_text(err)
        entry: dict[str, Any] = {"run": line.replace(str(ROOT), "ROOT"), "code": code}
        if out.startswith(b"\x89PNG"):
            entry["picture"] = summary(np.asarray(Image.open(io.BytesIO(out))))
        elif out:
            entry |= self._printed(out.decode(), ordered)
        entry["messages"] = messages if ordered else sorted(messages)
        entry["files"] = {
            path.relative_to(self.folder).as_posix(): content(path)
            for path, written in self._files().items()
            if before.get(path) != written
        }
        self.runs.append(entry)

    def call(self, name: str, function: Callable[[], Any]) -> None:
        """Call a function of the API; records its result or its error, warnings and log."""
        log = io.StringIO()
        logger, handler = logging.getLogger("scoreinv"), logging.StreamHandler(log)
        before = logger.handlers, logger.level
        logger.handlers, logger.level = [handler], logging.INFO
        entry: dict[str, Any] = {"run": name}
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                entry["result"] = plain(function())
        except scoreinv.system.errors.ScoreinvError as error:
            entry["error"] = [type(error).__name__, str(error)]
        finally:
            logger.handlers, logger.level = before
        own = [str(each.message) for each in caught if {"scoreinv", Path(__file__).name} & {*Path(each.filename).parts}]
        self.runs.append(entry | {"messages": self._plain_text(log.getvalue()) + own})

    def page(self) -> Page:
        """A client of the page's server."""
        return Page(self._address(), self)

    def _plain_text(self, text: str) -> list[str]:
        """Lines without durations, paths of this folder and lines of progress."""
        text = re.sub(r"\b\d+ s\b|\b\d+:\d\d(:\d\d)?\b|(?<=seconds: )[\d.]+", "TIME", self._relative(text))
        return [line for line in text.splitlines() if not re.search(r"\d+ %, TIME left", line)]

    def _relative(self, text: str) -> str:
        """The text without paths that depend on where things are."""
        for path, name in ((self.folder, "FOLDER"), (ROOT, "ROOT"), (Path(scoreinv.__file__).parents[1], "ROOT")):
            text = text.replace(str(path), name)
        return text

    def _printed(self, text: str, ordered: bool) -> dict[str, Any]:
        """What stood on stdout: JSON records, a line each, or text."""
        try:
            records = [steady(json.loads(line)) for line in text.splitlines()]
        except ValueError:
            return {"text": self._plain_text(text)}
        records = json.loads(self._relative(json.dumps(records)))
        return {"json": records if ordered else sorted(records, key=json.dumps)}

    def _files(self) -> dict[Path, int]:
        """The files of the folder, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in sorted(self.folder.rglob("*")) if path.is_file()}


def run_here(words: list[str], stdin: bytes) -> tuple[int, bytes, str]:
    """`python -m scoreinv` in this process: exit status, stdout and stderr."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True), io.StringIO()
    before = sys.argv, sys.stdin
    sys.argv, sys.stdin = ["scoreinv", *words], io.TextIOWrapper(io.BytesIO(stdin))
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            runpy.run_module("scoreinv", run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv, sys.stdin = before
    return int(code or 0), out.buffer.getvalue(), err.getvalue()


def content(path: Path) -> Any:
    """Summarise a file: the pixels and metadata of a picture, the rows of a table, the weights of a model."""
    if path.suffix in PICTURES:
        with Image.open(path) as picture:
            mode, kind, info = picture.mode, picture.format, sorted(picture.info)
            pixels = np.asarray(picture)
        if path.suffix == ".tif":
            pixels = tifffile.imread(path)
        elif path.suffix == ".png" and "A" not in mode:  # Pillow reduces 16 bits of colour to 8
            import cv2

            deep = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            pixels = deep if deep.dtype == np.uint16 else pixels
        return {"mode": f"{kind} {mode}", "metadata": info, **summary(pixels)}
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        weights = load_file(path)
        whole = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights)))
        return {"tensors": len(weights), "sha256": whole.hexdigest()[:16]}
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return sorted((steady(row) for row in csv.DictReader(file)), key=json.dumps)  # workers end in any order
    if path.suffix == ".jsonl":
        return [steady(json.loads(line)) for line in path.read_text().splitlines()]
    return None  # the name alone


def summary(values: np.ndarray) -> dict[str, Any]:
    """Hash, moments in grey levels and block means of pictures, HxW, HxWxC or NxHxWxC; a few numbers as they are."""
    values = np.ascontiguousarray(values)
    if values.ndim < 2:
        return {"values": [short(float(value)) for value in values.ravel()[:64]]}
    told: dict[str, Any] = {"shape": list(values.shape), "type": str(values.dtype)}
    told["sha256"] = hashlib.sha256(values.tobytes()).hexdigest()[:16]
    scale = {"b": 255, "f": 255, "u": 255 / (np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1)}
    levels = values.astype(np.float64) * scale[values.dtype.kind]
    if levels.ndim == 2 or levels.shape[-1] > 4:
        levels = levels[..., None]
    levels = levels.reshape(-1, *levels.shape[-2:])
    told["mean"] = [round(float(mean), 3) for mean in levels.mean((0, 1))]
    told["std"] = [round(float(std), 3) for std in levels.std((0, 1))]
    for axis in (0, 1):
        length = levels.shape[axis]
        edges = np.linspace(0, length, min(BLOCKS, length) + 1).astype(int)
        counts = np.diff(edges).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        levels = np.add.reduceat(levels, edges[:-1], axis=axis) / counts
    told["blocks"] = base64.b64encode(np.clip(np.rint(levels), 0, 255).astype(np.uint8).tobytes()).decode()
    return told


def plain(value: Any) -> Any:
    """A result of the API in the terms of JSON, with summaries of its arrays."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if "image" in told and told.get("samples") == [told["image"]]:
            told["samples"] = "the image"
        return told
    if isinstance(value, Image.Image):
        return {"mode": value.mode, **summary(np.asarray(value))}
    if isinstance(value, torch.Tensor):
        array = value.detach().numpy()
        return {"mode": "tensor", **summary(np.moveaxis(array, -3, -1) if array.ndim >= 3 else array)}
    if isinstance(value, np.ndarray):
        return summary(value)
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return short(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__


def steady(value: Any) -> Any:
    """A JSON value without what differs from run to run, and with short numbers."""
    if isinstance(value, dict):
        return {key: "VARYING" if key in VARYING else steady(each) for key, each in value.items()}
    if isinstance(value, list):
        return [steady(each) for each in value]
    return short(value)


def short(value: Any) -> Any:
    """A float with six digits; anything else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


# --- the page ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Serve the page; yields its address. Adapter: `scoreinv serve` and the paths in `Page` are all that is assumed."""
    words = ["serve", "--port", "0", "--no-open", "--json", "--precision", "float32"]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_RUNTIME_DIR": folder}  # where the server leaves its address for GIMP
        process = subprocess.Popen(
            [sys.executable, "-m", "scoreinv", *words], stdout=subprocess.PIPE, env=environment, cwd=folder
        )
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["link"].rstrip("/")
        finally:
            process.terminate()
            process.wait()


class Page:
    """Requests as the page in the browser sends them, recorded in a case."""

    def __init__(self, address: str, case: Case) -> None:
        self.address, self.case = address, case

    def photo(self, name: str) -> str:
        """Send a photograph; returns its key."""
        return self.ask("POST", "photos", content=Path(name).read_bytes(), name=name, look=False)["key"]

    def layer(self, photo: str, name: str, **query: Any) -> str:
        """Send a mask, strokes or a reference for a photograph; returns its key."""
        return self.ask("POST", f"photos/{photo}/layers", content=Path(name).read_bytes(), **query)["key"]

    def work(self, path: str, **query: Any) -> str | None:
        """Ask for work and wait for its end; returns the key of the result."""
        job = self.ask("POST", path, **query)["job"]
        pause = 0.01
        while (report := json.loads(self._send("GET", f"jobs/{job}")[1]))["state"] in ("waiting", "running"):
            time.sleep(pause)
            pause = min(2 * pause, 0.3)
        self.case.runs[-1]["end"] = steady(report)
        result = (report.get("photo") or {}).get("key")
        if result is not None:
            _, file = self._send("GET", f"photos/{result}/file", kind="PNG")
            self.case.runs[-1]["picture"] = summary(np.asarray(Image.open(io.BytesIO(file))))
        return result

    def ask(self, method: str, path: str, content: bytes | None = None, **query: Any) -> Any:
        """Send a request; records status and answer, and returns the answer."""
        status, body = self._send(method, path, content, **query)
        told = " ".join(f"{key}={value}" for key, value in query.items() if not self._is_key(str(value)))
        entry: dict[str, Any] = {"run": f"{method} {re.sub('photos/[^/]{16}', 'photos/KEY', path)} {told}"}
        entry["status"] = status
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()[:16]}
        entry["answer"] = steady(answer)
        if isinstance(answer, dict) and "bits" in answer and isinstance(answer["bits"], str):
            entry["answer"]["bits"] = hashlib.sha256(answer["bits"].encode()).hexdigest()[:16]
        self.case.runs.append(entry)
        return answer

    @staticmethod
    def _is_key(text: str) -> bool:
        return len(text) == 16 and "." not in text

    def _send(self, method: str, path: str, content: bytes | None = None, **query: Any) -> tuple[int, bytes]:
        given = {key: str(value).lower() if isinstance(value, bool) else value for key, value in query.items()}
        url = f"{self.address}/api/{path}" + (f"?{urllib.parse.urlencode(given)}" if given else "")
        headers = {"content-type": "application/octet-stream", "origin": self.address}
        data = (content or b"") if method == "POST" else None
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


# --- records ----------------------------------------------------------------------------------------------------------


def record(only: list[str], folder: Path) -> dict[str, Any]:
    """Run the cases; returns their record."""
    pictures, results = folder / "pictures", {}
    make_pictures(pictures)
    here = Path.cwd()
    print(f"recording {Path(scoreinv.__file__).parent}", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        address = functools.cache(lambda: stack.enter_context(server()))  # the server starts with the first request
        for name, run in cases().items():
            if only and name not in only:
                continue
            place = folder / name
            shutil.copytree(pictures, place)
            os.chdir(place)
            begun, case = processor_seconds(), Case(place, address)
            try:
                run(case)
            except Exception as error:  # the other cases still tell what they can
                case.runs.append({"run": "stopped", "error": repr(error)})
                print(f"{name}: {error!r}", file=sys.stderr)
            finally:
                os.chdir(here)
            seconds = processor_seconds() - begun
            print(f"{name}: {seconds:.1f} s", file=sys.stderr, flush=True)
            results[name] = {"seconds": round(seconds, 1), "runs": case.runs}
    return {"machine": machine(), "cases": results}


def processor_seconds() -> float:
    """Processor seconds of this process and of its children that ended."""
    return sum(os.times()[:4])


def machine() -> str:
    """The processor and the versions that hashes depend on."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    libraries = ("torch", "numpy", "pillow", "opencv-python", "scikit-image")
    return ", ".join([processor, *(f"{name} {version(name)}" for name in libraries)])


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """The differences of two values of records, a line or more each."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        if "blocks" in before and "blocks" in after:
            yield f"{place}: {picture_difference(before, after)}"
            kept = {"sha256", "mean", "std", "blocks"}
            before, after = ({key: value[key] for key in value if key not in kept} for value in (before, after))
        for key in before | after:
            if key not in after:
                yield f"{place}: lacks {key} ({clipped(before[key])})"
            elif key not in before:
                yield f"{place}: has {key} ({clipped(after[key])})"
            else:
                yield from differences(before[key], after[key], f"{place} / {key}")
    elif isinstance(before, list) and isinstance(after, list):
        if all(isinstance(each, str) for each in before + after):
            changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
            yield "\n".join([f"{place}:", *(f"    {line}" for line in changed)])
            return
        if len(before) != len(after):
            yield f"{place}: {len(before)} entries became {len(after)}"
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            name = one.get("run", number) if isinstance(one, dict) else number
            yield from differences(one, other, f"{place} / {name}")
    else:
        yield f"{place}: {clipped(before)} became {clipped(after)}"


def picture_difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    """How far two pictures differ, in grey levels of 255."""
    one, other = (np.frombuffer(base64.b64decode(each["blocks"]), np.uint8).astype(float) for each in (before, after))
    moments = f"mean {before['mean']} -> {after['mean']}, std {before['std']} -> {after['std']}"
    if before["shape"] != after["shape"] or one.shape != other.shape:
        return f"other shapes, {before['shape']} -> {after['shape']}; {moments}"
    apart = np.abs(one - other)
    return f"pixels differ: block means by rms {np.sqrt((apart**2).mean()):.2f}, at most {apart.max():.0f}; {moments}"


def clipped(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 160 else f"{text[:157]}..."


def enter_environment() -> None:
    """Start this script anew with `ENVIRONMENT`, which libraries read when they are loaded; once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCOREINV_")}
    if os.environ != kept | ENVIRONMENT:
        os.execve(sys.executable, [sys.executable, *sys.argv], kept | ENVIRONMENT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("record", "compare", "list"))
    parser.add_argument("files", nargs="*", type=Path, help="the record; for compare also a later one, else run now")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=list(cases()), help="these cases")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep all pictures in this new folder")
    options = parser.parse_args()
    if options.do == "list":
        print("\n".join(cases()))
        return 0
    if not 1 <= len(options.files) <= (1 if options.do == "record" else 2):
        parser.error("name the record")
    path, *later = [file.resolve() for file in options.files]
    with contextlib.ExitStack() as stack:
        if options.keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        else:
            folder = options.keep.resolve()
            folder.mkdir(parents=True)
        after = json.loads(later[0].read_text()) if later else record(options.only, folder)
    if options.do == "record":
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in after["cases"].items())
        path.write_text(f'{{"machine": {json.dumps(after["machine"])}, "cases": {{\n{lines}\n}}}}\n')
        print(f"{len(after['cases'])} cases, {sum(case['seconds'] for case in after['cases'].values()):.0f} s")
        return 0
    before = json.loads(path.read_text())
    if before["machine"] != after["machine"]:
        print(f"Recorded on {before['machine']}, compared on {after['machine']}: hashes need not agree.")
    different = 0
    for name in options.only or before["cases"] | after["cases"]:
        one, other = (each["cases"].get(name, {}).get("runs", []) for each in (before, after))
        found = list(differences(one, other, name))
        different += bool(found)
        print("\n".join(found), end="\n" if found else "")
    print(f"{different} of {len(options.only or before['cases'])} cases differ")
    return 1 if different else 0


if __name__ == "__main__":
    enter_environment()
    status = main()
    sys.stdout.flush()
    os._exit(status)  # `scoreinv.__main__` registers an end of the process by the status of its command
