"""Callables for the batches of Ray Data, Dask and Spark."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.small_model import save_small

import scoreinv
from scoreinv.models import catalogue, loading
from scoreinv.operators import kernels
from scoreinv.system import threads
from scoreinv.system.errors import CheckpointError, InputError, ScoreinvError, SettingError
from scoreinv.tasks import rows
from scoreinv.tasks.rows import Batch, Colorizer, Inpainter, Restorer

pytestmark = pytest.mark.portable


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small(tmp_path_factory.mktemp("model") / "small.safetensors"))


def table(count: int, *, sizes: bool = False, gray: bool = False) -> Batch:
    """Pictures with masks, of one size or of several, and a column that nobody reads."""
    draw = np.random.default_rng(3)
    shapes = [(16 + (number % 2) * 4 * sizes, 24) for number in range(count)]
    images = [draw.integers(0, 255, shape if gray else (*shape, 3), np.uint8) for shape in shapes]
    masks = [np.zeros(shape, bool) for shape in shapes]
    for mask in masks:
        mask[4:8, 6:12] = True
    path = np.array([f"{number}.png" for number in range(count)])
    if not sizes:
        return {"image": np.stack(images), "mask": np.stack(masks), "path": path}
    columns = {"image": np.empty(count, object), "mask": np.empty(count, object), "path": path}
    for number in range(count):
        columns["image"][number], columns["mask"][number] = images[number], masks[number]
    return columns


def part(batch: Batch, rows: slice) -> Batch:
    return {name: column[rows] for name, column in batch.items()}


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The most levels that pictures differ by: rounding, which may turn one, hangs on the shape of a batch."""
    return int(np.abs(one.astype(int) - other).max())


MADE: dict[str, Callable[[str], rows.OnRows]] = {
    "inpaint": lambda model: Inpainter(model, steps=2),
    "inpaint, samples": lambda model: Inpainter(model, steps=2, samples=2),
    "inpaint, mean": lambda model: Inpainter(model, steps=2, samples=2, estimate="mean"),
    "inpaint, classical": lambda model: Inpainter(method="biharmonic"),
    "colorize": lambda model: Colorizer(model, steps=2),
    "denoise": lambda model: Restorer(model),
    "denoise, known": lambda model: Restorer(model, noise_std=0.1, orientations=2),
    "upscale": lambda model: Restorer(factor=2),
    "deblur": lambda model: Restorer(model, kernel="gaussian:1", steps=2),
}


def test_rows_yield_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the functions for one picture do."""
    for name in threads.WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_busy_elsewhere", lambda: 1000)
    taken, outcome = [], Restorer.run

    def noted(*given: Any, **more: Any) -> Any:
        taken.append(torch.get_num_threads())
        return outcome(*given, **more)

    monkeypatch.setattr(Restorer, "run", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        Restorer("denoiser", noise_std=0.1)(table(2))
        assert (taken, torch.get_num_threads()) == ([1, 1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [*((name, True) for name in MADE if name != "inpaint, samples"), ("inpaint", False), ("inpaint, samples", False)],
)
def test_a_row_does_not_depend_on_its_batch(model: str, name: str, sizes: bool) -> None:
    do = pickle.loads(pickle.dumps(MADE[name](model)))
    batch = table(3, sizes=sizes)
    whole = do(batch)
    assert {column: whole[column] is batch[column] for column in batch} == dict.fromkeys(batch, True)
    assert whole["result"].dtype == (object if sizes else np.uint8)
    single = [do(part(batch, slice(number, number + 1)))["result"][0] for number in range(3)]
    for one, other, image in zip(whole["result"], single, batch["image"], strict=True):
        assert apart(one, other) <= 1
        factor = 2 if name == "upscale" else 1
        size = (factor * image.shape[0], factor * image.shape[1], 3)
        assert one.shape == ((2, *size) if name == "inpaint, samples" else size)


def test_it_is_what_the_functions_give(model: str) -> None:
    batch = table(2)
    prior = scoreinv.load(model)
    filled = Inpainter(model, steps=2, seed=5)(batch)["result"]
    coloured = Colorizer(model, steps=2, seed=5, image="gray", result="rgb")({"gray": batch["image"][..., 0]})["rgb"]
    for number in range(2):
        image, mask = batch["image"][number], batch["mask"][number]
        alone = scoreinv.inpaint(image, mask, prior=prior, steps=2, seed=5).image
        assert apart(filled[number], alone) <= 1
        assert apart(coloured[number], scoreinv.colorize(image[..., 0], prior=prior, steps=2, seed=5).image) <= 1


def test_colours_are_given_by_a_column(model: str) -> None:
    batch = table(2, gray=True) | {"hints": np.zeros((2, 16, 24, 4), np.uint8)}
    batch["hints"][:, 4:12, 4:20] = 150, 110, 90, 255
    given = Colorizer(model, hints="hints", steps=2)(batch)["result"]
    alone = scoreinv.colorize(batch["image"][1], hints=batch["hints"][1], prior=scoreinv.load(model), steps=2).image
    assert apart(given[1], alone) <= 1
    assert apart(given[1], Colorizer(model, steps=2)(batch)["result"][1]) > 1


def test_the_model_is_loaded_once_a_process(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever copy, in whatever thread; and not before it is needed."""
    loading._load.cache_clear()
    loaded = []
    load = catalogue.load_kind
    monkeypatch.setattr(catalogue, "load_kind", lambda kind, path: loaded.append(str(path)) or load(kind, path))
    packed = pickle.dumps(Restorer(model, noise_std=0.1))
    assert len(packed) < 1000
    copies = [pickle.loads(packed) for _ in range(4)]
    assert loaded == []
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda copy: copy(table(1))["result"], copies))
    assert loaded == [model]
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    Restorer(model, kernel=kernels.gaussian(1.0), steps=1)(table(1))
    assert loaded.count(model) == 1


def test_a_path_is_none_of_a_bundled_name() -> None:
    with pytest.raises(CheckpointError, match="photo: no such model file"):
        Inpainter(Path("photo"))(table(1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Inpainter(method="magic"), "method must be"),
        (lambda: Inpainter("photo", method="telea"), "model does not go with telea"),
        (lambda: Inpainter(device="gpu"), "device must be"),
        (lambda: Inpainter(precision="float16"), "precision must be"),
        (lambda: Inpainter(mask_threshold=2), "mask_threshold must be"),
        (lambda: Inpainter("foto"), "no bundled model is named 'foto' .*photo"),
        (lambda: Restorer(factor=1), "factor must be from 2 to 4"),
        (lambda: Restorer(factor=2, kernel=np.ones((3, 3))), "factor does not go with a kernel"),
        (lambda: Restorer(kernel=-np.ones((3, 3))), "the kernel: .* finite values of at least 0"),
        (lambda: Restorer(method="dps"), "method does not go with denoising"),
        (lambda: Restorer(steps=3), "steps needs samples"),
        (lambda: Restorer(downsampling="bicubic"), "downsampling needs a factor"),
        (lambda: Restorer(prior="photo"), "prior needs a factor"),
    ],
)
def test_wrong_settings_are_told_at_once(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
    with pytest.raises(TypeError, match="colour"):
        Inpainter(colour=1)  # type: ignore[call-arg]


def test_an_error_names_its_row(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = table(3)
    batch["mask"][1] = False
    with pytest.raises(InputError, match=r"^row 1 of the batch: the mask has no hole"):
        Inpainter(model, steps=1)(batch)
    with pytest.raises(InputError, match=r"^row 1 of the batch \(1\.png\): the mask has no hole"):
        Inpainter(model, steps=1, name="path")(batch)
    with pytest.raises(InputError, match=r"^the batch has no column 'picture', but image, mask, path$"):
        Inpainter(model, image="picture")(batch)
    # What is wrong with the model or the device is of no row, and may be right on another machine.
    with pytest.raises(CheckpointError, match=r"^no\.safetensors: no such model file"):
        Inpainter("./no.safetensors")(batch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingError, match=r"^device cuda: not available"):
        Inpainter(model, device="cuda")(batch)


def test_no_rows(model: str) -> None:
    """As the first batch of a stream may be, by which its columns are found."""
    none = part(table(1), slice(0, 0))
    assert Inpainter(model)(none)["result"].shape == (0, 16, 24, 3)


@pytest.mark.parametrize(
    "error", [SettingError("steps", "are many"), CheckpointError("no model"), ScoreinvError("b\tc")]
)
def test_errors_come_back_from_other_processes(error: ScoreinvError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None or find_spec("pyarrow") is None, reason="needs Ray Data")
def test_ray_data_takes_them_as_they_are(model: str) -> None:
    """The class, an actor each; and an instance, by tasks."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        batch = table(6, sizes=True)
        records = [{name: column[number] for name, column in batch.items()} for number in range(6)]
        given = ray.data.from_items(records, override_num_blocks=3)
        pool = ray.data.ActorPoolStrategy(size=1)
        by_class = given.map_batches(
            Inpainter, fn_constructor_kwargs={"model": model, "steps": 2}, batch_size=2, compute=pool
        )
        by_instance = given.map_batches(Inpainter(model, steps=2), batch_size=4)
        expected = dict(zip(batch["path"], Inpainter(model, steps=2)(batch)["result"], strict=True))
        for made in (by_class, by_instance):
            found = {row["path"]: row["result"] for row in made.take_all()}
            assert found.keys() == expected.keys()
            for path, result in expected.items():
                assert apart(found[path], result) <= 1
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("dask") is None, reason="needs Dask")
def test_dask_takes_them_as_they_are(model: str) -> None:
    import dask

    batch, do = table(4), Inpainter(model, steps=2)
    parts = [dask.delayed(do)(part(batch, slice(first, first + 2))) for first in (0, 2)]
    done = dask.compute(*parts, scheduler="threads")
    assert apart(np.concatenate([one["result"] for one in done]), do(batch)["result"]) <= 1
