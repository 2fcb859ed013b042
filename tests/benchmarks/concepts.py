"""How much of the package one photograph runs through.

    python tests/benchmarks/concepts.py [PHOTO MASK]
    python tests/benchmarks/concepts.py --lines [FOLDER ...]

`inpaint` (by a model and by OpenCV), `colorize` and `restore` each run once, as the command line runs them, in a
process of their own under `sys.setprofile`. Counted are the named functions of the package that ran, the modules that
they stand in, and the classes of the package of which objects were made. Without PHOTO and MASK the photograph is a
part of a bundled one, 96x96, with one scratch.

`--lines` counts lines of code, without blank lines, comments and docstrings: of the package and the tests, or of other
folders.
"""

import ast
import io
import json
import subprocess
import sys
import tempfile
import threading
import tokenize
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType

from PIL import Image, ImageDraw

import scoreinv

PACKAGE = Path(scoreinv.__file__).parent
ROOT = PACKAGE.parent
COUNT, LINES = "--count", "--lines"
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
COMMANDS = {
    "inpaint": ["inpaint", "PHOTO", "--mask", "MASK"],
    "inpaint --method telea": ["inpaint", "PHOTO", "--mask", "MASK", "--method", "telea"],
    "colorize": ["colorize", "PHOTO"],
    "restore": ["restore", "PHOTO"],
}


def counted(arguments: list[str]) -> tuple[int, int, int]:
    """Run the command line in this process; returns the functions, modules and classes of the package that it used."""
    functions, classes = set(), set()
    inside = f"{PACKAGE}/"

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        named = not code.co_name.startswith("<") and code.co_flags & CO_OPTIMIZED  # no module, class body or lambda
        if named and code.co_filename.startswith(inside):
            functions.add(code)
        if code.co_name == "__init__" and code.co_argcount:
            kind = type(frame.f_locals[code.co_varnames[0]])
            if kind.__module__.partition(".")[0] == "scoreinv":
                classes.add(kind)

    from scoreinv.__main__ import main

    sys.argv[1:] = arguments
    threading.setprofile(note)
    sys.setprofile(note)
    status = main()
    sys.setprofile(None)
    threading.setprofile(None)
    assert status == 0, arguments
    modules = {code.co_filename for code in functions}
    return len(functions), len(modules), len(classes)


def example(folder: Path) -> tuple[Path, Path]:
    """A part of a scratched photograph, 96x96, and the mask of one scratch."""
    left, top = 200, 60
    photo = Image.open(ROOT / "examples" / "damaged" / "astronaut.png").crop((left, top, left + 96, top + 96))
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).line((10, 20, 85, 70), fill=255, width=3)
    photo.save(folder / "photo.png")
    mask.save(folder / "mask.png")
    return folder / "photo.png", folder / "mask.png"


def code_lines(source: str) -> int:
    """Count the lines of a file that hold code; strings that stand alone count as docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo, mask = map(str, sys.argv[1:] or example(folder))
        print("| command | functions | modules | classes |\n|---|---|---|---|")
        for command, arguments in COMMANDS.items():
            given = [{"PHOTO": photo, "MASK": mask}.get(word, word) for word in arguments]
            counts = folder / "counts.json"
            written = ["-o", str(folder / f"{command}.png"), "--quiet"]
            words = [sys.executable, __file__, COUNT, str(counts), *given, *written]
            subprocess.run(words, check=True, cwd=ROOT)
            print(f"| `{command}` | {' | '.join(map(str, json.loads(counts.read_text())))} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [COUNT]:
        Path(sys.argv[2]).write_text(json.dumps(counted(sys.argv[3:])))
    elif sys.argv[1:2] == [LINES]:
        for folder in map(Path, sys.argv[2:] or (PACKAGE, ROOT / "tests")):
            print(folder, sum(code_lines(path.read_text("utf-8")) for path in folder.rglob("*.py")))
    else:
        main()
