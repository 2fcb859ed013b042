"""What a network is evaluated fastest in, measured once and kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from scoreinv import speed
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.speed import Speed, fastest, known, measure

CONFIG = NCSNppConfig(width=8, multipliers=(1, 1), blocks=1, attention_levels=(), progressive_input="none")
Queue = list[list[float]]
"""What rounds are to have taken, one pair of lists after another."""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Seconds of the rounds of float32 and bfloat16, then of all and half of the threads; taken one after another."""
    queue: Queue = []
    monkeypatch.setattr(speed, "_rounds", lambda first, second, clock: (queue.pop(0), queue.pop(0)))
    monkeypatch.setattr(speed, "usable_threads", lambda: 2)
    return queue


@pytest.mark.parametrize(
    ("full", "half", "precision", "sure"),
    [
        ([1.0, 1.1], [0.5, 0.6], "bfloat16", True),
        ([1.0, 1.1], [0.9, 1.0], "float32", True),
        ([1.0, 1.0], [1.5, 1.6], "float32", True),
        ([1.0, 3.0], [0.9, 0.9], "float32", False),  # another program took the processor
    ],
)
def test_bfloat16_is_taken_only_where_it_is_faster(
    taken: Queue, full: list[float], half: list[float], precision: str, sure: bool
) -> None:
    taken += [full, half]
    found, is_sure = measure(CONFIG.build(), 16)
    assert (found.precision, found.threads, is_sure) == (precision, 2, sure)


@pytest.mark.parametrize(("some", "threads"), [([0.5, 0.5], 4), ([0.5, 1.2], 8), ([1.2, 1.2], 8)])
def test_half_of_the_threads_are_taken_where_they_are_faster(
    taken: Queue, monkeypatch: pytest.MonkeyPatch, some: list[float], threads: int
) -> None:
    monkeypatch.setattr(speed, "usable_threads", lambda: 8)
    taken += [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], some]
    assert measure(CONFIG.build(), 16)[0].threads == threads


def test_an_answer_is_kept_for_the_next_process_unless_it_was_unsure(taken: Queue) -> None:
    taken += [[1.0, 3.0], [0.9, 0.9]]
    fastest(CONFIG.build(), 16)
    assert known(CONFIG) is None
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert known(CONFIG) is None
    found = fastest(CONFIG.build(), 16)
    assert known(CONFIG) == found == fastest(CONFIG.build(), 16)  # which measures no more: nothing is queued


@pytest.mark.parametrize("change", ["processor", "usable_threads", "network"])
def test_an_answer_is_of_one_processor_and_network(taken: Queue, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    taken += [[1.0, 1.0], [0.5, 0.5]]
    fastest(CONFIG.build(), 16)
    config = CONFIG
    if change == "network":
        config = NCSNppConfig(width=16, multipliers=(1, 1), blocks=1, attention_levels=(), progressive_input="none")
    else:
        monkeypatch.setattr(speed, change, lambda: "another" if change == "processor" else 7)
    assert known(config) is None


def test_an_answer_is_of_the_instructions_that_are_used(taken: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    taken += [[1.0, 1.0], [0.5, 0.5]]
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    fastest(CONFIG.build(), 16)
    assert known(CONFIG) is not None
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert known(CONFIG) is None
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "another")
    assert known(CONFIG) is None


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "{", '{"precision": "float8", "threads": 1}', "null", "\udcff".encode("utf8", "replace")]
)
def test_a_damaged_answer_is_measured_anew(taken: Queue, text: str | bytes) -> None:
    taken += [[1.0, 1.0], [0.5, 0.5]]
    found = fastest(CONFIG.build(), 16)
    place = speed._place(CONFIG)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert known(CONFIG) is None
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert fastest(CONFIG.build(), 16) == found == known(CONFIG)


def test_a_cache_that_cannot_be_written_is_done_without(taken: Queue, cache: Path) -> None:
    (cache / "scoreinv").write_text("a file where the folder would be")
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert fastest(CONFIG.build(), 16).precision == "bfloat16"


def test_a_user_without_a_home_is_done_without(taken: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    monkeypatch.setattr(Path, "home", homeless)
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert fastest(CONFIG.build(), 16).precision == "bfloat16"


def test_an_answer_that_several_keep_at_once_is_whole() -> None:
    def store(threads: int) -> None:
        for _ in range(50):
            speed._keep(CONFIG, Speed("float32", threads, 1.0, 1.0, "a processor"))

    store(1)
    seen = set()
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(store, number) for number in (1, 2, 3)]
        while not all(writer.done() for writer in writers):
            seen.add(known(CONFIG))
    assert None not in seen
    assert [path.suffix for path in speed._place(CONFIG).parent.iterdir()] == [".json"]  # and nothing beside it


def test_measuring_leaves_the_process_as_it_was() -> None:
    network, state, threads = CONFIG.build().eval(), torch.get_rng_state(), torch.get_num_threads()
    found, _ = measure(network, 16)
    assert found.float32_seconds > 0
    assert found.bfloat16_seconds > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
