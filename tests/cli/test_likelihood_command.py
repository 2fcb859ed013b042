"""`scoreinv likelihood` as a user runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.shell import photo_array, table

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


def test_the_columns_of_a_table(scoreinv, in_turn):
    assert scoreinv("likelihood", "scans/2.png", "--repeats", 3, "--csv", "table.csv").code == 0
    (row,) = table(Path("table.csv"))
    del row["seconds"]
    assert row == {
        **{"input": "scans/2.png", "width": "12", "height": "8"},
        **{"bits_per_dim": "2.0", "standard_error": "0.5", "repeats": "3", "nfe": "3"},
    }


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
