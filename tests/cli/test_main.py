"""How commands end: by errors, by signals at any moment, and with standard streams that are not as usual."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.processes import default_signals
from support.shell import image, photo_array

SIGNALS = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated"), "SIGHUP": (129, "ended with its terminal")}


posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and descriptors of POSIX")


def run(*words: str | Path, within: Path, first: Path | None = None, **options: object) -> subprocess.CompletedProcess:
    """The command as its own process; `first`: a folder whose modules come before all others."""
    paths = [str(first)] if first is not None else []
    paths += [path for path in sys.path if path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}
    environment |= options.pop("environment", {})
    line = [sys.executable, "-m", "scoreinv", *map(str, words)]
    return subprocess.run(line, capture_output=True, cwd=within, env=environment, check=False, **options)


def closed(*numbers: int) -> Callable[[], None]:
    return lambda: [os.close(number) for number in numbers] and None


def onto(number: int, path: str) -> Callable[[], None]:
    return lambda: os.dup2(os.open(path, os.O_WRONLY), number) and None


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")


def test_debug_shows_the_traceback(scoreinv, mask):
    outcome = scoreinv("inpaint", "missing.png", "--mask", mask, "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.err.endswith("scoreinv: error: missing.png: no such file: check the path\n")


@pytest.mark.skipif(os.name != "posix", reason="needs names with line breaks")
def test_names_of_files_forge_no_line_with_tracebacks_either(scoreinv, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a\nscoreinv: error: all lost.png").write_bytes(b"no picture")
    outcome = scoreinv("denoise", tmp_path / "photos", "--debug")
    assert "Traceback" in outcome.err
    assert "scoreinv: error: all lost.png" not in outcome.err.splitlines()


def test_an_unexpected_error_is_one_line_with_its_type(scoreinv, photo, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("torch.nn.functional.group_norm", broken)
    outcome = scoreinv("denoise", photo)
    assert outcome.code == 1
    assert outcome.err == f"scoreinv: error: {photo}: ZeroDivisionError: by zero (--debug shows the traceback)\n"


def test_an_error_is_told_in_json_too(scoreinv, tmp_path):
    Image.fromarray(photo_array(9, 8)).save(tmp_path / "odd.png")
    for words, names in (
        (["likelihood", "odd.png"], {"input", "error"}),
        (["likelihood", "gone.png"], {"input", "error"}),
        (["inpaint", "odd.png", "--mask", "gone.png"], {"error"}),
        (["sample", "--model", "phto"], {"error"}),
        (["denoise", "odd.png", "--nonsense"], {"error"}),
    ):
        outcome = scoreinv(*words, "--json")
        (record,) = map(json.loads, outcome.out.splitlines())
        assert set(record) == names
        assert outcome.err == f"scoreinv: error: {record['error']}\n"
    assert "odd.png: the picture is 8x9" in scoreinv("likelihood", "odd.png").err


@posix
@pytest.mark.parametrize(
    ("name", "module", "swallowed"),
    [
        ("SIGINT", "typer", False),
        ("SIGTERM", "torch", True),
    ],
)
def test_a_signal_during_an_import(tmp_path, photo, mask, name, module, swallowed):
    """As early as the command line is read, and in the midst of what takes long to load, which may turn it round."""
    modules = tmp_path / "modules"
    modules.mkdir()
    code = f"import os, signal\nexec('os.kill(os.getpid(), signal.{name})')\n"
    if swallowed:
        code = "try:\n    " + code.replace("\n", "\n    ") + "\nexcept BaseException:\n    raise ImportError('damaged')"
    (modules / f"{module}.py").write_text(code)
    done = run("inpaint", photo, "--mask", mask, within=tmp_path, first=modules, preexec_fn=default_signals)
    status, word = SIGNALS[name]
    assert (done.returncode, done.stdout, done.stderr.decode()) == (status, b"", f"scoreinv: {word}\n")
    assert not (tmp_path / "photo_inpainted.png").exists()


@posix
def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As nohup and shells leave them to what they start."""
    code = (
        "import signal, sys; from scoreinv.cli.main import main; "
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "import scoreinv.cli.app as app; "
        "app.run = lambda words: [signal.raise_signal(s) for s in (signal.SIGHUP, signal.SIGINT)] and 7; "
        "print(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("7\n", "")


@pytest.mark.slow
@posix
def test_closed_descriptors(photo, mask, tmp_path):
    """The work is done all the same, and nothing is written into files that took the places of the streams."""
    before = photo.read_bytes()
    words = ["inpaint", photo, "--mask", mask, "--method", "biharmonic", "--json"]
    done = run(*words, within=tmp_path, preexec_fn=closed(0, 1, 2))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert image(tmp_path / "photo_inpainted.png").size == (40, 24)
    assert photo.read_bytes() == before


@posix
def test_a_result_on_a_closed_stdout_is_refused(photo, mask, tmp_path):
    done = run("inpaint", photo, "--mask", mask, "-o", "-", within=tmp_path, preexec_fn=closed(1))
    assert (done.returncode, done.stderr) == (2, b"scoreinv: error: -o -: standard output is closed: name a file\n")
    done = run("sample", "-o", "-", within=tmp_path, preexec_fn=closed(1))
    assert (done.returncode, done.stderr) == (2, b"scoreinv: error: -o -: standard output is closed: name a file\n")


@posix
def test_a_photo_from_a_closed_stdin_is_empty(mask, tmp_path):
    done = run("inpaint", "-", "--mask", mask, "-o", "out.png", within=tmp_path, preexec_fn=closed(0))
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"standard input: the file is empty" in done.stderr


@posix
@full
def test_a_full_stdout_is_told(tmp_path, monkeypatch):
    from scoreinv.cli.render import put
    from scoreinv.system.errors import ScoreinvError

    done = run("inpaint", "--help", within=tmp_path, preexec_fn=onto(1, "/dev/full"))
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"No space left on device" in done.stderr
    with monkeypatch.context() as patch, Path("/dev/full").open("w") as stream:
        patch.setattr(sys, "stdout", stream)
        with pytest.raises(ScoreinvError, match=r"^stdout: No space left on device$"):
            put("a line")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@posix
def test_a_reader_that_goes_away(tmp_path):
    line = f"{sys.executable} -m scoreinv inpaint --help | true; echo ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout in ("0\n", "1\n")  # all of it may have fitted into the pipe
    assert done.stderr == ""


def test_signals_are_noted_for_the_time_of_a_command(scoreinv):
    before = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert scoreinv("inpaint", "--help").code == 0
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_process_ends_with_its_status_once_all_that_was_registered_for_its_end_is_done():
    code = (
        "import atexit, sys; from scoreinv import __main__ as door; door.run = lambda: 3; "
        "kept = type('Kept', (), {'__del__': lambda self: print('taken apart')})(); "
        "status = door.main(); atexit.register(print, 'registered'); print('done'); sys.exit(status)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.split("\n")) == (3, ["done", "registered", ""])
