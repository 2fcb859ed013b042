"""Text from files is shown without acting on the terminal, and shares with two digits."""

import pytest

from scoreinv.system.text import percent, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Größe, 写真, a b\u00a0c", "plain, Größe, 写真, a b\u00a0c"),
        ("clear\x1b[2J", r"clear\x1b[2J"),
        ("two\r\nlines\tand a tab", r"two\r\nlines\tand a tab"),
        ("photo\u202egnp.exe", r"photo\u202egnp.exe"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("lines\u2028and\u2029paragraphs", r"lines\u2028and\u2029paragraphs"),
        ("no UTF-8: \udcff", r"no UTF-8: \udcff"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


SHARES = [(0, "0 %"), (1e-6, "0.01 %"), (0.00005, "0.01 %"), (0.0125, "1.2 %"), (0.031, "3.1 %"), (0.25, "25 %")]
SHARES += [(0.4995, "50 %"), (0.9995, "99.95 %"), (1 - 1e-7, "99.99 %"), (1.0, "100 %")]


@pytest.mark.parametrize(("share", "text"), SHARES)
def test_percentages_have_two_digits(share, text):
    assert percent(share) == text
