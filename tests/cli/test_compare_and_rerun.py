"""Records of results on the command line: masks of changes, `compare` and `rerun`."""

import getpass
import json
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.shell import hole_array, photo_array

from scoreinv.files.read import read_picture
from scoreinv.files.write import write_picture
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import history_of, pixel_hash
from scoreinv.models.catalogue import locate, sha256

FAST = ("--precision", "float32", "--device", "cpu")


def records(path: Path | bytes) -> list:
    return history_of(read_picture(path).metadata.xmp)


def made(scoreinv, photo, mask, *more: str | Path) -> None:
    done = scoreinv("inpaint", photo, "--mask", mask, *FAST, "--seed", "3", "--changes", "changes.png", *more)
    assert done.code == 0, done.err


def test_a_result_is_made_again_to_the_bit(scoreinv, photo, mask, model, tmp_path):
    made(scoreinv, photo, mask)
    for masked in (mask, "changes.png"):  # the mask of changes is that of the holes
        out = tmp_path / f"again_{Path(masked).stem}.png"
        again = scoreinv("rerun", "photo_inpainted.png", "--mask", masked, "--model", model, "-o", out, "--json")
        assert again.code == 0, again.err
        row = json.loads(again.out)
        assert (row["equal"], row["differences"]) == (True, {})
        assert np.array_equal(read_picture(out).pixels, read_picture("photo_inpainted.png").pixels)
        assert row["input"] == str(photo)  # found by its pixels


def test_a_rehearsed_rerun_finds_the_original_beside_other_files(scoreinv, photo, mask, model):
    made(scoreinv, photo, mask)
    Path("photo_broken.png").write_bytes(b"no picture")
    Image.fromarray(photo_array()[::-1]).save("photo_in.png")  # of a closer name
    words = ("rerun", "photo_inpainted.png", "--mask", mask, "--model", model, "--dry-run")
    row = json.loads(scoreinv(*words, "--json").out)
    assert row == {"input": str(photo), "outputs": ["photo_inpainted_rerun.png"], "dry_run": True}
    assert "would be written to photo_inpainted_rerun.png" in scoreinv(*words).out
    assert not Path("photo_inpainted_rerun.png").exists()


def test_a_jpeg_is_made_again(scoreinv, photo, mask, model):
    made(scoreinv, photo, mask, "-o", "lossy.jpg")
    again = scoreinv("rerun", "lossy.jpg", "--original", photo, "--mask", mask, "--model", model, "--json")
    assert (again.code, json.loads(again.out)["equal"]) == (0, True)
    assert Path("lossy_rerun.png").exists()


def test_inverting_and_growing_the_mask_leave_what_is_avoided(scoreinv, conditional, photo):
    Image.fromarray(np.where(hole_array(), 0, 255).astype(np.uint8)).save("known.png")
    Image.fromarray(np.where(hole_array()[::-1, ::-1], 255, 0).astype(np.uint8)).save("avoid.png")
    words = ("--mask", "known.png", "--invert-mask", "--grow", "1", "--avoid", "avoid.png", "--model", conditional)
    assert scoreinv("inpaint", photo, *words, *FAST).code == 0
    again = scoreinv("rerun", "photo_inpainted.png", *words, "--json")
    assert (again.code, json.loads(again.out)["equal"]) == (0, True)


def test_a_run_is_repeated_with_the_threads_of_its_record(scoreinv, photo, mask, model):
    before = torch.get_num_threads()
    try:
        made(scoreinv, photo, mask, "--threads", str(before + 1))
        (record,) = records(Path("photo_inpainted.png"))
        torch.set_num_threads(before)
        words = ("rerun", "photo_inpainted.png", "--mask", mask, "--model", model, "--overwrite", "--json")
        differences = [json.loads(scoreinv(*words, *more).out)["differences"] for more in ((), ("--threads", "1"))]
    finally:
        torch.set_num_threads(before)
    assert record.threads == before + 1
    assert differences == [{}, {"threads": [before + 1, 1]}]


@pytest.mark.parametrize("threads", [0, 10**6, "all"])
def test_a_record_with_impossible_threads_is_refused(scoreinv, photo, mask, model, threads):
    made(scoreinv, photo, mask)
    picture = read_picture("photo_inpainted.png")
    record = replace(records(Path("photo_inpainted.png"))[0], threads=threads)
    write_picture("edited.png", replace(picture, metadata=Metadata(xmp=record.xmp())))
    assert scoreinv("rerun", "edited.png", "--original", photo, "--mask", mask, "--model", model).code == 2


def test_the_original_of_a_result_in_its_own_folder_is_found(scoreinv, mask, tmp_path):
    (tmp_path / "scans").mkdir()
    write_picture(tmp_path / "scans" / "a.png", Picture(photo_array()))
    words = ("--mask", mask, "--method", "biharmonic")
    assert scoreinv("inpaint", "scans", *words).code == 0
    again = scoreinv("rerun", "scans_inpainted/a_inpainted.png", "--mask", mask, "--json")
    assert (again.code, json.loads(again.out)["input"]) == (0, str(tmp_path / "scans" / "a.png"))


def test_a_repetition_with_other_pixels_or_an_unknown_model_fails(scoreinv, photo, mask):
    assert scoreinv("inpaint", photo, "--method", "biharmonic", "--mask", mask, "-o", "a.png").code == 0
    result = read_picture("a.png")
    (record,) = records(Path("a.png"))
    words = ("rerun", "b.png", "--original", photo, "--mask", mask, "--overwrite", "--json")
    for changed, code in (({"result": "0" * 64}, 1), ({"models": {"magic": {"name": "photo"}}}, 2)):
        metadata = Metadata(xmp=replace(record, **changed).xmp(None))
        write_picture("b.png", Picture(result.pixels, metadata), overwrite=True)
        again = scoreinv(*words)
        assert (again.code, json.loads(again.out).get("equal")) == (code, False if code == 1 else None)


def test_restorations_enlargements_and_blurs_are_made_again(scoreinv, photo, model, white_detector):
    for words in (("restore", "--noise", "9"), ("upscale",), ("deblur", "--kernel", "disk:2"), ("colorize",)):
        done = scoreinv(words[0], photo, *words[1:], *FAST, "-o", f"{words[0]}.png")
        assert done.code == 0, done.err
        again = scoreinv("rerun", f"{words[0]}.png", "--original", photo, "--model", model)
        assert again.code == 0, (words, again.err)
    models = records(Path("restore.png"))[0].models
    assert models["tone"] == {"name": "tone", "sha256": sha256(locate("tone"))}
    assert models.keys() >= {"encoder", "tone", "scene", "places"}


def test_wrong_inputs_of_rerun(scoreinv, photo, mask, model, tmp_path):
    made(scoreinv, photo, mask)
    Image.fromarray(photo_array()[::-1]).save("other.png")
    Image.fromarray(hole_array()[::-1]).save("other_mask.png")
    right = ("--mask", mask, "--model", model)
    for words in (
        ("rerun", "photo_inpainted.png", "--original", "other.png", *right),
        ("rerun", "photo_inpainted.png", "--model", model),
        ("rerun", "photo_inpainted.png", "--mask", "other_mask.png", "--model", model),
        ("rerun", "photo_inpainted.png", "--mask", mask),  # its model is a file
        ("rerun", "photo_inpainted.png", "--mask", mask, "--model", "none.safetensors"),
        ("rerun", "photo.png", *right),  # no record
        ("rerun", "none.png", *right),
    ):
        refused = scoreinv(*words)
        assert refused.code == 2, words
        assert refused.err.count("\n") == 1
    photo.unlink()
    assert scoreinv("rerun", "photo_inpainted.png", *right).code == 2
    assert not Path("photo_inpainted_rerun.png").exists()


def test_compare_finds_a_pixel_outside_the_mask(scoreinv, photo, mask):
    made(scoreinv, photo, mask)
    words = ("compare", photo, "photo_inpainted.png", "--json")
    row = json.loads(scoreinv(*words).out)
    assert (row["untouched"], row["recorded"], row["as_recorded"]) == (None, True, True)
    checked = scoreinv(*words, "--changes", "changes.png", "-o", "both.png")
    row = json.loads(checked.out)
    assert (checked.code, row["untouched"], row["outside"]) == (0, True, 0)
    assert row["generated"] == pytest.approx(hole_array().mean())
    assert read_picture("both.png").size == (24, 82)
    picture = read_picture("photo_inpainted.png")
    for place, code in (((9, 12), 0), ((0, 0), 1)):
        pixels = picture.pixels.copy()
        pixels[place] ^= 1
        write_picture("photo_inpainted.png", picture.with_pixels(pixels), overwrite=True)
        checked = scoreinv(*words, "--changes", "changes.png")
        row = json.loads(checked.out)
        assert (checked.code, row["outside"], row["as_recorded"]) == (code, code, False)
        assert row["untouched"] is (code == 0)


def test_sentences_of_compare(scoreinv, photo, mask):
    made(scoreinv, photo, mask)
    words = ("compare", photo, "photo_inpainted.png")
    dry = scoreinv(*words, "--dry-run", "-o", "both.png")
    assert (dry.code, "photo_inpainted.png: would be compared, and written to both.png" in dry.out) == (0, True)
    assert not Path("both.png").exists()
    assert " and written" not in scoreinv(*words, "--dry-run").out
    share = hole_array().mean()
    told = {"alone": scoreinv(*words), "masked": scoreinv(*words, "--changes", "changes.png")}
    picture = read_picture("photo_inpainted.png")
    pixels = picture.pixels.copy()
    pixels[0, 0] ^= 1
    write_picture("photo_inpainted.png", picture.with_pixels(pixels), overwrite=True)
    told["edited"] = scoreinv(*words, "--changes", "changes.png")
    write_picture("photo_inpainted.png", Picture(pixels), overwrite=True)
    told["unrecorded"] = scoreinv(*words)
    lines = {name: [line.partition(": ")[2] for line in one.out.splitlines()] for name, one in told.items()}
    assert {name: len(said) for name, said in lines.items()} == {"alone": 2, "masked": 3, "edited": 3, "unrecorded": 2}
    assert lines["alone"][0].startswith(f"{100 * (1 - share):.0f} % of its pixels")
    assert lines["masked"][0] == "all pixels outside the mask are the original's"
    assert lines["masked"][1] == f"{100 * share:.2g} % is generated and 0 % altered, by the mask"
    assert lines["masked"][2] == lines["alone"][1] == "its pixels are those of its record"
    assert lines["edited"][0].startswith("1 pixels outside")
    assert "are not those of its record" in lines["edited"][2]
    assert "there is no record" in lines["unrecorded"][1]


def test_wrong_inputs_of_compare(scoreinv, photo, mask):
    made(scoreinv, photo, mask)
    Image.fromarray(photo_array()[::-1]).save("other.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save("small.png")
    result = "photo_inpainted.png"
    for words in (
        ("other.png", result, "--changes", "changes.png"),  # the mask is of another original
        (photo, result, "--changes", "small.png"),
        (photo, result, "--changes", "other.png"),
        (photo, "none.png"),
        (photo, result, "-o", result, "--overwrite"),
        (photo, result, "-o", "changes.png"),
        ("-", "-"),
    ):
        assert scoreinv("compare", *words).code == 2, words


def test_nothing_personal_is_recorded(scoreinv, photo, mask, model):
    made(scoreinv, photo, mask)
    (record,) = records(Path("photo_inpainted.png"))
    text = (read_picture("photo_inpainted.png").metadata.xmp or b"").decode()
    for secret in (str(photo.parent), photo.name, model.name, str(model.parent), getpass.getuser(), platform.node()):
        assert secret not in text
    assert record.created == ""


def test_options_of_the_record(scoreinv, photo, mask):
    words = ("inpaint", photo, "--mask", mask, "--method", "biharmonic")
    assert scoreinv(*words, "-o", "a.png", "--record-time").code == 0
    (record,) = records(Path("a.png"))
    assert record.created.endswith("+00:00")
    assert scoreinv(*words, "-o", "b.png", "--no-provenance").code == 0
    assert read_picture("b.png").metadata.xmp is None
    assert np.array_equal(read_picture("a.png").pixels, read_picture("b.png").pixels)
    assert scoreinv(*words, "-o", "c.png", "--no-provenance", "--record-time").code == 2
    assert scoreinv(*words, "-o", "c.png", "--changes", "c.png").code == 2
    assert scoreinv(*words, "-o", "c.png", "--changes", "c.jpg").code == 2
    assert scoreinv(*words, "-o", "c.png", "--changes", photo).code == 2
    assert scoreinv("damage", photo, "--changes", "c.png").code == 2
    assert not Path("c.png").exists()


def test_runs_on_a_result_append_to_its_history_and_the_last_is_repeated(scoreinv, photo, mask):
    words = ("--method", "biharmonic", "--mask", mask)
    assert scoreinv("inpaint", photo, *words, "-o", "a.png").code == 0
    assert scoreinv("inpaint", "a.png", *words, "-o", "b.webp").code == 0
    first, second = records(Path("b.webp"))
    assert first == records(Path("a.png"))[0]
    assert (first.result, second.original) == (second.original, first.result)
    assert second.original == pixel_hash(read_picture("a.png"))
    again = scoreinv("rerun", "b.webp", "--mask", mask, "--json")  # the last run
    row = json.loads(again.out)
    assert (again.code, Path(row["input"]).name) == (0, "a.png")


@pytest.mark.opencv
def test_two_files_of_one_name_are_refused(scoreinv, mask, tmp_path):
    (tmp_path / "scans").mkdir()
    write_picture(tmp_path / "scans" / "a.png", Picture(photo_array()))
    words = ("inpaint", "scans", "--mask", mask, "--samples", "2", "--changes", "more", "--uncertainty", "more")
    assert scoreinv(*words).code == 2
