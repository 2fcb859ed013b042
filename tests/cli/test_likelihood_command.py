"""`scoreinv likelihood` as a user runs it."""

import contextlib
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import photo_array, table

from scoreinv.system.errors import ScoreinvError
from scoreinv.tasks.bits_per_dim import PictureDensity


def test_likelihood(scoreinv, tmp_path, model):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    Image.fromarray(photo_array(8, 9)).save(tmp_path / "b.png")
    outcome = scoreinv("likelihood", "a.png", "--json", "--rtol", 1e-2, "--repeats", 2)
    record = json.loads(outcome.out)
    assert outcome.code == 0
    assert 0 < record["bits_per_dim"] < 20
    assert record["precision"] == "float32"
    assert scoreinv("likelihood", "a.png", "--rtol", 1e-2).out.endswith("bits/dim  a.png\n")
    Image.fromarray(np.dstack([photo_array(8, 8), photo_array(8, 8)[..., :1]])).save(tmp_path / "clear.png")
    assert "clear.png: transparency is left out" in scoreinv("likelihood", "clear.png", "--rtol", 1e-2).err
    both = scoreinv("likelihood", "a.png", "b.png", "--json", "--rtol", 1e-2)
    assert both.code == 1
    assert [set(json.loads(line)) >= {"bits_per_dim"} for line in both.out.splitlines()] == [True, False]
    assert "multiples of" in both.err
    dry = scoreinv("likelihood", "a.png", "b.png", "--dry-run")
    assert (dry.code, dry.out.count("a.png"), dry.out.count("b.png"), dry.err.count("b.png")) == (1, 1, 0, 1)


def test_a_likelihood_of_few_steps_is_warned_of(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    few, enough = (scoreinv("likelihood", "a.png", "--steps", steps) for steps in (2, 8))
    assert few.code == enough.code == 0
    assert "warning: --steps 2: is too few" in few.err
    assert "warning" not in enough.err


@pytest.fixture
def in_turn(tmp_path, monkeypatch) -> list[int]:
    """Three pictures in `scans`, whose densities are their numbers; returns the sizes of groups that are evaluated."""
    (tmp_path / "scans").mkdir()
    for number in (2, 4, 6):
        Image.fromarray(np.full((8, 12), number, np.uint8)).save(tmp_path / "scans" / f"{number}.png")
    groups = []

    def densities(pictures, *_):
        groups.append(len(pictures))
        if len(pictures) > 1:
            raise MemoryError
        (number,) = {int(value) for picture in pictures for value in np.unique(picture.pixels)}
        if number == 4:
            raise ScoreinvError("in vain")
        return [PictureDensity(float(number), 0.5, 3)]

    monkeypatch.setattr("scoreinv.tasks.pictures_bits_per_dim", densities)
    return groups


def test_pictures_that_fail_together_are_evaluated_one_by_one(scoreinv, in_turn):
    told = scoreinv("likelihood", "scans")
    assert in_turn == [3, 1, 1, 1]
    assert told.code == 1
    first, last, mean = told.out.splitlines()
    assert [line.split(" ")[:3] for line in (first, last)] == [["2.0000", "±", "0.5000"], ["6.0000", "±", "0.5000"]]
    assert (mean.split(" ")[:3], mean.endswith("mean of 2 pictures")) == (["4.0000", "±", "2.0000"], True)
    assert (told.err.count("in vain"), "Traceback" in told.err) == (1, False)
    assert "Traceback" in scoreinv("likelihood", "scans", "--debug").err
    rows = [json.loads(line) for line in scoreinv("likelihood", "scans", "--json").out.splitlines()]
    assert [row.get("bits_per_dim") for row in rows] == [2, None, 6]
    assert [set(row) for row in rows[1:2]] == [{"input", "error"}]
    assert (rows[0]["standard_error"], rows[0]["repeats"], rows[0]["nfe"], rows[0]["method"]) == (0.5, 1, 3, "ode")


def test_the_progress_of_pictures_of_one_size_names_the_first_and_the_number_of_others(
    scoreinv, in_turn, monkeypatch
) -> None:
    titles = []

    def shown(title, **_):
        titles.append(title)
        return contextlib.nullcontext()

    monkeypatch.setattr("scoreinv.cli.likelihood.progress_bar", shown)
    scoreinv("likelihood", "scans")
    together, *alone = titles
    assert together.startswith("scans/2.png ")
    assert "2" in together.split(" ")
    assert alone == [f"scans/{number}.png" for number in (2, 4, 6)]


def test_the_columns_of_a_table(scoreinv, in_turn):
    assert scoreinv("likelihood", "scans/2.png", "--repeats", 3, "--csv", "table.csv").code == 0
    (row,) = table(Path("table.csv"))
    del row["seconds"]
    assert row == {
        **{"input": "scans/2.png", "width": "12", "height": "8"},
        **{"bits_per_dim": "2.0", "standard_error": "0.5", "repeats": "3", "nfe": "3"},
    }


def test_lines_of_a_table_that_are_lost_are_counted(scoreinv, in_turn, monkeypatch):
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr("scoreinv.batch.manifest._lock", full)
    told = scoreinv("likelihood", "scans/2.png", "scans/6.png", "--csv", "table.csv")
    assert (told.code, "2 of 2 lines are missing in table.csv" in told.err) == (1, True)


@pytest.mark.slow
def test_likelihood_of_many_pictures(scoreinv, tmp_path):
    folder = tmp_path / "scans"
    (folder / "within").mkdir(parents=True)
    sizes = {"a": (8, 8), "b": (8, 8), "c": (8, 9), "d": (12, 8), "e": (8, 8)}
    for name, (height, width) in sizes.items():
        Image.fromarray(photo_array(height, width)).save(folder / f"{name}.png")
    (folder / "within/f.png").write_bytes(b"broken")
    Image.fromarray(255 - photo_array(8, 8)).save(folder / "b.png")
    words = ["--rtol", 1e-2, "--repeats", 2]
    outcome = scoreinv("likelihood", "scans", "--csv", "table.csv", "--json", *words)
    assert outcome.code == 1
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert [Path(record["input"]).stem for record in records] == list("abcdef")
    assert ["error" in record for record in records] == [False, False, True, False, False, True]
    assert records[0]["bits_per_dim"] != records[1]["bits_per_dim"]
    rows = table(tmp_path / "table.csv")
    good = [record for record in records if "error" not in record]
    assert list(rows[0]) == ["input", "width", "height", "bits_per_dim", "standard_error", "repeats", "nfe", "seconds"]
    for row, record in zip(rows, good, strict=True):
        height, width = sizes[Path(row["input"]).stem]
        assert (row["width"], row["height"], row["repeats"]) == (str(width), str(height), "2")
        for key in ("bits_per_dim", "standard_error", "nfe"):
            assert float(row[key]) == record[key] > 0
    # Together or one by one: the same.
    for record in good[:2]:
        alone = json.loads(scoreinv("likelihood", record["input"], "--json", *words).out)
        # Rounding differs with the batch, and may turn a step of the solver: within its tolerance, and some steps more.
        assert alone["bits_per_dim"] == pytest.approx(record["bits_per_dim"], abs=1e-2)
        assert alone["nfe"] == pytest.approx(record["nfe"], rel=0.2)
    refused = scoreinv("likelihood", "scans", "--csv", "table.csv")
    assert (refused.code, refused.out) == (2, "")
    assert "table.csv: exists" in refused.err
    mistyped = scoreinv("likelihood", "scans", "--csv", "table.csv", "--overwrite", "--model", "phto")
    assert (mistyped.code, len((tmp_path / "table.csv").read_text().splitlines())) == (2, 5)
    spoken = scoreinv("likelihood", "scans", "--csv", "table.csv", "--overwrite", *words)
    assert spoken.out.splitlines()[-1].endswith("bits/dim  mean of 4 pictures")
    assert spoken.out.count("±") == 5
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 5


def test_a_table_of_another_version_is_replaced_where_that_is_asked_for(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    (tmp_path / "old.csv").write_text("picture,bits\nb.png,3.2\n")
    outcome = scoreinv("likelihood", "a.png", "--steps", 1, "--csv", "old.csv", "--overwrite")
    assert outcome.code == 0, outcome.err
    (row,) = table(tmp_path / "old.csv")
    assert row["input"] == "a.png"


def test_a_table_that_cannot_be(scoreinv, tmp_path):
    Image.fromarray(photo_array(8, 8)).save(tmp_path / "a.png")
    for path in (".", "a.png", "nowhere/table.csv", "-", "/dev/null"):
        outcome = scoreinv("likelihood", "a.png", "--csv", path, "--overwrite")
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.count("\n") == 1
    assert (tmp_path / "a.png").exists()
