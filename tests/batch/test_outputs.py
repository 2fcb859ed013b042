"""Names of outputs. Files and folders that may not be read or written: exit status 2, one line, nothing made."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from shell import hole_array, photo_array

from scoreinv import files
from scoreinv.batch.plan import OutputOptions, ending, numbered, results_folder, single_output
from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.files import check_folder, check_writable

_NOBODY = 65534


@pytest.fixture
def folder(scoreinv, model, monkeypatch) -> Iterator[Path]:
    """A folder of things that are closed, as seen by somebody whom permissions bind, which root is not."""
    path = Path(tempfile.mkdtemp())
    for name in ("scans", "closed", "readable", "unlisted/scans"):
        (path / name).mkdir(parents=True)
    photos = ("scans/a.png", "scans/b.png", "closed/a.png", "readable/a.png", "unlisted/scans/a.png")
    for name in ("photo.png", "unreadable.png", *photos):
        Image.fromarray(photo_array()).save(path / name)
    Image.fromarray(hole_array()).save(path / "mask.png")
    shutil.copy(model, path / "closed.safetensors")
    shutil.copy(model, path / "model.safetensors")
    for each in [path, *path.rglob("*")]:
        each.chmod(0o777 if each.is_dir() else 0o666)
    for name, mode in {
        "unreadable.png": 0,
        "scans/b.png": 0,
        "closed": 0,
        "readable": 0o555,
        "unlisted": 0o311,
        "closed.safetensors": 0,
    }.items():
        (path / name).chmod(mode)
    monkeypatch.chdir(path)
    root = os.geteuid() == 0
    try:
        if root:
            _load_all(scoreinv)
            _become_nobody()
        yield path
    finally:
        if root:
            os.seteuid(0)
        monkeypatch.undo()
        for name in ("closed", "unlisted"):
            (path / name).chmod(0o700)
        for each in path.rglob("*"):
            each.chmod(0o700)
        shutil.rmtree(path)


def _become_nobody() -> None:
    try:
        os.seteuid(_NOBODY)
    except OSError as error:  # in a namespace of one user, for example
        if error.errno != errno.EINVAL:
            raise
        pytest.skip("root here cannot become another user, whom permissions bind")


def _load_all(scoreinv) -> None:
    """Have all modules loaded, which somebody else might not be allowed to read."""
    sampled = ("sample", "-n", "1", "-o", "drawn.png", *MODEL)
    assert [scoreinv(*sampled).code, scoreinv(*sampled).code] == [0, 2]
    assert scoreinv("inpaint", "photo.png", "--mask", "mask.png", "-o", "filled.png", *MODEL).code == 0
    assert scoreinv("colorize", "photo.png", "-o", "coloured.png", *MODEL, "--debug").code == 0
    assert scoreinv("interpolate", "photo.png", "photo.png", "-o", "row.png", *MODEL).code == 0
    assert scoreinv("likelihood", "gone.png", "--csv", "new.csv", *MODEL).code == 2
    assert scoreinv("models", "show", "model.safetensors").code == 0
    assert scoreinv("inpaint", "photo.png", *CLASSICAL, "-o", "classical.png").code == 0
    assert scoreinv("rerun", "classical.png", "--mask", "mask.png", "-o", "again.png").code == 0


CLASSICAL = ("--mask", "mask.png", "--method", "biharmonic")
MODEL = ("--model", "model.safetensors")


CLOSED = [
    (("inpaint", "unreadable.png", "--mask", "mask.png"), "unreadable.png"),
    (("inpaint", "photo.png", "--mask", "unreadable.png"), "unreadable.png"),
    (("inpaint", "closed/a.png", "--mask", "mask.png", "-o", "new.png"), "closed/a.png"),
    (("inpaint", "closed/a.png", "--mask", "mask.png"), "closed"),
    (("inpaint", "closed", "--mask", "mask.png"), "closed"),
    (("inpaint", "scans", "--mask", "mask.png", "-o", "closed"), "closed"),
    (("inpaint", "scans", "--mask", "mask.png", "-o", "readable/new/deep"), "readable"),
    (("inpaint", "readable/a.png", "--mask", "mask.png"), "readable"),
    (("inpaint", "photo.png", "--mask", "mask.png", "--model", "closed.safetensors"), "closed.safetensors"),
    (("inpaint", "photo.png", "--mask", "mask.png", "--model", "closed/"), "closed"),
    (("colorize", "photo.png", "--hints", "unreadable.png"), "unreadable.png"),
    (("sample", "-n", "1", "-o", "readable/new/"), "readable"),
    (("likelihood", "photo.png", "--csv", "readable/new.csv"), "readable"),
    (("models", "show", "closed.safetensors"), "closed.safetensors"),
]


def test_what_is_closed(scoreinv, folder):
    for words, said in CLOSED:
        before = sorted(folder.rglob("*"))
        more = () if "--model" in words or words[0] == "models" else MODEL
        outcome = scoreinv(*words, *more)
        assert outcome.code == 2, outcome.err
        assert outcome.err.startswith("scoreinv: error: ")
        assert outcome.err.count("\n") == 1
        assert said in outcome.err
        assert "--debug" not in outcome.err
        assert sorted(folder.rglob("*")) == before


def test_a_batch_goes_on_past_what_is_closed(scoreinv, folder):
    outcome = scoreinv("inpaint", "scans", "--mask", "mask.png", *MODEL)
    assert outcome.code == 1
    assert "scans/b.png: cannot be read (Permission denied)" in outcome.err
    assert "1 done, 0 skipped because they exist, 1 failed" in outcome.err


def test_an_original_is_found_in_a_folder_whose_parent_cannot_be_listed(scoreinv, folder):
    assert scoreinv("inpaint", "unlisted/scans/a.png", *CLASSICAL).code == 0
    again = scoreinv("rerun", "unlisted/scans/a_inpainted.png", "--mask", "mask.png")
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("source", "options", "output"),
    [
        ("a/b.jpg", {}, "a/b_x.png"),
        ("a/b.TIFF", {}, "a/b_x.tif"),
        ("a/b.jpg", {"format": "webp"}, "a/b_x.webp"),
        ("a/b.jpg", {"output": "new/"}, "new/b_x.png"),
        ("a/b.jpg", {"output": "there"}, "there/b_x.png"),
        ("a/b.jpg", {"output": "there", "format": "jpg"}, "there/b_x.jpg"),
        ("a/b.jpg", {"output": "c.tif"}, "c.tif"),
        ("a/b.jpg", {"output": "-"}, "-"),
        ("-", {"output": "there"}, "there/stdin_x.png"),
        ("-", {}, "-"),
        ("a/b.jpg", {"output": "c.tif", "format": "jpg"}, None),
        ("a/b.jpg", {"output": "-", "format": "jpg"}, None),
        ("-", {"format": "jpg"}, None),
        ("a/b.jpg", {"output": "c.txt"}, None),
    ],
)
def test_the_output_of_one_photo(tmp_path, monkeypatch, source, options, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    chosen = OutputOptions(**options)
    if output is None:
        with pytest.raises(InputError):
            single_output(source, chosen, ending(source, "_x", chosen, None))
    else:
        assert single_output(source, chosen, ending(source, "_x", chosen, None)) == output


def test_the_folder_of_several_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert results_folder("a/scans", "_x", OutputOptions()) == Path("a/scans_x")
    assert results_folder(".", "_x", OutputOptions()) == tmp_path.with_name(f"{tmp_path.name}_x")
    assert results_folder("a/..", "_x", OutputOptions()) == tmp_path.with_name(f"{tmp_path.name}_x")
    assert results_folder("a/scans", "_x", OutputOptions(output="new.d")) == Path("new.d")
    for wrong in ("-", "file", "new.PNG"):
        with pytest.raises(InputError):
            results_folder("scans", "_x", OutputOptions(output=wrong))


def test_formats_and_numbers_of_outputs():
    assert ending("a.jpg", "_x", OutputOptions(), "tif") == "_x.tif"
    assert ending("a.tif", "_x", OutputOptions(format="png"), "webp") == "_x.png"
    assert numbered("a/b.c.png", 1) == ("a/b.c.png",)
    assert numbered("a/b.c.png", 3) == ("a/b.c.1.png", "a/b.c.2.png", "a/b.c.3.png")
    for name in ("a.png", "a.TIF", "-"):
        assert not any(files.is_lossy(name, quality) for quality in (None, 90))
    for name in ("a.jpg", "a.avif", "a.heic"):
        assert files.is_lossy(name, None)
    assert (files.is_lossy("a.webp", None), files.is_lossy("a.webp", 90)) == (False, True)
    files.check_quality(["a.png", "b.webp"], "-o")
    for wrong in ("a.png", "a.tiff", "-"):
        with pytest.raises(InputError):
            files.check_quality([wrong], "-o")


def test_a_result_is_not_written_to_a_terminal_unless_that_is_asked_for(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(InputError):
        single_output("-", OutputOptions(), "_x.png")
    assert single_output("-", OutputOptions(output="-"), "_x.png") == "-"


def test_outputs_that_exist_and_inputs_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("a.png")
    (tmp_path / "hard.png").hardlink_to("a.png")
    check_writable(Path("new.png"), overwrite=False)
    check_writable(Path("new/deep/a.png"), overwrite=False, makes_folder=True)
    check_writable(Path("a.png"), overwrite=True)
    for same in ("a.png", "link.png"):
        with pytest.raises(ExistsError):
            check_writable(Path(same), overwrite=False)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="cannot be replaced"):
            check_writable(Path("folder.png"), overwrite=overwrite)
    with pytest.raises(InputError, match="there is no folder new"):
        check_writable(Path("new/a.png"), overwrite=False)
    files.refuse_inputs("-o", ["new.png"], {"a.png": "a photo", "gone.png": "a photo"})
    files.refuse_inputs("-o", ["gone.png"], {"gone.png": "a photo"})
    for same in ("a.png", "./a.png", "link.png", "hard.png"):
        with pytest.raises(InputError, match="a photo"):
            files.refuse_inputs("-o", ["new.png", same], {"a.png": "a photo"})
    check_folder(tmp_path / "new" / "deep")
    for wrong in ("a.png", "a.png/new"):
        with pytest.raises(InputError, match="is not a folder"):
            check_folder(Path(wrong))


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"workers": "1"}, True),
        ({"workers": "999"}, True),
        ({"workers": "01"}, False),
        ({"record_time": True}, True),
        ({"record_time": True, "provenance": False}, False),
        ({"record_time": True, "provenance": False, "changes": "masks"}, True),
    ],
)
def test_options_of_outputs_fit_together(options, allowed):
    with contextlib.nullcontext() if allowed else pytest.raises(InputError):
        OutputOptions(**options)
