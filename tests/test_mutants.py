"""The mutants are of executed code, and a kill that no other test makes counts as lost."""

from typing import Any

from mutants import candidates, is_mutant, lost

SOURCE = b'''
def clipped(x: float = 2.0, least: int = +1) -> float:
    """At least 1."""
    if x < least and least:
        raise ValueError("1 is less than 2")
    return -min(x, least, key=abs)
'''


def test_operators_change_executed_code_alone() -> None:
    mutants = [one for one in candidates("m.py", SOURCE) if is_mutant(one, SOURCE)]
    changed = {(one.line, SOURCE[one.start : one.end].decode(), one.text) for one in mutants}
    condition = "x < least and least"
    assert changed == {
        (2, "2.0", "3.0"),
        (2, "2.0", "4.0"),
        (2, "1", "2"),
        (2, "1", "0"),
        (4, condition, f"(not ({condition}))"),
        (4, condition, "(x < least or least)"),
        (4, "x < least", "(x <= least)"),
        (5, 'raise ValueError("1 is less than 2")', "pass"),
        (6, "-min(x, least, key=abs)", "(min(x, least, key=abs))"),
        (6, "min", "max"),
        (6, "min(x, least, key=abs)", "min(x, least)"),
    }


def test_a_kill_is_lost_if_all_of_its_tests_go() -> None:
    row = {"module": "m.py", "line": 6, "start": 1, "old": "min", "text": "max"}

    def matrix(*killed_by: str) -> dict[str, Any]:
        return {"mutants": [row | {"killed_by": list(killed_by)}]}

    both = matrix("a.py::test_one", "b.py::test_two")
    assert lost(both, both, ["a.py"]) == []
    assert lost(both, matrix(), []) == lost(both, both, ["a.py", "b.py::test_two"]) == ["m.py:6: min -> max"]
