"""Which photos of folders are done, and the places of their results."""

import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image
from support.shell import photo_array

from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions, Planner, expand, match_patterns
from scoreinv.system.errors import InputError


@pytest.fixture
def scans(photo: Path, mask: Path, tmp_path: Path) -> Path:
    """Two photos of one name in two folders, another above, and masks in the same places."""
    for place in ("a.png", "one/a.png", "two/deep/a.png"):
        for folder, source in (("scans", photo), ("masks", mask)):
            path = tmp_path / folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    return tmp_path / "scans"


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


@pytest.mark.parametrize(
    "given",
    [
        *({name: "scans/in"} for name in ("mask", "avoid", "uncertainty", "steps_to", "kernel_out", "changes")),
        {"hints": "scans/in/a.png"},
        {"references": ("scans/in/a.png",)},
        {"models": {"scans/in/a.png": "the model"}},
        {"photos": ["scans/in/a.png"]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_folders_within_that_the_run_uses_are_not_missed(tmp_path, monkeypatch, caplog, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans" / "in").mkdir(parents=True)
    for name in ("a.png", "in/a.png"):
        Image.fromarray(photo_array()).save(tmp_path / "scans" / name)
    files = {name: given[name] for name in given.keys() & {field.name for field in fields(AuxiliaryFiles)}}
    photos, models = ["scans", *given.get("photos", [])], given.get("models", {})
    options = OutputOptions(output="out", changes=given.get("changes"))
    for plan, count in (
        (Planner(photos, "_made", 1, options, AuxiliaryFiles(**files), models), 0),
        (Planner(["scans"], "_made", 1, OutputOptions(output="out"), AuxiliaryFiles(), {}), 1),
    ):
        with suppress(InputError):  # not all of them are files that such a run may use
            plan.plan()
        assert sum("subfolders are left out" in record.getMessage() for record in caplog.records) == count


def test_linked_folders_are_passed_over_and_named(scoreinv, scans, tmp_path):
    (scans / "linked").symlink_to(tmp_path / "elsewhere")
    (scans / "one").rename(tmp_path / "elsewhere")
    deep = scoreinv("denoise", "scans", "--recursive", "--noise", 10, "--dry-run")
    assert "scans: linked folders are left out (scans/linked): name them as inputs" in deep.err
    assert deep.out.count("would be written") == 2


@pytest.mark.parametrize("recursive", [False, True])
def test_dangling_links_are_left_out_and_named(tmp_path, caplog, recursive):
    Image.fromarray(photo_array()).save(tmp_path / "a.png")
    for name in ("b.png", "notes"):
        (tmp_path / name).symlink_to("missing")
    assert expand(str(tmp_path), recursive=recursive) == [str(tmp_path / "a.png")]
    (record,) = caplog.records
    assert f"({tmp_path / 'b.png'})" in record.getMessage()


def test_quoted_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "c.jpg", "[a].png"):
        Path(name).touch()
    for item, found in {
        "?.png": ["a.png", "b.png"],
        "[a].png": ["[a].png"],
        "*.tif": ["*.tif"],
        "-": ["-"],
        "s3://photos/*.png": ["s3://photos/*.png"],
    }.items():
        assert match_patterns([item, "c.jpg"]) == [*found, "c.jpg"]


def test_a_folder_with_nothing_but_folders_names_recursive(scoreinv, scans):
    (scans / "a.png").unlink()
    outcome = scoreinv("denoise", "scans", "--noise", 10)
    assert (outcome.code, "no pictures in this folder; --recursive includes" in outcome.err) == (2, True)


def test_masks_are_matched_by_place(scoreinv, scans, tmp_path):
    (tmp_path / "masks" / "one" / "a.png").unlink()
    outcome = scoreinv("inpaint", "scans", "--mask", "masks", "--recursive", "-o", "filled")
    assert "scans/one/a.png: skipped: masks has no mask named one/a" in outcome.err
    assert written(tmp_path / "filled") == ["a_inpainted.png", "two/deep/a_inpainted.png"]


@pytest.mark.parametrize(
    ("names", "options", "results"),
    [
        (["s/a.png", "s/a_made.png", "s/a_made.2.png"], {}, ["s/a_made.2.png", "s/a_made.png"]),
        (["s/a.png", "s/a.png_made.png"], {}, ["s/a.png_made.png"]),
        (["s/a.png", "s/a_made_2.png", "s/b_made.png", "s/_made.png"], {}, []),
        (["s/a.png", "t/a_made.png"], {}, []),
        (["s/a.png", "t/a_made.png"], {"output": "t"}, ["t/a_made.png"]),
        (["s/a.png", "t/in/a_made.png"], {"output": "t"}, []),
        (["s/a.png", "t/in/a_made.png"], {"output": "t", "recursive": True}, ["t/in/a_made.png"]),
    ],
)
def test_results_of_earlier_runs_among_the_photos(tmp_path, monkeypatch, names, options, results):
    monkeypatch.chdir(tmp_path)
    plan = Planner(names, "_made", 1, OutputOptions(**options), AuxiliaryFiles(), {}).plan()
    assert sorted({*names} - {job.source for job in plan.jobs}) == results
    assert plan.results_skipped == len(results)


def test_tiffs_of_a_folder_give_tiffs_and_masks_are_png(scoreinv, tmp_path):
    (tmp_path / "scans").mkdir()
    for name in ("a.TIFF", "b.png", "both.png", "both.tif"):
        Image.fromarray(photo_array()).save(tmp_path / "scans" / name)
    filled = scoreinv("denoise", "scans", "--noise", 10, "--dry-run")
    for name in ("a_denoised.tif", "b_denoised.png", "both_denoised.png", "both_denoised.tif"):
        assert f"scans_denoised/{name}" in filled.out
    found = scoreinv("damage", "scans", "--dry-run")
    for name in ("a_damage.png", "b_damage.png", "both.png_damage.png", "both.tif_damage.png"):
        assert f"scans_damage/{name}" in found.out
    named = scoreinv("denoise", "scans/a.TIFF", "--noise", 10, "--dry-run", "--format", "jpg")
    assert "a_denoised.jpg" in named.out


@pytest.mark.parametrize(("name", "warned"), [("out.jpg", True), ("out.png", False)])
def test_a_mask_of_changes_of_a_lossy_result_is_warned_of(scoreinv, photo, mask, name, warned):
    outcome = scoreinv("inpaint", photo, "--mask", mask, "-o", name, "--changes", "changes.png", "--dry-run")
    assert (outcome.code, f"warning: {name}: " in outcome.err) == (0, warned)


def test_a_picture_does_not_go_to_a_terminal(scoreinv, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    refused = scoreinv("denoise", "-")
    assert (refused.code, refused.out, "goes to stdout, which is a terminal" in refused.err) == (2, "", True)


def test_without_ray(scoreinv, photo, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = scoreinv("denoise", photo, photo.parent, "--workers", "ray")
    assert (outcome.code, "pip install 'scoreinv[ray]'" in outcome.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
