"""Names of outputs. Files and folders that may not be read or written: exit status 2, one line, nothing made."""

import contextlib
from pathlib import Path

import pytest

from scoreinv import files
from scoreinv.batch.plan import OutputOptions, ending, results_folder, single_output
from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.files import check_folder, check_writable


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
