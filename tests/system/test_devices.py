"""The ODE, likelihood and encoding ask the network for float32 that is not rounded to TF32, and for nothing else."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread

import pytest
import torch
from torch import Tensor, nn

from scoreinv.likelihood import bits_per_dim
from scoreinv.preconditioning import EDM
from scoreinv.prior import ScorePrior
from scoreinv.samplers import ODE, PC, DPMpp2M, NoiseStream
from scoreinv.samplers.ode import decode, encode
from scoreinv.sdes import VP
from scoreinv.system.devices import device_of, true_float32, uses_bfloat16
from scoreinv.system.errors import SettingError

CUDNN, PRODUCTS = torch.backends.cudnn, torch.backends.cuda.matmul
NEWER = []
if hasattr(CUDNN, "conv"):
    MKLDNN = torch.backends.mkldnn
    NEWER = [(part, "fp32_precision") for part in (CUDNN.conv, CUDNN.rnn, PRODUCTS, MKLDNN.conv, MKLDNN.matmul)]
SETTINGS = [(CUDNN, "allow_tf32"), (PRODUCTS, "allow_tf32"), *NEWER]


def settings() -> list[object]:
    """What torch says; those of the older kind cannot be read where the newer contradict them."""
    found = []
    for holder, name in SETTINGS:
        found.append("contradictory")
        with suppress(RuntimeError):
            found[-1] = getattr(holder, name)
    return found


@pytest.fixture
def _restored() -> Iterator[None]:
    before = [(holder, name, getattr(holder, name)) for holder, name in SETTINGS]
    yield
    for holder, name, value in before:
        setattr(holder, name, value)


class Watching(nn.Module):
    channels, stride = 3, 1

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.seen: set[tuple[bool, bool]] = set()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        self.seen.add((CUDNN.allow_tf32, PRODUCTS.allow_tf32))
        return torch.tanh(self.layer(x))


Run = Callable[[ScorePrior, Tensor], object]
SOLVED: dict[str, Run] = {
    "encode": lambda prior, x: encode(prior, x, steps=2),
    "encode adaptively": lambda prior, x: encode(prior, x, rtol=1e-2, atol=1e-2),
    "decode": lambda prior, x: decode(prior, x, steps=2),
    "likelihood": lambda prior, x: bits_per_dim(prior, x, steps=2),
    "ode": lambda prior, x: ODE(1e-2, 1e-2).sample(prior, tuple(x.shape), rng=NoiseStream(0, 1)),
}
DRAWN: dict[str, Run] = {
    "pc": lambda prior, x: PC(steps=2).sample(prior, tuple(x.shape), rng=NoiseStream(0, 1)),
    "multistep": lambda prior, x: DPMpp2M(steps=2).sample(prior, tuple(x.shape), rng=NoiseStream(0, 1)),
}


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("run", [*SOLVED, *DRAWN])
def test_the_precision_of_evaluation(run: str, products: bool) -> None:
    CUDNN.allow_tf32, PRODUCTS.allow_tf32 = True, products
    before = settings()
    network = Watching()
    (SOLVED | DRAWN)[run](ScorePrior(network, VP(), EDM()), torch.zeros(1, 3, 4, 4))
    assert network.seen == {(False, False) if run in SOLVED else (True, products)}
    assert settings() == before


@pytest.mark.usefixtures("_restored")
def test_they_come_back_after_an_error_and_with_the_last_of_several() -> None:
    CUDNN.allow_tf32 = True
    before = settings()
    with pytest.raises(KeyError), true_float32():
        raise KeyError
    assert settings() == before
    first, second = true_float32(), true_float32()
    first.__enter__()
    other = Thread(target=second.__enter__)
    other.start()
    other.join()
    first.__exit__(None, None, None)
    assert not CUDNN.allow_tf32
    second.__exit__(None, None, None)
    assert settings() == before


@pytest.mark.parametrize(("half", "expected"), [(0.5, True), (0.95, False), (1.5, False)])
def test_auto_takes_bfloat16_only_where_a_convolution_is_faster(monkeypatch, half, expected) -> None:
    now = 0.0

    def convolve(x: torch.Tensor, weight: torch.Tensor, padding: int) -> None:
        nonlocal now
        now += half if x.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(time, "process_time", lambda: now)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve)
    decide, cpu = uses_bfloat16.__wrapped__, torch.device("cpu")
    assert decide("auto", cpu) is expected
    assert decide("bfloat16", cpu)
    assert not decide("float32", cpu)


def test_auto_of_a_gpu_follows_its_support(monkeypatch) -> None:
    decide = uses_bfloat16.__wrapped__
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, found=supported: found)
        assert decide("auto", torch.device("cuda")) is supported
        assert decide("bfloat16", torch.device("cuda"))
    assert not decide("auto", torch.device("mps"))


@pytest.mark.parametrize(
    ("cuda", "mps", "automatic"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_device_is_there(monkeypatch, cuda, mps, automatic) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device_of("auto") == automatic
    for name, present in (("cuda", cuda), ("mps", mps), ("cpu", True)):
        if present:
            assert device_of(name) == name
        else:
            with pytest.raises(SettingError) as caught:
                device_of(name)
            assert caught.value.setting == "device"
