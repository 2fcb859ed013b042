"""What users get wrong, one command for each kind: status 2, one line that names it, and nothing written."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.shell import hole_array, photo_array

LONG = "n" * 250 + ".png"
"""A name at the file system's limit, of 254 bytes."""


@pytest.fixture(scope="module")
def world(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands run in."""
    folder = tmp_path_factory.mktemp("world")
    photo, mask = photo_array(), hole_array().astype(np.uint8) * 255
    for name in ("scans", "masks", "pair", "empty", "twins", "other", "results"):
        (folder / name).mkdir()
    pictures = {
        **dict.fromkeys(("photo.png", "existing.png", "scans/a.png", "scans/c.png", "pair/a.png"), photo),
        **dict.fromkeys(("mask.png", "masks/z.png", "twins/a.png", "twins/a.tif"), mask),
        "results/000001.png": photo,
        "gray.png": photo_array(channels=1),
        "small.png": photo_array(12, 12),
        "odd.png": photo_array(23, 41),
        "narrow.png": mask[:, :30],
        "black.png": mask * 0,
        "white.png": mask * 0 + 255,
        "binary.png": mask // 255,
        "clear.png": np.dstack([photo, np.full(photo.shape[:2], 90, np.uint8)]),
        "hints.png": np.dstack([photo, mask]),
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / name)
    frames = [Image.fromarray(photo)] * 2
    frames[0].save(folder / "frames.tif", save_all=True, append_images=frames[1:])
    whole = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "model.safetensors").write_bytes(model.read_bytes())
    (folder / "cut.safetensors").write_bytes(model.read_bytes()[:3000])
    (folder / "weights.pth").write_text("no pickle")
    (folder / "notes.json").write_text("{")
    (folder / "table.csv").write_text("a,b\n")
    (folder / "other/manifest.csv").write_text("another,table\n")
    if os.name == "posix":
        os.mkfifo(folder / "pipe.png")
        (folder / "ring.png").symlink_to("ring.png")
    return folder


INPAINT = "inpaint photo.png --mask mask.png"
CONVERT = "convert weights.pth --config vp/cifar10_ddpm"

CASES = [
    # nothing given
    ("inpaint '' --mask mask.png", "PHOTO: is empty"),
    (f"{INPAINT} -o ''", "--output: is empty"),
    # not there
    ("denoise gone.png", "gone.png: no such file: check the path"),
    ("denoise 'a\x1b[31m\nb\u202e.png'", r"a\x1b[31m\nb\u202e.png: no such file"),  # nothing acts on the terminal
    ("inpaint photo.png --mask gone.png", "--mask gone.png: no such file"),
    (f"{INPAINT} --model phto", "no bundled model is named 'phto'"),
    ("sample --model ve/church_ncsnpp_continuous", "a published model, not bundled"),
    ("evaluate photo.png --reference scans", "photo.png: is not a folder of pictures"),
    ("evaluate scans --reference scans --inception weights.pth", "--inception weights.pth: "),
    ("evaluate scans --reference scans --inception gone.pth", "--inception gone.pth: no such file"),
    ("train --sde ve --data gone", "gone: no such folder or file of pictures"),
    ("sample --class x --classifier gone.safetensors", "--class: needs a classifier of noisy pictures"),
    # damaged, or of another kind
    ("denoise cut.png", "cut.png"),
    ("denoise photo.png --model cut.safetensors", "cut.safetensors"),
    ("likelihood photo.png --model damage", "not prior"),
    ("evaluate pair --reference scans", "pair: has one picture"),
    (f"{CONVERT} -o new.safetensors", "weights.pth"),
    ("train --sde ve --data empty --out new", "empty: holds no pictures"),
    # out of range
    (f"{INPAINT} --steps 0", "--steps must be from 1"),
    (f"{INPAINT} --start soon", "--start must be a noise level"),
    (f"{INPAINT} --mask-threshold 1", "--mask-threshold 1: no value is above it"),
    (f"{INPAINT} --grow 99999", "(--grow)"),
    (f"{INPAINT} --frame 3", "--frame must be from 0 to 0, not 3"),
    ("denoise frames.tif", "--frame must be chosen, from 0 to 1"),
    ("denoise photo.png --noise 0.5", "noise of 0.5 grey levels of 255 is out of the model's range, from 1.3 to 1275"),
    ("deblur photo.png --kernel gaussian", "--kernel gaussian: needs its size"),
    ("deblur photo.png --kernel disc:1", "give gaussian:SIGMA, disk:RADIUS or motion:LENGTH,ANGLE"),
    ("upscale photo.png --factor 2.5", "'--factor': must be a whole number from 2 to 4, not '2.5'"),
    ("train --sde edm", "'--sde': 'edm' is not one of 've', 'vp', 'subvp'"),
    ("train --sde ve --sigma-max lots", "--sigma-max lots: give data, or a number above"),
    ("train --sde ve --sigma-max 0.001", "--sigma-max 0.001: give data, or a number above sigma_min"),
    # no such choice, option or command
    (f"{INPAINT} --method magic", "'--method'"),
    (f"{INPAINT} --nonsense", "--nonsense"),
    ("inpaint photo.png", "Missing option '--mask': Mask file or folder"),
    ("nonsense", "No such command 'nonsense'"),
    ("train", "nothing to train"),
    # not together
    (f"{INPAINT} --method conditioned --start 1", "--start needs the method pc"),
    (f"{INPAINT} --sensitivity 0.5", "no effect on a mask"),
    ("inpaint photo.png --mask auto --invert-mask", "need a mask file"),
    (f"{INPAINT} --quality 80", "--quality has no effect on photo_inpainted.png"),
    (f"{INPAINT} -o new.tif --format jpg", "give one of them"),
    (f"{INPAINT} -o - --samples 2", "--samples: stdout takes one picture"),
    ("inpaint - --mask -", "stdin is one mask"),
    ("inpaint scans - --mask mask.png", "cannot be combined"),
    (f"{INPAINT} --shard 1/2", "--shard 1/2: needs a folder or several photos"),
    ("likelihood - photo.png", "- (stdin) cannot be combined"),
    ("deblur photo.png --kernel -", "--kernel is a name or a file"),
    ("deblur photo.png --kernel disk:1 --mask auto", "--mask auto"),
    ("deblur photo.png --kernel disk:1 --grow 3", "--grow needs a mask file"),
    ("deblur photo.png --kernel-from 1,2,3", "--kernel-from 1,2,3: give X,Y,W,H"),
    ("colorize gray.png --hints -", "--hints -: name a file"),
    ("colorize gray.png --hints gray.png", "alpha channel"),
    ("colorize scans --like gray.png", "gray.png: has no colours"),
    ("restore photo.png --mask mask.png --no-inpaint", "--mask needs the filling of damage"),
    ("restore photo.png --invert-mask", "need a mask file"),
    ("restore photo.png --grow 2 --no-inpaint", "--grow does not go with --no-inpaint"),
    ("sample --rtol 0.01 --precision bfloat16", "--precision bfloat16: ODE solvers and likelihood need float32"),
    ("interpolate photo.png small.png", "small.png: is 12x12, and photo.png is"),
    ("interpolate - photo.png", "-o"),
    ("likelihood odd.png", "odd.png: the picture is 41x23"),
    ("convert weights.pth -o new.safetensors", "--config"),
    ("train --sde ve --config notes.json", "give one of them"),
    ("train --sde vp --sigma-max 50", "--sigma-max needs the VE SDE"),
    ("train --sde ve --resume", "--resume: name the folder of the run with --out"),
    ("train --sde ve --resume --out new --init model.safetensors", "--init and --resume: a resumed run"),
    ("train --sde ve --damage", "give one of them"),
    ("train --damage --resume --out new", "--damage: is for a new run"),
    ("train --config notes.json --size 64", "--size: goes with --sde"),
    ("train --sde ve --resume --out new --conditional", "--conditional: goes with --sde, for a new run"),
    ("train --resume --out new", "new: holds no run to resume"),
    (f"{INPAINT} --method biharmonic --model photo2", "--model does not go with --method biharmonic"),
    (f"{INPAINT} --method biharmonic --uncertainty u.png", "--uncertainty does not go with --method biharmonic"),
    ("sample -n 1 -o new.png --quality 80", "--quality has no effect on new.png"),
    ("compare photo.png photo.png --changes small.png", "is not a mask of changes"),
    # masks
    ("inpaint photo.png --mask photo.png", "--mask photo.png: is a photo:"),
    ("inpaint scans --mask scans", "is a photo:"),
    ("inpaint photo.png --mask narrow.png", "30x24"),
    ("inpaint photo.png --mask black.png", "the largest value is 0 of 255"),
    ("inpaint photo.png --mask binary.png", "(--mask-threshold 0)"),
    ("inpaint photo.png --mask white.png", "(--invert-mask)"),
    (f"{INPAINT} --avoid white.png", "255 of 255): mark less of it\n"),
    ("inpaint photo.png --mask frames.tif", "has 2 frames"),
    ("inpaint scans --mask masks", "masks: no mask in this folder has the name of a photo"),
    ("inpaint scans --mask twins", "have one name"),
    (f"{INPAINT} --avoid photo.png", "--avoid photo.png: is a photo:"),
    ("inpaint photo.png --mask - --avoid -", "--avoid -: stdin can be read once, and --mask has it"),
    ("inpaint scans --mask mask.png --avoid masks", "--avoid masks: no mask in this folder has the name of a photo"),
    # outputs
    (
        "denoise photo.png -o existing.png --model gone.safetensors",
        "existing.png: exists: choose another name with -o, or replace it with --overwrite",
    ),
    ("denoise photo.png -o new.xyz", "new.xyz: end the output's name in .png"),
    ("denoise photo.png -o nowhere/new.png", "nowhere/new.png: there is no folder nowhere: create it first"),
    ("denoise photo.png -o photo.png/new.png", "photo.png/new.png: cannot be written (Not a directory)"),
    (f"denoise photo.png -o {LONG}.png", "name"),
    ("upscale clear.png -o new.jpg --model gone.safetensors", "JPEG has no transparency"),
    (f"{INPAINT} -o gray.png --model gray.png --overwrite", "-o gray.png: is the inpaint model"),
    ("sample -o gray.png --model gray.png --overwrite", "-o gray.png: is the model"),
    ("sample -o gray.png --class x --classifier gray.png --overwrite", "-o gray.png: is the classifier"),
    ("denoise photo.png -o photo.png/", "photo.png: is not a folder"),
    (f"{INPAINT} --changes existing.png", "existing.png: exists: choose another name with --changes"),
    ("sample -n 1 -o results/", "000001.png: exists"),
    (f"{INPAINT} --uncertainty u.png", "add --samples 4"),
    (f"{INPAINT} --uncertainty u.jpg --samples 2", "--uncertainty u.jpg"),
    (f"{INPAINT} --uncertainty mask.png --samples 2 --overwrite", "--uncertainty mask.png: is the mask"),
    (f"{INPAINT} -o r.png --uncertainty r.1.png --samples 2", "--uncertainty r.1.png: is another output"),
    (
        "inpaint scans --mask mask.png --uncertainty u.png --samples 2",
        "there are several pictures: name a folder",
    ),
    ("likelihood photo.png --csv table.csv", "exists: choose another name with --csv"),
    (f"{CONVERT} -o new.pth", ".safetensors"),
    ("restore scans --steps-to scans", "--steps-to scans: is a folder of the photos"),
    # batches
    ("denoise empty", "empty: no pictures in this folder"),
    ("denoise scans -o new.png", "several inputs need a folder"),
    ("denoise scans -o photo.png/new", "photo.png: is not a folder"),
    ("denoise photo.png photo.png", "have one output"),
    ("denoise scans -o other", "manifest.csv: has other columns"),
    ("denoise scans --model gone.safetensors", "gone.safetensors"),
    *((f"denoise scans --shard {shard}", f"--shard {shard}: give K/N") for shard in ("3/2", "٣/4")),
    # special files
    ("denoise pipe.png", "pass -"),
    ("denoise ring.png", "ring.png"),
    ("denoise photo.png -o pipe.png --overwrite", "pipe.png"),
    (f"{INPAINT} --model pipe.png", "pipe.png"),
]


@pytest.mark.parametrize(("line", "said"), CASES, ids=[line[:60] for line, _ in CASES])
def test_bad_input_is_refused(scoreinv, world, monkeypatch, line, said):
    if os.name != "posix" and any(name in line for name in ("pipe", "ring")):
        pytest.skip("needs files of POSIX")
    monkeypatch.chdir(world)
    before = state(world)
    outcome = scoreinv(*shlex.split(line))
    assert state(world) == before
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    assert outcome.err.startswith("scoreinv: error: ")
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """All that is in a folder, and when it was last written."""
    found = {path: path.lstat() for path in folder.rglob("*")}
    return {str(path): (status.st_mode, status.st_ino, status.st_mtime_ns) for path, status in found.items()}
