"""Damaged models: files of ours, folders of diffusers, checkpoints and JSON of the reference, runs, zips of pictures.

What is accepted in spite of its damage is used once: described, and evaluated or classified on one small picture.
"""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutations import damaged, damaged_json
from PIL import Image

import scoreinv
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.errors import InputError
from scoreinv.models.catalogue import describe, load_classifier
from scoreinv.models.codec import encode
from scoreinv.models.config import ClassifierConfig, ModelConfig
from scoreinv.models.model_file import save
from scoreinv.models.official import load_official, read_official_config
from scoreinv.networks.classifiers import ConvNetConfig, WideResNetConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM, PaperVE
from scoreinv.prior import RecommendedSampler, ScorePrior
from scoreinv.sdes import DDPM, VE, VP
from scoreinv.training.config import DataConfig, read_config
from scoreinv.training.pictures import load_pictures
from scoreinv.training.presets import small_training

DATA = Path(__file__).parents[1] / "data"
_SMALL = NCSNppConfig(width=4, multipliers=(1, 2), blocks=1, attention_levels=(1,), progressive_input="none")
_DDPM = replace(_SMALL, block="ddpm", embedding="positional", progressive_output="output_skip")
_PATCHED = replace(_SMALL, condition_channels=12, patch=2)
_SAMPLER = RecommendedSampler("ancestral", "langevin")
MODELS: list[ModelConfig | ClassifierConfig] = [
    ModelConfig(_SMALL, VE(), EDM(), image_size=8, sampler=_SAMPLER),
    ModelConfig(_PATCHED, VP(), ResidualPreconditioning(), image_size=8),
    ModelConfig(_DDPM, VE(0.01, 50.0), PaperVE("index"), image_size=8),
    ModelConfig(replace(_SMALL, groups=None, progressive_input="residual"), DDPM(), EDM(), image_size=8),
    ClassifierConfig(WideResNetConfig(classes=2, depth=10, width=1), VP(), ("a", "b"), image_size=8),
    ClassifierConfig(ConvNetConfig(classes=2, widths=(8, 8)), VP(), ("a", "b"), image_size=8),
]


@dataclass(frozen=True)
class Intact:
    """Files that are not damaged.

    Attributes:
        folder: where they are.
        use: reads a folder of such files, and does what the commands do with a model.
    """

    folder: Path
    use: Callable[[Path], None]

    def files(self) -> list[Path]:
        paths = [path for path in self.folder.rglob("*") if path.is_file() and path.name != "io.safetensors"]
        return [path.relative_to(self.folder) for path in paths]


INTACT: list[Intact] = []
_FOLDER = tempfile.TemporaryDirectory()


def case(generator: random.Random, folder: Path) -> None:
    """Files of any kind, one of them damaged."""
    intact = generator.choice(INTACT)
    files = intact.files()
    chosen = generator.choice(files)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file == chosen:
            damage = {".safetensors": damaged_tensors, ".json": damaged_text, ".bin": damaged_archive}
            damage[".pth"] = damaged_archive
            (folder / file).write_bytes(
                damage.get(file.suffix, damaged)(generator, (intact.folder / file).read_bytes())
            )
        else:
            (folder / file).symlink_to(intact.folder / file)
    intact.use(folder)


def use_model(folder: Path) -> None:
    """A file of ours."""
    path = folder / "m.safetensors"
    if describe(str(path))["task"] == "classifier":
        classifier = load_classifier(path)
        with torch.no_grad():
            classifier(torch.zeros(1, classifier.network.channels, 16, 16), torch.tensor(0.5))
    else:
        evaluate(scoreinv.load(str(path)))


def use_diffusers(folder: Path) -> None:
    evaluate(scoreinv.load(folder))


def use_checkpoint(folder: Path) -> None:
    """A checkpoint of the reference."""
    evaluate(load_official(folder / "checkpoint.pth", read_official_config(str(folder / "config.json")), ema=True))


def use_run(folder: Path) -> None:
    """The configuration of a training run."""
    read_config(folder / "config.json")


def use_pictures(folder: Path) -> None:
    """Training pictures, some of which may be left out."""
    if not len(load_pictures(DataConfig(source=str(folder / "pictures.zip")), 8, 3)):
        raise InputError("no picture is read")


def evaluate(prior: ScorePrior) -> None:
    side = prior.image_size
    if side <= 32:
        with torch.no_grad():
            prior.noise(torch.zeros(1, prior.channels, side, side), 0.5)


def prepare() -> None:
    """Make the intact inputs, and use each once: what is read undamaged, and what torch loads late, is there then."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    made = Path(_FOLDER.name)
    for number, config in enumerate(MODELS):
        (made / str(number)).mkdir()
        save(config.build(), made / str(number) / "m.safetensors", half=True, notes={"images": 3, "licence": "none"})
        INTACT.append(Intact(made / str(number), use_model))
    INTACT.extend(Intact(DATA / "diffusers" / name, use_diffusers) for name in ("ncsnpp", "heads", "ddpm"))
    checkpoints = ("ve_ncsnpp_unconditional", "ve_church_ncsnpp_continuous")
    INTACT.extend(Intact(DATA / "parity" / name, use_checkpoint) for name in checkpoints)
    for name in ("run", "pictures"):
        (made / name).mkdir()
    (made / "run" / "config.json").write_text(json.dumps(encode(small_training(VE(), DataConfig()))))
    with zipfile.ZipFile(made / "pictures" / "pictures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind in {"a/one.png": "PNG", "a/two.jpg": "JPEG", "b/three.bmp": "BMP"}.items():
            buffer = io.BytesIO()
            Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3) * len(name)).save(buffer, kind)
            archive.writestr(name, buffer.getvalue())
        archive.writestr("notes.txt", "none")
    INTACT.extend([Intact(made / "run", use_run), Intact(made / "pictures", use_pictures)])
    for intact in INTACT:
        intact.use(intact.folder)


def damaged_text(generator: random.Random, content: bytes) -> bytes:
    """JSON, by its bytes or its values."""
    if generator.random() < 0.2:
        return damaged(generator, content)
    return json.dumps(damaged_json(generator, json.loads(content))).encode()


def damaged_tensors(generator: random.Random, content: bytes) -> bytes:
    """A safetensors file: any bytes; the tensors' names, kinds, shapes and places; the configuration and notes."""
    length = int.from_bytes(content[:8], "little")
    header, values = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header.get("__metadata__", {})
    text: bytes | None = None
    match generator.randrange(4 if "config" in metadata else 3):
        case 0:
            return damaged(generator, content)
        case 1:
            text = damaged_text(generator, content[8 : 8 + length])
        case 2:
            disorder(generator, header)
        case _:
            entry = generator.choice(("config", "config", "config", "notes"))
            metadata[entry] = damaged_text(generator, metadata[entry].encode()).decode(errors="replace")
    text = json.dumps(header).encode() if text is None else text
    return len(text).to_bytes(8, "little") + text + values


def disorder(generator: random.Random, header: dict[str, Any]) -> None:
    """Describe the same bytes by other names, shapes and kinds of numbers."""
    for _ in range(generator.randint(1, 3)):
        first, second = generator.sample([name for name in header if name != "__metadata__"], 2)
        shape = header[first]["shape"]
        match generator.randrange(4):
            case 0:
                header[first], header[second] = header[second], header[first]
            case 1:
                name = generator.choice(("\x1b[31mred", "", "x" * 5000, f"{first}\0", "../up"))
                header[name] = header.pop(first)
            case 2:
                header[first] |= {"shape": generator.choice((shape[::-1], [*shape, 1], [1, *shape]))}
            case _:
                header[first] |= {"dtype": generator.choice(("F16", "BF16", "I16", "U16", "F32", "I32", "C64"))}


def damaged_archive(generator: random.Random, content: bytes) -> bytes:
    """A pickled checkpoint: any bytes, or its pickle in an intact zip file."""
    if generator.random() < 0.3:
        return damaged(generator, content)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = damaged_pickle(generator, data)
            compressed = generator.random() < 0.02
            target.writestr(entry.filename, data, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)
    return buffer.getvalue()


def damaged_pickle(generator: random.Random, data: bytes) -> bytes:
    """Bytes of it, or its operations: taken out, repeated, and numbers in their place."""
    if generator.random() < 0.3:
        return damaged(generator, data)
    places = [place for _, _, place in pickletools.genops(data)] + [len(data)]
    operations = [data[start:end] for start, end in pairwise(places)]
    for _ in range(generator.randint(1, 4)):
        number = pickle.dumps(generator.choice((0, 1, -1, 2**31 - 1, 2**40, 2**62, 2**63, 2**70)), 2)[2:-1]
        put = generator.choice((b"", number, generator.choice(operations)))
        operations[generator.randrange(len(operations))] = put
    return b"".join(operations)
