"""What all tests share."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

# Before numpy is imported: threads of its linear algebra spin, and two processes of tests then take twice as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch

from scoreinv.system.limits import limited


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors in quick tests alone: slow ones run Ray and a compiler, which warn of their own matters."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """The pictures of tests are small: more threads mostly wait for each other, unless somebody asks for them."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _opencv(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide OpenCV from tests without its marker, so that they hold on a machine without libGL."""
    if request.node.get_closest_marker("opencv"):
        pytest.importorskip("cv2", exc_type=ImportError)
    else:
        monkeypatch.setitem(sys.modules, "cv2", None)


@pytest.fixture
def limit() -> Iterator[Callable[..., None]]:
    """Change limits of `scoreinv.system.limits` by their names, until the test ends."""
    with ExitStack() as stack:
        yield lambda **changed: stack.enter_context(limited(**changed))


@pytest.fixture
def single_thread() -> Iterator[None]:
    """Networks of a few thousand weights lose by threads, most of all when other work waits for the processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A job in the background of a shell is started with Ctrl-C ignored, and so would be the processes of tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
