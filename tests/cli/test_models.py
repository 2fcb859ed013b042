"""`scoreinv models` as a user runs it."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file
from support.shell import small_config

import scoreinv as library
from scoreinv.models.codec import encode
from scoreinv.models.foreign.published import PUBLISHED
from scoreinv.models.kinds import FixedKind
from scoreinv.models.model_file import save
from scoreinv.system.files import PRETRAINED


def test_a_model_is_shown_in_lines_for_people(scoreinv, model):
    shown = scoreinv("models", "show", model).out.splitlines()
    assert "kind: file" in shown
    assert shown[shown.index("config:") + 1].startswith("  network")
    assert "  data_range: [-1.0, 1.0]" in shown
    assert [line for line in shown if re.fullmatch(r" *[\w-]+:( .+)?", line) is None] == []


def test_models_list_is_a_table(scoreinv, monkeypatch):
    few = {name: model for name, model in PUBLISHED.items() if name.startswith("ve/cifar10_ncsnpp")}
    monkeypatch.setattr("scoreinv.models.foreign.published.PUBLISHED", few)  # each is built
    lines = scoreinv("models", "list").out.splitlines()
    assert lines[0].split() == ["name", "kind", "task", "SDE", "pixels", "weights", "MB", "licence", "FID"]
    photo = next(line for line in lines if line.startswith("photo "))
    assert photo.split()[1:5] == ["bundled", "fill", "ve", "64"]
    deep = next(line for line in lines if line.startswith("ve/cifar10_ncsnpp_deep_continuous"))
    assert deep.split()[1:] == ["published", "prior", "ve", "32", "107.6", "M", "430", "Apache-2.0", "2.20"]
    listed = json.loads(scoreinv("models", "list", "--json").out)["models"]
    assert [model["name"] for model in listed] == [line.split()[0] for line in lines[1:]]
    kinds = {model["name"]: model["task"] for model in listed if model["kind"] == "bundled"}
    assert {kind for name, kind in kinds.items() if name == kind} == {"damage", "noise", *get_args(FixedKind), "select"}
    assert kinds.keys() == {folder.parent.name for folder in PRETRAINED.glob("*/README.md")}


def test_a_published_model_is_shown_with_its_sampler_and_source(scoreinv):
    (shown,) = json.loads(scoreinv("models", "show", "ve/church_ncsnpp_continuous", "--json").out)["models"]
    assert shown["sampler"] == {
        "predictor": "reverse_diffusion",
        "corrector": "langevin",
        "snr": 0.075,
        "steps": 2000,
        "clip": False,
    }
    assert shown["source"] == "hf:google/ncsnpp-church-256"
    assert shown["image_size"] == 256
    text = scoreinv("models", "show", "subvp/cifar10_ddpmpp_deep_continuous").out
    assert "  bits_per_dim: 2.99" in text.splitlines()


def test_notes_do_not_act_on_the_terminal(scoreinv, model):
    prior = library.load(str(model))
    notes = {"licence": "free\x1b[2J", "source": "here\nand\u202ethere", "held_out_loss": float("nan"), "\x1b": "\x1b]"}
    save(prior, Path("m.safetensors"), notes=notes)
    shown = scoreinv("models", "show", "./m.safetensors")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    assert r"licence: free\x1b[2J" in shown.out.splitlines()
    assert r"source: here\nand\u202ethere" in shown.out.splitlines()
    (record,) = json.loads(scoreinv("models", "show", "./m.safetensors", "--json").out, parse_constant=pytest.fail)[
        "models"
    ]
    assert record["figures"] == {"held_out_loss": "NaN"}
    assert record["licence"] == "free\x1b[2J"
    tensors = {"tensor\x1b[31m": torch.zeros(1)}
    metadata = {"format": "scoreinv", "config": json.dumps(encode(small_config()))}
    save_file(tensors, "red.safetensors", metadata)
    outcome = scoreinv("models", "show", "./red.safetensors")
    assert (outcome.code, outcome.err.count("\n"), "\x1b" in outcome.err) == (2, 1, False)
