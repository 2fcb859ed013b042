"""What all tests share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """The pictures of tests are small: on a shared machine more threads mostly wait for each other."""
    torch.set_num_threads(1)
