"""What is deferred is imported when it is asked for, and torch works without it and with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scoreinv.system import deferred

WORK = """
import sys
from scoreinv.system import deferred
deferred.defer_of_numpy()
deferred.import_torch()
import numpy, torch
from scipy import ndimage
from torch._subclasses.fake_tensor import FakeTensorMode
assert torch.randn(2, generator=torch.Generator().manual_seed(0)).isfinite().all()
x = torch.ones(1, 8, 8, 8, requires_grad=True)
y = torch.nn.functional.group_norm(torch.nn.functional.conv2d(x, torch.ones(8, 8, 3, 3)), 2)
torch.autograd.grad(y.square().sum(), x)
early = "torch._meta_registrations" in sys.modules and "torch._prims" in sys.modules, "numpy.f2py" in sys.modules
deferred.load_shapes()
with FakeTensorMode():
    shape = torch.linalg.qr(torch.empty(3, 2))[0].shape
numpy.testing.assert_allclose(1.0, 1.0)
print(*early, *shape, torch.__version__.startswith(deferred._TRIED))
"""


@pytest.mark.slow
def test_torch_and_numpy_work_with_parts_deferred_and_the_parts_come_when_asked_for() -> None:
    run = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    *early, rows, columns, tried = run.stdout.split()
    assert early == [str(tried == "False"), "False"]
    assert (rows, columns) == ("3", "2")


def test_a_deferred_module_is_imported_at_the_first_use_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "later.py").write_text("name = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    placed = deferred._Deferred("later")
    monkeypatch.setitem(sys.modules, "later", placed)
    assert not hasattr(placed, "__path__")
    assert sys.modules["later"] is placed  # which did not load it
    assert placed.name == 7
    assert sys.modules["later"] is not placed
    with pytest.raises(AttributeError, match="other"):
        placed.other  # noqa: B018


def test_another_version_of_torch_is_imported_whole(tmp_path: Path) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("from torch import _meta_registrations\n")
    (package / "_meta_registrations.py").write_text("")
    code = "import sys; from scoreinv.system import deferred; deferred._torch_version = lambda: '2.6.0'"
    code += "; deferred.import_torch()"
    show = f"{code}; print(sys.modules['torch'].__file__, type(sys.modules[deferred._SHAPES]).__name__)"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {show}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(package / "__init__.py"), "module"]
