"""Make random mutants of modules, run their tests, and store which test kills which mutant.

    python tests/mutants.py draw scoreinv/sdes.py --count 20 --draw 1 --out before.json
    python tests/mutants.py lost before.json after.json
    python tests/mutants.py lost before.json --without tests/test_sdes.py::test_a tests/test_sdes.py::test_b

`draw` works in a copy of the checkout. It first runs each file of tests once and notes the lines of the modules that
each test executes; a mutant is then shown to the tests of its line. A test that starts processes is shown every mutant.
A line that runs once for several tests, as in a cache, counts for the first of them.
`lost` lists the mutants that were killed before and no longer are. Equal modules and draws give equal mutants.
"""

import argparse
import ast
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SECONDS = 20.0
"""A test of a mutant may take this long and five times as long as without the mutant."""
BYTES = 8 << 30
"""Memory of the processes of one mutant."""

SWAPPED: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult,
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
TEXTS = (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple)


class Mutant(NamedTuple):
    """A module, relative to the root, with `text` in place of the bytes from `start` to `end`."""

    module: str
    line: int
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """Return the mutated source."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def candidates(module: str, source: bytes) -> list[Mutant]:
    """Return what the operators make of a module, whether it is a mutant or not: see `is_mutant`."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, text in _replacements(ast.parse(source)):
        start, end = (starts[line - 1] + column for line, column in _span(node))
        found.append(Mutant(module, node.lineno, start, end, text))
    return found


def is_mutant(candidate: Mutant, source: bytes) -> bool:
    """Whether a candidate can be compiled, and to other code than its module."""
    try:
        return ast.dump(ast.parse(candidate.apply(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def sampled(modules: list[str], count: int, number: int) -> list[Mutant]:
    """Return `count` random mutants of modules, or all if there are fewer; `number` is the seed."""
    sources = {module: (ROOT / module).read_bytes() for module in modules}
    everything = [one for module, source in sources.items() for one in candidates(module, source)]
    random.Random(number).shuffle(everything)
    return list(islice((one for one in everything if is_mutant(one, sources[one.module])), count))


def _span(node: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and last line and column of a node."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _replacements(node: ast.AST) -> Iterator[tuple[Any, str]]:
    """Yield the nodes of executed code with their replacements: no annotations, docstrings, or texts of errors."""
    yield from _replaced(node)
    if isinstance(node, ast.Raise | ast.JoinedStr):
        return
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _replacements(child)


def _replaced(node: Any) -> Iterator[tuple[Any, str]]:
    """Yield a node, or a part of it, with each replacement that the operators have for it."""
    match node:
        case ast.Compare(ops=[operator]):
            yield node, f"({ast.unparse(ast.Compare(node.left, [SWAPPED[type(operator)]()], node.comparators))})"
        case ast.BinOp(left=left, right=right) if type(node.op) in SWAPPED:
            if not any(isinstance(side, TEXTS) or _is_text(side) for side in (left, right)):
                yield node, f"({ast.unparse(ast.BinOp(left, SWAPPED[type(node.op)](), right))})"
        case ast.BoolOp():
            yield node, f"({ast.unparse(ast.BoolOp(SWAPPED[type(node.op)](), node.values))})"
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool()):
            yield node, str(not node.value)
        case ast.Constant(value=int() | float() as value):
            yield node, repr(value + 1)
            yield node, repr(value * 2 if isinstance(value, float) and value else value - 1)
        case ast.If() | ast.IfExp() | ast.While():
            yield node.test, f"(not ({ast.unparse(node.test)}))"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue():
            yield node, "pass"
        case ast.Call(func=ast.Name(id=name)) if name in CALLED:
            yield node.func, CALLED[name]
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg:
                rest = [one for one in node.keywords if one is not keyword]
                yield node, ast.unparse(ast.Call(node.func, node.args, rest))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)


class Recorder:
    """A plugin of pytest that writes a line of JSON as each test starts and ends, so that a crash loses nothing.

    Args:
        log: the file to write.
        wanted: the tests to run, with their time limits in seconds; None runs all of them.
        modules: the files whose executed lines are noted.
    """

    def __init__(self, log: Path, wanted: dict[str, float] | None, modules: frozenset[str]) -> None:
        self.log = log
        self.wanted = wanted
        self.modules = modules
        self.failed = False
        self.lines: set[tuple[str, int]] = set()
        self.shared: set[tuple[str, int]] = set()
        self.has_children = False

    def write(self, **entry: object) -> None:
        """Append an entry."""
        with self.log.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        """Note the executed lines of the modules."""
        if frame.f_code.co_filename not in self.modules:
            return None
        self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self.trace

    def audit(self, event: str, _: object) -> None:
        """Note that a test starts a process."""
        self.has_children |= event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file of tests that cannot be imported."""
        if report.failed:
            self.write(broken=report.nodeid)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose the wanted tests, and begin to trace after the imports."""
        if self.wanted is not None:
            items[:] = [item for item in items if item.nodeid in self.wanted]
        elif self.modules:
            self.shared |= self.lines
            sys.addaudithook(self.audit)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Note the lines of fixtures that several tests share."""
        before = set(self.lines)
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self.shared |= self.lines - before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self.failed |= report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run a test within its time."""
        self.write(started=item.nodeid)
        self.failed = self.has_children = False
        self.lines = set()
        begun, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        signal.setitimer(signal.ITIMER_REAL, (self.wanted or {}).get(item.nodeid, 0.0))
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            spawned = self.has_children or resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > used
            self.write(
                ended=item.nodeid, failed=self.failed, seconds=time.monotonic() - begun, spawned=spawned,
                lines=sorted(self.lines), shared=sorted(self.shared),
            )  # fmt: skip


def run_tests(
    copy: Path,
    paths: list[str],
    wanted: dict[str, float] | None,
    modules: frozenset[str] = frozenset(),
    stop: bool = False,
) -> list[dict[str, Any]]:
    """Run tests in a process that imports the copy, and return what the recorder wrote.

    Args:
        copy: the copied checkout.
        paths: files and folders of tests.
        wanted: see `Recorder`; None also runs without a limit.
        modules: see `Recorder`.
        stop: end with the first failure.
    """
    log = copy / "log.jsonl"
    log.unlink(missing_ok=True)
    log.touch()
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(copy)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        sys.path.insert(0, str(copy))
        os.environ["PYTHONPATH"] = str(copy)
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail("took too long"))
        recorder = Recorder(log, wanted, modules)
        if modules:
            threading.settrace(recorder.trace)
            sys.settrace(recorder.trace)
        options = [
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            f"--basetemp={copy}/made",
            "--continue-on-collection-errors",
        ]
        with suppress(BaseException):
            pytest.main([*options, *["-x"] * stop, *paths], [recorder])
        os._exit(0)
    deadline = time.monotonic() + sum(wanted.values()) + 60 if wanted else float("inf")
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.05)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            deadline = float("inf")
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # processes that a test has left
    return [json.loads(line) for line in log.read_text().splitlines()]


def killers(entries: list[dict[str, Any]], wanted: dict[str, float]) -> list[str]:
    """Return the tests that failed, hung or crashed, or whose file could not be imported."""
    ended = {entry["ended"]: entry["failed"] for entry in entries if "ended" in entry}
    started = [entry["started"] for entry in entries if "started" in entry]
    broken = tuple(entry["broken"] for entry in entries if "broken" in entry)
    return sorted(
        {test for test in started if ended.get(test, True)} | {test for test in wanted if test.startswith(broken)}
    )


def default_tests(module: str) -> str:
    """Return the tests of a module: `tests/a` for `scoreinv/a/b.py`, `tests/test_b.py` for `scoreinv/b.py`."""
    inner = Path(module).relative_to("scoreinv")
    folder = Path("tests", inner.parts[0])
    return str(folder if (ROOT / folder).is_dir() else Path("tests", f"test_{inner.name}"))


def draw(modules: list[str], tests: list[str], count: int, number: int, out: Path, stop: bool) -> None:
    """Run `count` random mutants and write the matrix after each of them.

    Args:
        modules: files or folders of the package, relative to the root.
        tests: files or folders of tests; empty: see `default_tests`.
        count: the number of mutants.
        number: the number of the draw, the seed.
        out: the file of the matrix.
        stop: note the first killer alone.
    """
    files = sorted({str(file.relative_to(ROOT)) for one in modules for file in _python_files(ROOT / one)})
    tests = tests or sorted({default_tests(file) for file in files})
    chosen = sampled(files, count, number)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder).resolve()
        for path in ROOT.iterdir():
            if path.name in ("scoreinv", "tests"):
                shutil.copytree(path, copy / path.name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
            elif path.name != ".git":
                (copy / path.name).symlink_to(path)
        paths = [str(path.relative_to(copy)) for one in tests for path in _python_files(copy / one, "test_*.py")]
        traced = frozenset(str(copy / file) for file in files)
        runs = [entry for path in paths for entry in run_tests(copy, [path], None, traced)]
        sound = [run for run in runs if "ended" in run and not run["failed"]]
        rows: list[dict[str, Any]] = []
        for mutant in chosen:
            place = [str(copy / mutant.module), mutant.line]
            wanted = {
                run["ended"]: SECONDS + 5 * run["seconds"]
                for run in sound
                if run["spawned"] or place in run["lines"] or place in run["shared"]
            }
            source = (ROOT / mutant.module).read_bytes()
            (copy / mutant.module).write_bytes(mutant.apply(source))
            asked = sorted({test.partition("::")[0] for test in wanted})
            killed_by = killers(run_tests(copy, asked, wanted, stop=stop), wanted) if wanted else []
            (copy / mutant.module).write_bytes(source)
            old = source[mutant.start : mutant.end].decode()
            rows.append({**mutant._asdict(), "old": old, "shown_to": len(wanted), "killed_by": killed_by})
            matrix = {
                "draw": number,
                "tests": {run["ended"]: round(run["seconds"], 2) for run in sound},
                "mutants": rows,
            }
            out.write_text(json.dumps(matrix, indent=1))
            state = f"killed by {len(killed_by)} of {len(wanted)}" if killed_by else f"SURVIVES {len(wanted)}"
            print(f"{mutant.module}:{mutant.line}: {old!r} -> {mutant.text!r}: {state}", flush=True)
    killed = sum(bool(row["killed_by"]) for row in rows)
    print(f"{killed} of {len(rows)} killed")


def _python_files(path: Path, pattern: str = "*.py") -> list[Path]:
    return sorted(path.rglob(pattern)) if path.is_dir() else [path]


def lost(before: dict[str, Any], after: dict[str, Any], without: list[str]) -> list[str]:
    """Return the mutants that a test killed before, and none of the tests kills after, leaving out `without`."""

    def killed(matrix: dict[str, Any], gone: tuple[str, ...]) -> dict[tuple[object, ...], str]:
        return {
            (
                row["module"],
                row["old"],
                row["text"],
                row["start"],
            ): f"{row['module']}:{row['line']}: {row['old']} -> {row['text']}"
            for row in matrix["mutants"]
            if any(not test.startswith(gone) for test in row["killed_by"])
        }

    kept = killed(after, tuple(without))
    return [text for key, text in killed(before, ()).items() if key not in kept]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    drawn = commands.add_parser("draw", help="run random mutants")
    drawn.add_argument("modules", nargs="+", help="files or folders of the package, relative to the root")
    drawn.add_argument("--tests", nargs="+", default=[], help="files or folders of tests (default: the modules' own)")
    drawn.add_argument("--count", type=int, default=20, help="number of mutants")
    drawn.add_argument("--draw", type=int, default=1, help="number of the draw, its seed")
    drawn.add_argument("--out", type=Path, required=True, help="the matrix, a JSON file")
    drawn.add_argument("--stop", action="store_true", help="stop at the first kill of each mutant")
    compared = commands.add_parser("lost", help="list the kills that are lost")
    compared.add_argument("before", type=Path)
    compared.add_argument("after", type=Path, nargs="?")
    compared.add_argument("--without", nargs="+", default=[], help="tests, or files of tests, to leave out")
    given = parser.parse_args()
    if given.command == "draw":
        import torch  # noqa: F401  # once for all mutants

        draw(given.modules, given.tests, given.count, given.draw, given.out, given.stop)
    else:
        before = json.loads(given.before.read_text())
        after = json.loads((given.after or given.before).read_text())
        missing = lost(before, after, given.without)
        print("\n".join(missing) or "no kill is lost")
        sys.exit(bool(missing))


if __name__ == "__main__":
    # Not on import: the tests' own threads depend on it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
