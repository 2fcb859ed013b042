"""Damaged models: files of ours, folders of diffusers, checkpoints and JSON of the reference, runs, zips of pictures.

    nice python tests/fuzz/fuzz_models.py --cases 50000 --seed 1

What is accepted in spite of its damage is used once: described, and evaluated or classified on one small picture.
"""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import random
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import main
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
FOLDERS = [DATA / "diffusers" / name for name in ("ncsnpp", "heads", "ddpm")]
CHECKPOINTS = [DATA / "parity" / name for name in ("ve_ncsnpp_unconditional", "ve_church_ncsnpp_continuous")]

_SMALL = NCSNppConfig(width=4, multipliers=(1, 2), blocks=1, attention_levels=(1,), progressive_input="none")
_SAMPLER = RecommendedSampler("ancestral", "langevin")
MODELS: list[ModelConfig | ClassifierConfig] = [
    ModelConfig(_SMALL, VE(), EDM(), image_size=8, sampler=_SAMPLER),
    ModelConfig(replace(_SMALL, condition_channels=12, patch=2), VP(), ResidualPreconditioning(), image_size=8),
    ModelConfig(
        replace(_SMALL, block="ddpm", embedding="positional", progressive_output="output_skip"),
        VE(0.01, 50.0),
        PaperVE("index"),
        image_size=8,
    ),
    ModelConfig(replace(_SMALL, groups=None, progressive_input="residual"), DDPM(), EDM(), image_size=8),
    ClassifierConfig(WideResNetConfig(classes=2, depth=10, width=1), VP(), ("a", "b"), image_size=8),
    ClassifierConfig(ConvNetConfig(classes=2, widths=(8, 8)), VP(), ("a", "b"), image_size=8),
]


@dataclass(frozen=True)
class Parts:
    """A safetensors file, taken apart.

    Attributes:
        header: its JSON.
        values: the bytes behind it.
    """

    header: dict[str, Any]
    values: bytes

    def joined(self, header: bytes | None = None) -> bytes:
        header = json.dumps(self.header).encode() if header is None else header
        return len(header).to_bytes(8, "little") + header + self.values


def apart(content: bytes) -> Parts:
    length = int.from_bytes(content[:8], "little")
    return Parts(json.loads(content[8 : 8 + length]), content[8 + length :])


def _saved(config: ModelConfig | ClassifierConfig, folder: Path) -> bytes:
    path = folder / "model.safetensors"
    save(config.build(), path, half=True, notes={"images": 3, "licence": "none"})
    return path.read_bytes()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a/one.png", "a/two.jpg", "b/three.bmp", "notes.txt"):
            picture = io.BytesIO()
            Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3) * len(name)).save(
                picture, {"jpg": "JPEG", "bmp": "BMP"}.get(name[-3:], "PNG")
            )
            archive.writestr(name, picture.getvalue())
    return buffer.getvalue()


def a_header(generator: random.Random, folder: Path) -> None:
    """The JSON of a header: tensors' names, kinds, shapes and places, metadata."""
    parts = generator.choice(SAVED)
    change = disordered if generator.random() < 0.7 else damaged_json
    use(folder, replace(parts, header=change(generator, parts.header)).joined())


def disordered(generator: random.Random, header: dict[str, Any]) -> dict[str, Any]:
    """A header that describes the same bytes by other names, shapes and kinds of numbers."""
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    for _ in range(generator.randint(1, 3)):
        first, second = generator.choice(list(tensors)), generator.choice(list(tensors))
        entry = dict(tensors[first])
        match generator.randrange(5):
            case 0:
                tensors[first], tensors[second] = tensors[second], tensors[first]
            case 1:
                name = generator.choice(("\x1b[31mred", "", "x" * 5000, f"{first}\0", "../up"))
                tensors[name] = tensors.pop(first)
            case 2:
                entry["shape"] = generator.sample(entry["shape"], len(entry["shape"]))
                tensors[first] = entry
            case 3:
                entry["shape"] = [*entry["shape"], 1] if generator.random() < 0.5 else [1, *entry["shape"]]
                tensors[first] = entry
            case _:
                kinds = {"F16": ("BF16", "I16", "U16", "C8"), "F32": ("I32", "U32", "C64")}
                entry["dtype"] = generator.choice(kinds.get(entry["dtype"], ("F32",)))
                tensors[first] = entry
    metadata = dict(header["__metadata__"])
    if generator.random() < 0.3:
        metadata[generator.choice(list(metadata))] = generator.choice(("", "{}", "null", "[]", "\0", "9" * 5000))
    return {"__metadata__": metadata} | tensors


def bytes_of_a_model(generator: random.Random, folder: Path) -> None:
    """Anywhere in a file, or in its header's text."""
    parts = generator.choice(SAVED)
    if generator.random() < 0.5:
        use(folder, damaged(generator, parts.joined()))
    else:
        use(folder, parts.joined(damaged(generator, json.dumps(parts.header).encode())))


def a_configuration(generator: random.Random, folder: Path) -> None:
    """The configuration or the notes of a model, in an intact file."""
    parts = generator.choice(SAVED)
    metadata = dict(parts.header["__metadata__"])
    entry = generator.choice(("config", "config", "config", "notes"))
    if generator.random() < 0.8:
        metadata[entry] = json.dumps(damaged_json(generator, json.loads(metadata[entry])))
    else:
        metadata[entry] = damaged(generator, metadata[entry].encode()).decode(errors="replace")
    use(folder, replace(parts, header=parts.header | {"__metadata__": metadata}).joined())


def use(folder: Path, content: bytes) -> None:
    """What the commands do with a model's file."""
    path = folder / "m.safetensors"
    path.write_bytes(content)
    if describe(str(path))["task"] == "classifier":
        classifier = load_classifier(path)
        with torch.no_grad():
            classifier(torch.zeros(1, classifier.network.channels, 16, 16), torch.tensor(0.5))
    else:
        evaluate(scoreinv.load(str(path)))


def evaluate(prior: ScorePrior) -> None:
    side = prior.image_size
    if side <= 32:
        with torch.no_grad():
            prior.noise(torch.zeros(1, prior.channels, side, side), 0.5)


def a_folder_of_diffusers(generator: random.Random, folder: Path) -> None:
    """One of its configurations, or its weights."""
    source = generator.choice(FOLDERS)
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.name != "io.safetensors"]
    chosen = generator.choice(files)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file != chosen:
            (folder / file).symlink_to(source / file)
            continue
        content = (source / file).read_bytes()
        if file.suffix == ".json":
            content = damaged_text(generator, content)
        elif file.suffix == ".safetensors" and generator.random() < 0.7:
            parts = apart(content)
            content = replace(parts, header=damaged_json(generator, parts.header)).joined()
        elif file.suffix == ".bin" and generator.random() < 0.7:
            content = damaged_archive(generator, content)
        else:
            content = damaged(generator, content)
        (folder / file).write_bytes(content)
    evaluate(scoreinv.load(folder))


def damaged_text(generator: random.Random, content: bytes) -> bytes:
    if generator.random() < 0.2:
        return damaged(generator, content)
    return json.dumps(damaged_json(generator, json.loads(content))).encode()


def damaged_archive(generator: random.Random, content: bytes) -> bytes:
    """A pickled checkpoint whose pickle is damaged, in an intact zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = damaged_pickle(generator, data)
            elif generator.random() < 0.05:
                data = damaged(generator, data)
            compressed = generator.random() < 0.02
            target.writestr(entry.filename, data, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)
    return buffer.getvalue()


def damaged_pickle(generator: random.Random, data: bytes) -> bytes:
    """Bytes of it, or its operations: taken out, repeated, swapped, and numbers in them."""
    if generator.random() < 0.3:
        return damaged(generator, data)
    places = [place for _, _, place in pickletools.genops(data)] + [len(data)]
    operations = [data[start:end] for start, end in pairwise(places)]
    for _ in range(generator.randint(1, 4)):
        first, second = generator.randrange(len(operations)), generator.randrange(len(operations))
        match generator.randrange(5):
            case 0:
                del operations[first]
            case 1:
                operations[first] = operations[second]
            case 2:
                operations.insert(first, operations[second])
            case 3:
                number = generator.choice((0, 1, -1, 2**31 - 1, 2**40, 2**62, 2**63, 2**70))
                operations[first] = pickle.dumps(number, 2)[2:-1]
            case _:
                operations[first] = damaged(generator, operations[first], 1)
    return b"".join(operations)


def a_checkpoint_of_the_reference(generator: random.Random, folder: Path) -> None:
    """Its JSON, or the pickled checkpoint."""
    source = generator.choice(CHECKPOINTS)
    configuration, checkpoint = folder / "config.json", folder / "c.pth"
    configuration.write_bytes((source / "config.json").read_bytes())
    content = (source / "checkpoint.pth").read_bytes()
    match generator.randrange(4):
        case 0:
            checkpoint.write_bytes(damaged(generator, content))
        case 1:
            checkpoint.write_bytes(damaged_archive(generator, content))
        case _:
            checkpoint.symlink_to(source / "checkpoint.pth")
            configuration.write_bytes(damaged_text(generator, configuration.read_bytes()))
    config = read_official_config(str(configuration))
    evaluate(load_official(checkpoint, config, ema=generator.random() < 0.5))


def a_training_run(generator: random.Random, folder: Path) -> None:
    """The configuration of a run."""
    path = folder / "config.json"
    path.write_bytes(damaged_text(generator, RUN))
    read_config(path)


def a_zip_of_pictures(generator: random.Random, folder: Path) -> None:
    """Training pictures, some of which may be left out."""
    path = folder / "pictures.zip"
    path.write_bytes(damaged(generator, PICTURES))
    load_pictures(DataConfig(source=str(path)), 8, 3)


KINDS: tuple[Callable[[random.Random, Path], None], ...] = (
    a_header,
    bytes_of_a_model,
    a_configuration,
    a_configuration,
    a_folder_of_diffusers,
    a_checkpoint_of_the_reference,
    a_training_run,
    a_zip_of_pictures,
)


def case(generator: random.Random, folder: Path) -> None:
    """A damaged input of any kind."""
    generator.choice(KINDS)(generator, folder)


def prepare(folder: Path) -> None:
    """Make the intact inputs, and use each once: what is read undamaged, and what torch loads late, is there then."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for config in MODELS:
        content = _saved(config, folder)
        SAVED.append(apart(content))
        use(folder, SAVED[-1].joined())
    for source in FOLDERS:
        evaluate(scoreinv.load(source))
    for source in CHECKPOINTS:
        config = read_official_config(str(source / "config.json"))
        evaluate(load_official(source / "checkpoint.pth", config, ema=True))
    (folder / "pictures.zip").write_bytes(PICTURES)
    if len(load_pictures(DataConfig(source=str(folder / "pictures.zip")), 8, 3)) != 3:
        raise InputError("the zip of pictures is not read")


SAVED: list[Parts] = []
PICTURES = _zip()
RUN = json.dumps(encode(small_training(VE(), DataConfig()))).encode()

if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
    sys.exit(main(case))
