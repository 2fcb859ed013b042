"""Every picture and weights file names its author, its licence, and the package or the command that it comes from.

Each table LICENSES.csv is of the files beside and below it; `file` is a name, or a pattern of files that one command
makes. The page's icon is text that was written here, as code is.
"""

import csv
import re
import shlex
import subprocess
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("examples", "pretrained", "scoreinv/training/data/builtin", "tests")
TABLES = [ROOT / folder / "LICENSES.csv" for folder in FOLDERS]
KINDS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".ico"}  # pictures
KINDS |= {".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".onnx", ".npz", ".npy", ".mat", ".h5"}  # weights and arrays
PACKAGE = re.compile(r"(Debian|Python|npm) package \S+ [0-9]\S*: \S+")

Row = dict[str, str]


def held_files() -> list[str]:
    """The pictures and weights below the folders that are installed, shown or tested; in a clone those it keeps."""
    folders = ("examples", "pretrained", "scoreinv", "tests")
    if (ROOT / ".git").exists():
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z", *folders]
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    else:
        paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
        names = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    return [name for name in names if Path(name).suffix.lower() in KINDS]


def rows_of_tables() -> list[Row]:
    """The rows of all tables, their files named from the root."""
    rows = []
    for table in TABLES:
        with table.open(newline="", encoding="utf-8") as file:
            rows += [row | {"file": f"{table.parent.relative_to(ROOT)}/{row['file']}"} for row in csv.DictReader(file)]
    return rows


def has_source(row: Row) -> bool:
    """Whether the source is a package with version and path, or a command of this repository."""
    kind, _, command = row["source"].partition(" ")
    if kind != "command":
        return PACKAGE.fullmatch(row["source"]) is not None
    program, name, *words = shlex.split(command)
    named = [word for word in words if word.startswith("pretrained/")]  # a configuration in the repository
    if program == "python":
        named.append(f"{words[0].replace('.', '/')}.py" if name == "-m" else name)
    return program in ("python", "scoreinv") and all((ROOT / path).is_file() for path in named)


def faults(files: list[str], rows: list[Row]) -> list[str]:
    """What is wrong with files and rows, each by its name."""
    found = [f"{name}: no row" for name in files if not any(fnmatch(name, row["file"]) for row in rows)]
    for row in rows:
        if not any(fnmatch(name, row["file"]) for name in files):
            found.append(f"{row['file']}: no such file")
        if not (row["subject"] and row["author"] and row["licence"]):
            found.append(f"{row['file']}: no subject, author or licence")
        if not has_source(row):
            found.append(f"{row['file']}: no source")
    return found


def test_every_picture_and_weights_file_has_a_source() -> None:
    assert faults(held_files(), rows_of_tables()) == []
