"""Train pretrained/places/model.safetensors, the embedding that compares places of pictures.

    python -m pretrained.places.make PHOTOS CLOTHES KINDS [--most 200] [--steps 800] [--seed 0]

PHOTOS: photographs of all kinds. CLOTHES: a copy of clothing-co-parsing, with labelled clothes. KINDS: a folder of
photographs for each kind of object. Training alternates between five tasks:

    own      one half of a photograph gives colours to the other, with the smallest squared error
    other    pictures of different kinds match nothing in each other
    crop     places of a crop match their places in the whole picture
    clothes  a garment matches the same garment on other people
    kind     an object matches objects of its kind, located by class activation maps (Zhou et al. 2016)

The distribution of colours given a place is trained afterwards, by the likelihood of the colours of similar places. The
bundled weights are of an earlier program (see the card), so this one makes an embedding of the same kind, not the same.
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
from pretrained.fitting import arguments, fit, photographs
from scoreinv.files.read import read_picture
from scoreinv.models.places import maps_of
from scoreinv.networks.place_embedding import Colours, PlaceNetwork
from scoreinv.operators.luma import luma
from scoreinv.preconditioning import centre
from scoreinv.prior import Model

BATCH, QUERIES = 8, 256
"""Pairs of pictures in a step, and places of each first picture that are compared with the second."""
DARKEST = 0.05
"""Luma that is added in the ratio of two lumas, so that dark places give little colour."""
SHARES = {"own": 0.25, "other": 0.2, "crop": 0.15, "clothes": 0.2, "kind": 0.2}
"""Probabilities of the tasks."""
CLOTHES = (
    "skin", "hair",
    "blazer blouse cape cardigan coat hoodie jacket jumper shirt sweater sweatshirt t-shirt top vest scarf",
    "jeans leggings pants shorts skirt stockings tights socks", "dress romper bodysuit suit",
    "boots clogs flats heels loafers pumps sandals shoes sneakers wedges",
)  # fmt: skip
View = dict[str, Any]
"""Data of N places of a picture or a part of it:

    maps         input maps of `PlaceNetwork`
    kind         kind of the picture
    drawn, truth predicted and true chroma (2, N)
    luma         (N,)
    marks        (N,), class of a garment in `CLOTHES`, or how likely an object is, 0 to 1
    places       (N, 2), rows and columns in the whole picture, in [0, 1]
    beyond       RGB values minus luma (3, N)
"""


def main() -> None:
    parser = arguments(__doc__, "places", "photos", "clothes", "kinds", most=200, steps=800)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    prior = scoreinv.load("scene")
    halves = [views(path, prior, "photo", halved=True) for path in random_files(options.photos, options.most)]
    dressed = [views(path, prior, "clothes") for path in random_files(options.clothes / "photos", options.most // 2)]
    kinds = [
        [views(path, prior, folder.name) for path in random_files(folder, options.most // 10)]
        for folder in sorted(options.kinds.iterdir())
    ]
    mark_objects(kinds)
    metric = PlaceNetwork()
    scales = nn.Parameter(torch.tensor([1.2, 0.85, 2.0]))  # sharpness / 20, threshold and luma weight of `loss_of`
    pairs = {"photo": halves, "clothes": dressed, "kinds": kinds}

    def draw_loss() -> Tensor:
        tasks = random.choices(list(SHARES), list(SHARES.values()), k=BATCH)
        return torch.stack([loss_of(task, metric, scales, pairs) for task in tasks]).mean()

    layers = [*metric.maps.parameters(), *metric.keys.parameters()]
    groups = [{"params": layers}, {"params": [scales], "lr": 5e-3, "weight_decay": 0}]
    fit(groups, draw_loss, options.steps, 2e-3, warmup=30)
    every_pair = [*halves, *dressed, *(pair for pictures in kinds for pair in pictures)]
    train_colours(metric.colours, [view for pair in every_pair for view in pair], options.steps)
    scoreinv.save(Model(metric), options.output, half=True)
    print("sharpness / 20, threshold, luma weight:", *(f"{value:.2f}" for value in scales.tolist()))


def random_files(folder: Path, most: int) -> list[Path]:
    """Choose photographs of a folder at random, at most `most`."""
    files = photographs(folder)
    return random.sample(files, min(most, len(files)))


def views(path: Path, prior: Any, kind: str, *, halved: bool = False) -> list[View]:
    """Return the halves of a photograph, or the whole photograph and a crop of it on another film."""
    picture = read_picture(path)
    height, width = (32 * min(12, max(7, round(7 * side / min(picture.size)))) for side in picture.size)
    marks = garments(path, height // 8, width // 8) if kind == "clothes" else torch.zeros(height // 8, width // 8)
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


def garments(path: Path, height: int, width: int) -> Tensor:
    """Return the class in `CLOTHES` at each place, from 1, by the annotations; 0 for none."""
    root = path.parents[1]
    names = [str(name[0]) for name in loadmat(root / "label_list.mat")["label_list"][0]]
    classes = [next((k for k, words in enumerate(CLOTHES, 1) if name in words.split()), 0) for name in names]
    marks = np.array(classes)[loadmat(root / "annotations" / "pixel-level" / f"{path.stem}.mat")["groundtruth"]]
    return F.interpolate(torch.from_numpy(marks)[None, None].float(), (height, width))[0, 0]


def view(rgb: np.ndarray, prior: Any, kind: str, marks: Tensor, box: tuple[float, float, float]) -> View:
    """Return the data of a part of a picture, on another film if it is not the whole.

    Args:
        rgb: the part, HxWx3 in [0, 1].
        marks: of the whole picture, at any size.
        box: top and left of the part, and its sides, relative to those of the picture.
    """
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
    found = {"maps": maps, "kind": kind, "drawn": drawn, "truth": truth, "luma": light, "places": places}
    return found | {"marks": values_at(marks, places), "beyond": beyond[0].flatten(1)}


def values_at(marks: Tensor, places: Tensor) -> Tensor:
    """Return the marks (h, w) at places (N, 2) in [0, 1], (N,)."""
    rows, columns = (places * torch.tensor(marks.shape)).long().T
    return marks[rows, columns]


def mark_objects(kinds: list[list[list[View]]]) -> None:
    """Mark the objects of each kind, from 0 to 1, by class activation maps of the encoder's coarsest map."""
    pooled = torch.stack([pair[0]["maps"][-1].float().mean((0, 2, 3)) for pairs in kinds for pair in pairs])
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
            whole["marks"], crop["marks"] = found.flatten(), values_at(found, crop["places"])


def train_colours(colours: Colours, views: list[View], steps: int) -> None:
    """Train the distribution of colours at a place, a mixture of Gaussians initialised at mostly vivid colours."""
    features = torch.cat([view["maps"][0][0].flatten(1) for view in views], dim=1)
    chroma = torch.cat([view["beyond"] for view in views], dim=1)
    candidates = torch.randint(chroma.shape[1], (100_000,))
    vivid = torch.multinomial(chroma[:, candidates].norm(dim=0) + 0.02, len(colours.log_width))
    colours.centres.data = chroma[:, candidates[vivid]]
    colours.log_width.data.fill_(math.log(0.03))

    def draw_loss() -> Tensor:
        which = torch.randint(chroma.shape[1], (512,))
        weights = colours(features[None, :, None, which].float())
        return -(weights.log() + colours.log_densities(chroma[:, which])).logsumexp(0).mean()

    fit(colours.parameters(), draw_loss, steps, 2e-3)


def draw_views(task: str, pairs: dict[str, Any]) -> tuple[View, View]:
    """Draw two views for a task: one whose places are matched, and one with their matches."""
    every_pair = [*pairs["photo"], *pairs["clothes"], *(pair for pictures in pairs["kinds"] for pair in pictures)]
    side = random.randrange(2)
    if task == "own":
        halves = random.choice(pairs["photo"])
        return halves[side], halves[1 - side]
    if task == "other":
        a, b = random.choice(every_pair)[side], random.choice(every_pair)[0]
        while a["kind"] == b["kind"] != "photo":
            b = random.choice(every_pair)[0]
        return a, b
    if task == "crop":
        whole, crop = random.choice(every_pair[len(pairs["photo"]) :])
        return crop, whole
    pictures = pairs["clothes"] if task == "clothes" else random.choice(pairs["kinds"])
    return random.choice(pictures)[side], random.choice(pictures)[0]


def loss_of(task: str, metric: PlaceNetwork, scales: Tensor, pairs: dict[str, Any]) -> Tensor:
    """Return the loss of one draw of a task.

    The logit of a match of the places i and j, with keys k and luma l, is

        20 sharpness (k_i . k_j - luma_weight (l_i - l_j)^2 - threshold).

    Args:
        scales: sharpness, threshold and luma weight.
        pairs: pairs of views: of "photo" and "clothes", and for each kind in "kinds".
    """
    a, b = draw_views(task, pairs)
    which = torch.randperm(len(a["luma"]))[:QUERIES]
    a = a | {name: a[name][..., which] for name in ("drawn", "truth", "luma", "marks")} | {"places": a["places"][which]}
    keys, others = (metric([value.float() for value in view["maps"]])[0] for view in (a, b))
    sharpness, threshold, luma_weight = scales
    similarity = keys[:, which].T @ others - luma_weight * (a["luma"][:, None] - b["luma"]).square()
    logits = 20 * sharpness * (similarity - threshold)
    if task == "own":
        return -0.15 * gain(a, b, logits)
    if task == "other":
        return -0.3 * gain(a, b, logits) + 0.5 * (1 + logits.exp().sum(1)).log().mean()
    if task == "crop":
        steps = (a["places"][:, None] - b["places"]) * torch.tensor(b["maps"][0].shape[-2:])
        return 0.2 * match_loss(logits, steps.square().sum(-1) < 6, nothing=torch.zeros(len(logits), dtype=torch.bool))
    mine, theirs = a["marks"][:, None], b["marks"]
    if task == "kind":
        on_object = mine > 0.45
        return match_loss(logits, torch.where(on_object, theirs > 0.5, theirs < 0.4), nothing=~on_object[:, 0])
    right = mine == theirs
    return match_loss(logits, right, nothing=~right.any(1) | (mine[:, 0] == 0))


def match_loss(logits: Tensor, right: Tensor, nothing: Tensor) -> Tensor:
    """Return the mean of -log of the probability of a correct match.

    Args:
        logits: (Q, N) of Q places with N others; the logit of no match is 0.
        right: (Q, N) bool, the correct matches.
        nothing: (Q,) bool, whether no match is correct.
    """
    logits = F.pad(logits, (0, 1))
    correct = logits.masked_fill(~torch.cat([right, nothing[:, None]], dim=1), -1e9)
    return (logits.logsumexp(1) - correct.logsumexp(1)).mean()


def gain(a: View, b: View, logits: Tensor) -> Tensor:
    """Return the gain in PSNR of the chroma of a by colours of b, over the predicted chroma, in dB.

    The colours of matches are averaged with the prediction, which counts as a match of logit 0.
    """
    weights, e = logits.exp(), 2e-4
    total = 1 + weights.sum(1)
    shade = ((a["luma"][:, None] + DARKEST) / (b["luma"] + DARKEST)).clamp(max=1)
    mixed = (b["truth"] @ (weights * shade).T + a["drawn"]) / total
    before, after = ((chroma - a["truth"]).square().mean() for chroma in (a["drawn"], mixed))
    return 10 * ((before + e) / (after + e)).log10()


if __name__ == "__main__":
    main()
