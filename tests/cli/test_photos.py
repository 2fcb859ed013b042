"""Several photos by one command, and what would be done with them."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.shell import hole_array, image, photo_array, table

from scoreinv.batch.plan import BY_ANOTHER, EXISTS


def names(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if path.suffix != ".lock")


FOLDER = str(Path(__file__).parents[1] / "data" / "diffusers" / "ddpm")
"""A model in the format of diffusers."""


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.png", "b.jpg", "c.png"):
        Image.fromarray(photo_array()).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done whenever a photo is about to be filled."""
    from scoreinv import tasks

    fill = tasks.inpaint_picture

    def have_done(do: Callable[[], object]) -> None:
        def filled(*given, **more):
            do()
            return fill(*given, **more)

        monkeypatch.setattr(tasks, "inpaint_picture", filled)

    return have_done


def lines(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def interrupted_at_the_third(monkeypatch) -> Callable[[], None]:
    """Ctrl-C comes before the third result is written; the function that this gives stops that."""
    from scoreinv import files

    write, written = files.write_picture, []

    def interrupted(path: str, *rest: object, **more: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *rest, **more)

    monkeypatch.setattr(files, "write_picture", interrupted)
    return lambda: monkeypatch.setattr(files, "write_picture", write)


def test_samples_that_do_not_differ_are_noted(scoreinv, tmp_path):
    """Those of a photograph without damage. A second run skips it."""
    for folder, name, mode in (("scans", "new.png", "RGB"), ("masks", "new_damage.png", "L")):
        (tmp_path / folder).mkdir()
        Image.new(mode, (16, 16)).save(tmp_path / folder / name)
    words = ("inpaint", "scans", "--mask", "masks", "--samples", 3, "--json")
    row = json.loads(scoreinv(*words).out)
    assert "samples_equal" in [note["code"] for note in row["notes"]]
    written = {f"new_inpainted.{number}.png" for number in (1, 2, 3)}
    assert set(names(tmp_path / "scans_inpainted")) == {*written, "manifest.csv"}
    assert {Path(path).name for path in row["outputs"]} == written
    assert "skipped" in json.loads(scoreinv(*words).out)


@pytest.mark.opencv
def test_the_maps_of_a_folder_go_into_a_folder(scoreinv, mask, tmp_path):
    for name in ("a.png", "within/b.png"):
        (tmp_path / "scans" / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", image(mask).size, "green").save(tmp_path / "scans" / name)
    words = ("inpaint", "scans", "--recursive", "--mask", mask, "--samples", 2, "--steps", 1, "--uncertainty")
    for folder in ("scans", "scans/maps", mask):
        refused = scoreinv(*words, folder)
        assert (refused.code, refused.err.count("\n"), "--uncertainty" in refused.err) == (2, 1, True)
    outcome = scoreinv(*words, "maps", "--json")
    assert outcome.code == 0, outcome.err
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert [record["uncertainty"] for record in records] == ["maps/a_inpainted.png", "maps/within/b_inpainted.png"]
    assert all((tmp_path / record["uncertainty"]).exists() for record in records)
    found = (tmp_path / "maps/a_inpainted.png").read_bytes()
    (tmp_path / "maps/a_inpainted.png").write_bytes(b"of a killed run")
    (tmp_path / records[0]["output"]).unlink()
    assert scoreinv(*words, "maps").code == 0
    assert (tmp_path / "maps/a_inpainted.png").read_bytes() == found


def test_dry_run_of_a_folder(scoreinv, photo, mask, tmp_path):
    for name in ("scans", "masks", "scans_inpainted"):
        (tmp_path / name).mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "scans" / f"{name}.png").write_bytes(photo.read_bytes())
    for name in ("a", "b"):
        (tmp_path / "masks" / f"{name}.png").write_bytes(mask.read_bytes())
    (tmp_path / "scans_inpainted" / "b_inpainted.png").touch()
    outcome = scoreinv("inpaint", "scans", "--mask", "masks", "--dry-run")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "scans/a.png: would be written to scans_inpainted/a_inpainted.png",
        "scans/b.png: would be skipped: exists",
        "scans/c.png: would be skipped: masks has no mask named c",
    ]
    assert names("scans_inpainted") == ["b_inpainted.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sample", "-n", 4, "-o", "new/"), "4 pictures by MODEL would be written to new/"),
        (("interpolate", "photo.png", "photo.png"), "8 pictures from photo.png to photo.png would be written to"),
        (("likelihood", "photo.png"), "photo.png: its likelihood would be estimated"),
        (("train", "--sde", "ve", "--size", 64, "--steps", 5, "--out", "new"), "would train 5 steps in new"),
        (("sample", "--class", "cat", "--classifier", "hf:no/one"), "16 pictures by MODEL would be written to"),
        (("evaluate", ".", "--reference", "."), "2 pictures in . would be compared with 2 in ."),
        (("convert", FOLDER, "-o", "new.safetensors"), f"{FOLDER}: would be written to new.safetensors"),
    ],
)
def test_dry_run_of_other_commands(scoreinv, photo, mask, model, tmp_path, words, said):
    before = names()
    outcome = scoreinv(*words, "--dry-run")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(said.replace("MODEL", str(model)))
    assert names() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "--sde", "ve", "--init", "missing", "--out", "new"), "no bundled model is named 'missing'"),
        (("convert", "photo.png", "--config", "ve/missing", "-o", "new.safetensors"), "ve/missing"),
        (("convert", ".", "-o", "new.safetensors"), "model.safetensors: no such model file"),
        (("denoise", "photo.png", "--model", "missing"), "no bundled model is named 'missing'"),
        (("sample", "--class", "cat"), "has no classifier"),
        (("sample", "--class", "cow", "--classifier", "cifar10-classifier"), "no class is named 'cow'"),
        (("likelihood", "odd.png", "--model", "cifar10"), "odd.png: the picture is 30x27, and this model needs sides"),
        (("deblur", "odd.png", "--kernel", "motion:40,0"), "odd.png: the kernel is 41x1 and the photo 30x27"),
        (("evaluate", ".", "--reference", ".", "--classifier", "missing"), "no bundled model is named 'missing'"),
    ],
)
def test_dry_run_refuses_what_the_run_would(scoreinv, photo, mask, words, said):
    Image.new("RGB", (30, 27)).save("odd.png")
    before = names()
    outcome = scoreinv(*words, "--dry-run")
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert names() == before


def test_a_folder_of_masks_by_name(scoreinv, scans, mask, tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "c.tif"):
        Image.fromarray(hole_array()).save(tmp_path / "masks" / name)
    outcome = scoreinv("inpaint", "scans", "--mask", "masks", "-o", "results")
    assert outcome.code == 0
    assert "warning: scans/b.jpg: skipped: masks has no mask named b" in outcome.err
    assert "2 done, 0 skipped because they exist, 1 left out, 0 failed" in outcome.err
    assert sorted(p.name for p in (tmp_path / "results").glob("*.png")) == ["a_inpainted.png", "c_inpainted.png"]
    told = lines(scoreinv("inpaint", "scans", "--mask", "masks", "-o", "results", "--json").out)
    assert [line["skipped"] for line in told] == [
        EXISTS,
        "masks has no mask named b",
        EXISTS,
    ]
    assert [line["finished"] for line in told] == [True, False, True]
    rows = table(tmp_path / "results" / "manifest.csv")
    assert [row["skipped"] for row in rows if row["input"] == "scans/b.jpg"] == ["masks has no mask named b"] * 2


def test_a_folder_of_results_has_a_manifest_that_a_rerun_goes_on_with(scoreinv, model, scans, mask, tmp_path):
    (scans / "b.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert scoreinv("inpaint", "scans", "--mask", mask, "--seed", 5).code == 1
    rows = table(tmp_path / "scans_inpainted/manifest.csv")
    assert [row["input"] for row in rows] == ["scans/a.png", "scans/b.jpg", "scans/c.png"]
    assert rows[0]["output"] == "scans_inpainted/a_inpainted.png"
    assert (rows[0]["seed"], rows[0]["method"], rows[0]["error"]) == ("5", "pc", "")
    assert rows[0]["model_sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert float(rows[0]["seconds"]) > 0
    assert "b.jpg" in rows[1]["error"]
    Image.fromarray(photo_array()).save(scans / "b.jpg")
    assert scoreinv("inpaint", "scans", "--mask", mask, "--seed", 5).code == 0
    rows = table(tmp_path / "scans_inpainted/manifest.csv")
    assert [row["input"] for row in rows[3:]] == ["scans/b.jpg"]
    assert rows[3]["error"] == ""


def test_two_pictures_of_one_stem_keep_their_whole_names(scoreinv, scans, mask, tmp_path):
    Image.fromarray(photo_array()).save(scans / "a.jpg")
    assert scoreinv("inpaint", "scans", "--mask", mask).code == 0
    names = sorted(path.name for path in (tmp_path / "scans_inpainted").glob("*.png"))
    assert names == ["a.jpg_inpainted.png", "a.png_inpainted.png", "b_inpainted.png", "c_inpainted.png"]
    (tmp_path / "masks").mkdir()
    for name, marked in (("a.jpg.png", hole_array()), ("a.png.png", hole_array().T)):
        Image.fromarray(marked).save(tmp_path / "masks" / name)
    told = lines(scoreinv("inpaint", "scans", "--mask", "masks", "-o", "out", "--json").out)
    assert told[0]["outputs"] == ["out/a.jpg_inpainted.png"]
    assert "the mask is 24x40" in told[1]["error"]  # each had its own


def test_a_name_that_is_no_utf8(scoreinv, scans, mask, tmp_path):
    try:
        (scans / "a.png").rename(scans / os.fsdecode(b"sc\xe9ne.png"))
    except OSError:
        pytest.skip("this file system has names of UTF-8 only")
    outcome = scoreinv("inpaint", "scans", "--mask", mask, "--json")
    assert outcome.code == 0, outcome.err
    assert os.fsencode(lines(outcome.out)[-1]["input"]) == b"scans/sc\xe9ne.png"
    assert b"sc\xe9ne.png" in (tmp_path / "scans_inpainted" / "manifest.csv").read_bytes()


def test_pictures_of_a_folder_that_are_not_read_are_told(scoreinv, scans, mask, tmp_path):
    for name in ("d.jxl", "e.NEF", "notes.txt", ".f.jxl"):
        (tmp_path / "scans" / name).write_bytes(b"x")
    told = scoreinv("inpaint", "scans", "--mask", mask, "--dry-run")
    said = "scans: 2 in unsupported formats (.jxl, .nef), left out: convert them first"
    assert (told.code, told.err) == (0, f"scoreinv: warning: {said}\n")
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "d.jxl").write_bytes(b"x")
    refused = scoreinv("inpaint", "phone", "--mask", mask)
    assert (refused.code, "phone: no pictures in this folder, but 1 in unsupported formats" in refused.err) == (2, True)


def test_two_processes_in_one_folder_agree(scoreinv, scans, mask, tmp_path, meanwhile):
    """What another has written meanwhile is neither replaced nor a failure."""
    out = tmp_path / "scans_inpainted"

    def another_is_faster():
        out.mkdir(exist_ok=True)
        for name in ("a_inpainted.png", "c_inpainted.png"):
            if not (out / name).exists():
                (out / name).write_bytes(b"of another")

    meanwhile(another_is_faster)
    outcome = scoreinv("inpaint", "scans", "--mask", mask, "--json")
    assert outcome.code == 0, outcome.err
    told = lines(outcome.out)
    assert [line.get("skipped") for line in told] == [BY_ANOTHER, None, BY_ANOTHER]
    assert told[0]["output"] == "scans_inpainted/a_inpainted.png"
    assert (out / "a_inpainted.png").read_bytes() == b"of another"
    rows = table(out / "manifest.csv")
    assert [(row["input"], row["error"]) for row in rows] == [("scans/b.jpg", "")]
    (out / "a_inpainted.png").unlink()
    told = scoreinv("inpaint", "scans", "--mask", mask).err
    assert "0 done, 2 skipped because they exist (--overwrite replaces them), 1 done by another process" in told


def test_a_model_that_cannot_be_used_leaves_no_folder(scoreinv, scans, mask, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ("inpaint", "scans", "--mask", mask),
        ("inpaint", "scans", "--mask", mask, "-o", "a/b/c"),
        ("colorize", "scans/a.png", "-o", "a/b/"),
        ("sample", "-o", "a/b"),
        ("interpolate", "scans/a.png", "scans/c.png", "-o", "a/b/"),
    ):
        assert scoreinv(*words, "--model", "missing.safetensors").code == 2
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("machine", [(), ("--json",)])
def test_an_interrupted_folder_says_what_is_kept_and_how_to_go_on(
    scoreinv, scans, mask, interrupted_at_the_third, machine
):
    words = ("inpaint", "scans", "--mask", mask, "--seed", 3, "-o", "my results")
    outcome = scoreinv(*words, *machine)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-2] == "scoreinv: 2 done and kept, 1 left; the same command goes on"
    interrupted_at_the_third()
    again = scoreinv(*words, *machine)
    assert again.code == 0
    if machine:
        assert [line.get("finished") for line in lines(again.out)] == [True, True, None]
        return
    assert "1 done, 2 skipped because they exist" in again.err
    assert again.err.splitlines()[-1].endswith("results and manifest are in my results")


def test_shards_do_each_picture_once(scoreinv, scans, mask, tmp_path):
    """Whatever is finished, and in whatever order they are given."""
    names = sorted(path.name for path in scans.iterdir() if path.suffix != ".txt")
    assert len(names) == 3
    (tmp_path / "scans_inpainted").mkdir()
    (tmp_path / "scans_inpainted" / "a_inpainted.png").write_bytes(b"finished")
    told = [lines(scoreinv("inpaint", "scans", "--mask", mask, "--shard", f"{k}/2", "--json").out) for k in (1, 2)]
    assert [[Path(line["input"]).name for line in part] for part in told] == [[names[0], names[2]], [names[1]]]
    rows = table(tmp_path / "scans_inpainted" / "manifest.csv")
    assert [Path(row["input"]).name for row in rows] == [names[0], names[2], names[1]]  # what was finished is noted
    reverse = [f"scans/{name}" for name in reversed(names)]
    said = scoreinv("inpaint", *reverse, "--mask", mask, "-o", "out", "--shard", "1/3", "--dry-run").out
    assert [line.partition(":")[0] for line in said.splitlines()] == [f"scans/{names[0]}"]
