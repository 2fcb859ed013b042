"""`scoreinv sample` as a user runs it, by every sampler."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.shell import small_config

from scoreinv.files.read import read_picture
from scoreinv.samplers import (
    DDIM,
    ODE,
    PC,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    EulerMaruyama,
    Heun,
    Langevin,
    NoPredictor,
    ReverseDiffusion,
    karras_times,
)
from scoreinv.sdes import VP, SubVP
from scoreinv.tasks.generate import make_sampler
from scoreinv.tasks.outcome import Drawn
from scoreinv.tasks.sampling_settings import SamplerSettings

PREDICTORS = {
    "reverse_diffusion": ReverseDiffusion(),
    "euler_maruyama": EulerMaruyama(),
    "ancestral": Ancestral(),
    "ancestral_posterior": Ancestral("posterior"),
    "probability_flow": ReverseDiffusion(eta=0.0),
    "none": NoPredictor(),
}


def test_sample_a_grid_and_a_folder(scoreinv, tmp_path, model):
    outcome = scoreinv("sample", "-n", 3, "--json", "--precision", "float32")
    assert outcome.code == 0
    record = json.loads(outcome.out)
    assert record["output"] == "small_samples.png"
    assert (record["method"], record["nfe"]) == ("multistep", 2)
    grid = read_picture(tmp_path / "small_samples.png").pixels
    assert grid.shape == (32, 32, 3)
    assert scoreinv("sample", "-n", 2, "-o", "many", "--precision", "float32").code == 0
    second = read_picture(tmp_path / "many" / "000002.png").pixels
    assert abs(grid[:16, 16:].astype(int) - second).max() <= 1
    refused = scoreinv("sample", "-n", 2, "-o", "many")
    assert refused.code == 2
    assert ": exists:" in refused.err


@pytest.mark.parametrize(("guidance", "told"), [((), 1.5), (("--guidance", 3), 3)])
def test_json_of_a_class(scoreinv, monkeypatch, guidance, told):
    class Guide:
        classes, guidance = ("day", "night"), 1.5

        def to(self, *place: object) -> "Guide":
            moved.append(place)
            return self

    moved, given = [], []

    def drawn(prior, count, **settings):
        given.append(settings)
        return Drawn(np.zeros((count, 16, 16, 3)), 7)

    monkeypatch.setattr("scoreinv.cli.sample.load_classifier", lambda name: Guide())
    monkeypatch.setattr("scoreinv.tasks.generate.generate", drawn)
    words = ("sample", "-n", 2, "--class", "night", "--classifier", "mine", *guidance, "--precision", "float32")
    record = json.loads(scoreinv(*words, "--device", "cpu", "--json").out)
    assert (record["class"], record["classifier"], record["guidance"]) == ("night", "mine", told)
    assert moved == [("cpu", torch.float32)]
    assert (given[0]["label"], given[0]["guidance"]) == (1, guidance[1] if guidance else None)
    assert (record["nfe"], record["seed"]) == (7, 0)


def test_sampling_by_a_model_that_completes_is_said_to_draw_blots(scoreinv, conditional, model):
    told = scoreinv("sample", "-n", 1, "--model", conditional, "-o", "a.png")
    said = f"scoreinv: warning: {conditional}: was trained to complete pictures; new pictures are blots"
    assert (told.code, told.err.count(said), told.err.count("--model cifar10")) == (0, 1, 1)
    for more, warned in ((["--model", model], False), (["--model", conditional, "--quiet"], True)):
        outcome = scoreinv("sample", "-n", 1, *more, "-o", "a.png", "--overwrite")
        assert (outcome.code, "blots" in outcome.err) == (0, warned)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, DPMpp2M(steps=25)),
        ({"steps": 7}, DPMpp2M(steps=7)),
        ({"sampler": "ode"}, ODE()),
        ({"rtol": 1e-3}, ODE(1e-3, 1e-3)),
        ({"sampler": "heun"}, Heun()),
        ({"churn": 4, "steps": 9}, Heun(4, steps=9)),
        ({"sampler": "ddim"}, PC(DDIM(), corrector_steps=0, steps=50, spacing=karras_times)),
        ({"eta": 0.3, "steps": 9}, PC(DDIM(0.3), corrector_steps=0, steps=9, spacing=karras_times)),
        ({"sampler": "pc"}, PC(ReverseDiffusion(), Langevin(), 1, 0.16, 1000)),
        ({"snr": 0.2}, PC(ReverseDiffusion(), Langevin(), 1, 0.2, 1000)),
        ({"corrector_steps": 0, "steps": 9}, PC(ReverseDiffusion(), Langevin(), 0, 0.16, 9)),
        ({"corrector": "none"}, PC(ReverseDiffusion(), Langevin(), 0, 0.16, 1000)),
        ({"corrector": "annealed_langevin"}, PC(ReverseDiffusion(), AnnealedLangevin(), 1, 0.16, 1000)),
        *(({"predictor": name}, PC(each, Langevin(), 1, 0.16, 1000)) for name, each in PREDICTORS.items()),
    ],
)
def test_the_settings_of_a_ve_prior(given, expected):
    assert make_sampler(small_config().build(), SamplerSettings(**given)) == expected


@pytest.mark.parametrize(
    ("sde", "given", "expected"),
    [
        (VP(), {"sampler": "pc"}, PC(EulerMaruyama(), Langevin(), 0, 0.16, 1000)),
        (SubVP(), {"sampler": "pc", "steps": 5}, PC(EulerMaruyama(), Langevin(), 0, 0.16, 5)),
        (VP(), {"snr": 0.01}, PC(EulerMaruyama(), Langevin(), 1, 0.01, 1000)),
        (VP(), {"corrector_steps": 2}, PC(EulerMaruyama(), Langevin(), 2, 0.16, 1000)),
        (VP(), {"predictor": "none"}, PC(NoPredictor(), Langevin(), 1, 0.16, 1000)),
        (VP(), {"predictor": "ancestral"}, PC(Ancestral(), Langevin(), 0, 0.16, 1000)),
    ],
)
def test_the_settings_of_vp_and_subvp_priors(sde, given, expected):
    assert make_sampler(replace(small_config(), sde=sde).build(), SamplerSettings(**given)) == expected


def test_pictures_of_an_earlier_run_are_told(scoreinv, tmp_path):
    for count, said in ((4, ""), (2, "has 2 more pictures of an earlier run: 000003.png to 000004.png")):
        outcome = scoreinv("sample", "-n", count, "--steps", 1, "-o", "drawn/", "--overwrite")
        assert (outcome.code, "earlier run" in outcome.err) == (0, bool(said))
        assert said in outcome.err
    assert len(list((tmp_path / "drawn").iterdir())) == 4
