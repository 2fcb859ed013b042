"""Train pretrained/scene/likeness.safetensors, the embedding that compares places of pictures.

    python -m scoreinv.training.recipes.likeness PHOTOS CLOTHES KINDS [--most 200] [--steps 800] [--seed 0]

PHOTOS: photographs of all kinds. CLOTHES: a copy of clothing-co-parsing, with labelled clothes. KINDS: a folder of
photographs for each kind of object. Training alternates between five tasks:

    own      one half of a photograph gives colours to the other, with the smallest squared error
    other    pictures of different kinds match nothing in each other
    crop     places of a crop match their places in the whole picture
    clothes  a garment matches the same garment on other people
    kind     an object matches objects of its kind, located by class activation maps (Zhou et al. 2016)

The distribution of colours given a place is trained afterwards, by the likelihood of the colours of similar places.
The bundled weights come from a longer script: there, dresses also matched tops and skirts, and similarity depended on
the kinds of the pictures.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.io import loadmat
from torch import Tensor, nn

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.models.places import LIKENESS_FILE, maps_of
from scoreinv.networks.place_embedding import Colours, PlaceNetwork
from scoreinv.operators.luma import luma
from scoreinv.preconditioning import centre
from scoreinv.training.recipes.fitting import arguments, fit, photographs, store

BATCH, QUERIES, DARKEST = 8, 256, 0.05
SHARES = {"own": 0.25, "other": 0.2, "crop": 0.15, "clothes": 0.2, "kind": 0.2}
"""Probabilities of the tasks."""
CLOTHES = (
    "skin", "hair",
    "blazer blouse cape cardigan coat hoodie jacket jumper shirt sweater sweatshirt t-shirt top vest scarf",
    "jeans leggings pants shorts skirt stockings tights socks", "dress romper bodysuit suit",
    "boots clogs flats heels loafers pumps sandals shoes sneakers wedges",
)  # fmt: skip
View = dict[str, Any]
"""Data of a picture or a part of it: maps, kind, drawn and true chroma (2, N), luma (N,), marks (N,), places (N, 2),
and `beyond`, the RGB values minus the luma (3, N)."""


def main() -> None:
    parser = arguments(__doc__, LIKENESS_FILE, "photos", "clothes", "kinds", most=200, steps=800)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    prior = scoreinv.load("scene")
    halves = [views(path, prior, "photo", halved=True) for path in some(options.photos, options.most)]
    dressed = [views(path, prior, "clothes") for path in some(options.clothes / "photos", options.most // 2)]
    kinds = [
        [views(path, prior, folder.name) for path in some(folder, options.most // 10)]
        for folder in sorted(options.kinds.iterdir())
    ]
    mark_things(kinds)
    metric = PlaceNetwork()
    numbers = nn.Parameter(torch.tensor([1.2, 0.85, 2.0]))
    given = {"photo": halves, "clothes": dressed, "kinds": kinds}

    def draw_loss() -> Tensor:
        tasks = random.choices(list(SHARES), list(SHARES.values()), k=BATCH)
        return torch.stack([loss_of(task, metric, numbers, given) for task in tasks]).mean()

    layers = [*metric.maps.parameters(), *metric.keys.parameters()]
    groups = [{"params": layers}, {"params": [numbers], "lr": 5e-3, "weight_decay": 0}]
    fit(groups, draw_loss, options.steps, 2e-3, warmup=30)
    pairs = [*halves, *dressed, *(pair for pictures in kinds for pair in pictures)]
    train_colours(metric.colours, [one for pair in pairs for one in pair], options.steps)
    store(metric, options.output, half=True)
    print("sharpness / 20, alike, luma:", *(f"{value:.2f}" for value in numbers.tolist()))


def some(folder: Path, most: int) -> list[Path]:
    """Choose photographs of a folder at random, at most `most`."""
    files = photographs(folder)
    return random.sample(files, min(most, len(files)))


def views(path: Path, prior: Any, kind: str, *, halved: bool = False) -> list[View]:
    """Return the halves of a photograph, or the whole photograph and a crop of it on another film."""
    picture = read_picture(path)
    height, width = (32 * min(12, max(7, round(7 * side / min(picture.size)))) for side in picture.size)
    marks = worn(path, height // 8, width // 8) if kind == "clothes" else torch.zeros(height // 8, width // 8)
    if halved:
        both = picture.resized_rgb(224, 448)
        return [view(both[:, side : side + 224], prior, kind, marks, (0, 0, 1)) for side in (0, 224)]
    part = random.uniform(0.5, 0.95)
    large = picture.resized_rgb(round(height / part), round(width / part))
    top, left = random.randint(0, len(large) - height), random.randint(0, large.shape[1] - width)
    box = (top / len(large), left / large.shape[1], part)
    crop = large[top : top + height, left : left + width]
    whole = picture.resized_rgb(height, width)
    return [view(whole, prior, kind, marks, (0, 0, 1)), view(crop, prior, kind, marks, box)]


def worn(path: Path, height: int, width: int) -> Tensor:
    """Return the class in `CLOTHES` at each place, from 1, by the annotations; 0 for none."""
    root = path.parents[1]
    names = [str(name[0]) for name in loadmat(root / "label_list.mat")["label_list"][0]]
    number = [next((k for k, some in enumerate(CLOTHES, 1) if name in some.split()), 0) for name in names]
    marks = np.array(number)[loadmat(root / "annotations" / "pixel-level" / f"{path.stem}.mat")["groundtruth"]]
    return F.interpolate(torch.from_numpy(marks)[None, None].float(), (height, width))[0, 0]


def view(rgb: np.ndarray, prior: Any, kind: str, marks: Tensor, box: tuple[float, float, float]) -> View:
    """Return the data of a part (top, left, share of the sides) of a picture."""
    colours = torch.from_numpy(np.ascontiguousarray(rgb)).float().permute(2, 0, 1)[None]
    gray = clean = torch.from_numpy(luma(np.ascontiguousarray(rgb))).float()[None, None]
    if box[2] < 1:
        gray = gray ** math.exp(random.uniform(-0.4, 0.4))
        gray = (0.5 + random.uniform(0.7, 1.2) * (gray - 0.5)).clamp(0, 1)
    with torch.no_grad():
        maps = [value.half() for value in maps_of(gray, prior)]
        drawn = prior.chroma.conv_out(maps[0].float())[0].flatten(1)
    size = maps[0].shape[-2:]
    small, beyond = (F.interpolate(value, size, mode="area") for value in (centre(colours, (0, 1)), colours - clean))
    truth = prior.preconditioning.chroma_beyond_gray(small)[0].flatten(1)
    rows, columns = (start + box[2] * (torch.arange(n) + 0.5) / n for start, n in zip(box, size, strict=False))
    places = torch.cartesian_prod(rows, columns)
    light = F.interpolate(gray, size, mode="area").flatten()
    one = {"maps": maps, "kind": kind, "drawn": drawn, "truth": truth, "luma": light, "places": places}
    return one | {"marks": at(marks, places), "beyond": beyond[0].flatten(1)}


def at(marks: Tensor, places: Tensor) -> Tensor:
    """Return the marks at places in [0, 1]."""
    rows, columns = (places * torch.tensor(marks.shape)).long().T
    return marks[rows, columns]


def mark_things(kinds: list[list[list[View]]]) -> None:
    """Mark the objects of each kind, from 0 to 1, by class activation maps of the encoder's coarsest map."""
    pooled = torch.stack([one[0]["maps"][-1].float().mean((0, 2, 3)) for pictures in kinds for one in pictures])
    labels = torch.tensor([number for number, pictures in enumerate(kinds) for _ in pictures])
    mean, deviation = pooled.mean(0), pooled.std(0) + 0.05
    classifier = nn.Linear(pooled.shape[1], len(kinds))
    inputs = (pooled - mean) / deviation
    fit(classifier.parameters(), lambda: F.cross_entropy(classifier(inputs), labels), 300, 3e-3, weight_decay=0.3)
    weight = (classifier.weight - classifier.weight.mean(0)).detach() / deviation
    for number, pictures in enumerate(kinds):
        for whole, crop in pictures:
            found = torch.einsum("c,bchw->bhw", weight[number], whole["maps"][-1].float())[None]
            found = F.interpolate(found, whole["maps"][0].shape[-2:], mode="bicubic")[0, 0]
            low, high = torch.quantile(found, torch.tensor([0.05, 0.97]))
            found = ((found - low) / (high - low)).clamp(0, 1)
            whole["marks"], crop["marks"] = found.flatten(), at(found, crop["places"])


def train_colours(colours: Colours, given: list[View], steps: int) -> None:
    """Train the distribution of colours at a place, a mixture of Gaussians initialised at mostly vivid colours."""
    seen = torch.cat([one["maps"][0][0].flatten(1) for one in given], dim=1)
    chroma = torch.cat([one["beyond"] for one in given], dim=1)
    some = torch.randint(chroma.shape[1], (100_000,))
    vivid = torch.multinomial(chroma[:, some].norm(dim=0) + 0.02, len(colours.log_width))
    colours.centres.data = chroma[:, some[vivid]]
    colours.log_width.data.fill_(math.log(0.03))

    def draw_loss() -> Tensor:
        which = torch.randint(chroma.shape[1], (512,))
        shares = colours(seen[None, :, None, which].float())
        return -(shares.log() + colours.log_densities(chroma[:, which])).logsumexp(0).mean()

    fit(colours.parameters(), draw_loss, steps, 2e-3)


def loss_of(task: str, metric: PlaceNetwork, numbers: Tensor, given: dict[str, Any]) -> Tensor:
    """The loss of one draw of a task."""
    pairs = [*given["photo"], *given["clothes"], *(one for pictures in given["kinds"] for one in pictures)]
    turn = random.randrange(2)
    if task == "own":
        one = random.choice(given["photo"])
        a, b = one[turn], one[1 - turn]
    elif task == "other":
        a, b = random.choice(pairs)[turn], random.choice(pairs)[0]
        while a["kind"] == b["kind"] != "photo":
            b = random.choice(pairs)[0]
    elif task == "crop":
        b, a = random.choice(pairs[len(given["photo"]) :])
    else:
        pictures = given["clothes"] if task == "clothes" else random.choice(given["kinds"])
        a, b = random.choice(pictures)[turn], random.choice(pictures)[0]
    which = torch.randperm(len(a["luma"]))[:QUERIES]
    a = a | {name: a[name][..., which] for name in ("drawn", "truth", "luma", "marks")} | {"places": a["places"][which]}
    keys, others = (metric([value.float() for value in one["maps"]])[0] for one in (a, b))
    sharpness, alike, light = numbers
    close = keys[:, which].T @ others - light * (a["luma"][:, None] - b["luma"]).square()
    logits = 20 * sharpness * (close - alike)
    if task == "own":
        return -0.15 * gain(a, b, logits)
    if task == "other":
        return -0.3 * gain(a, b, logits) + 0.5 * (1 + logits.exp().sum(1)).log().mean()
    if task == "crop":
        steps = (a["places"][:, None] - b["places"]) * torch.tensor(b["maps"][0].shape[-2:])
        return 0.2 * missed(logits, steps.square().sum(-1) < 6, nothing=torch.zeros(len(logits), dtype=torch.bool))
    mine, theirs = a["marks"][:, None], b["marks"]
    if task == "kind":
        thing = mine > 0.45
        return missed(logits, torch.where(thing, theirs > 0.5, theirs < 0.4), nothing=~thing[:, 0])
    right = mine == theirs
    return missed(logits, right, nothing=~right.any(1) | (mine[:, 0] == 0))


def missed(logits: Tensor, right: Tensor, nothing: Tensor) -> Tensor:
    """Return -log of the probability of correct matches (Q, N), or of no match (`nothing`, (Q,))."""
    all_of_it = F.pad(logits, (0, 1))
    hit = all_of_it.masked_fill(~torch.cat([right, nothing[:, None]], dim=1), -1e9)
    return (all_of_it.logsumexp(1) - hit.logsumexp(1)).mean()


def gain(a: View, b: View, logits: Tensor) -> Tensor:
    """Return the gain of a picture from another's colours, in dB."""
    weights, e = logits.exp(), 2e-4
    total = 1 + weights.sum(1)
    shade = ((a["luma"][:, None] + DARKEST) / (b["luma"] + DARKEST)).clamp(max=1)
    mixed = (b["truth"] @ (weights * shade).T + a["drawn"]) / total
    before, after = ((x - a["truth"]).square().mean() for x in (a["drawn"], mixed))
    return 10 * ((before + e) / (after + e)).log10()


if __name__ == "__main__":
    main()
