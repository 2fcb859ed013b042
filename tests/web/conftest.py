"""What the tests of the page share."""

import pytest


@pytest.fixture(autouse=True)
def _not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network that objects are selected by looks at every photograph that is opened, for a second of processor
    time; test_web_objects has another in its place."""
    monkeypatch.setattr("scoreinv.web.objects._encode", lambda photo: None)
