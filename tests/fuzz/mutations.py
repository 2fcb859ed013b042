"""Damage to bytes and to JSON values, drawn by a random generator."""

from __future__ import annotations

import random
from typing import Any

NUMBERS = (
    *(0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1),
)

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 10**4, 10**6, 10**9, 2**31, 2**62, 2**63, 2**64, 10**30, -(10**30)),
    *(0.0, -0.0, 0.5, -1.5, 1e-300, 5e-324, 1e300, -1e300, float("nan"), float("inf"), -float("inf")),
    *("", "0", "none", "swish", "x" * 5000, "\x1b[31m", "\u202e", "\ud800", "\0", "../../etc/passwd", "1e999"),
    *([], [[]], [0], [1, 2], [None], [1e308] * 3, list(range(2000)), [[1, 2], [3]], {}, {"a": {}}, {"name": "ve"}),
)


def damaged(generator: random.Random, data: bytes, times: int = 8) -> bytes:
    """A few bytes changed, put in, taken out, repeated or cut off, up to so many times."""
    result = bytearray(data)
    for _ in range(generator.randint(1, times)):
        place = generator.randrange(len(result) + 1)
        length = min(generator.choice((1, 1, 2, 4, 8, 16, 100, 1000)), len(result) - place)
        match generator.randrange(8):
            case 0 if length:
                result[place] ^= 1 << generator.randrange(8)
            case 1:
                result[place : place + length] = generator.randbytes(length)
            case 2:
                size = generator.choice((1, 2, 4, 8))
                number = generator.choice(NUMBERS) & (256**size - 1)
                result[place : place + size] = number.to_bytes(size, generator.choice(("little", "big")))
            case 3:
                del result[place : place + length]
            case 4:
                result[place:place] = result[place : place + length]
            case 5:
                result[place:place] = generator.randbytes(length)
            case 6 if generator.random() < 0.3:
                del result[place:]
            case 7:
                other = generator.randrange(len(result) + 1)
                result[place : place + length] = result[other : other + length]
    return bytes(result)


def damaged_json(generator: random.Random, value: Any, times: int = 3) -> Any:
    """The value with up to so many of its entries replaced, nested, taken out, renamed or added."""
    for _ in range(generator.randint(1, times)):
        value = _changed(generator, value)
    return value


def _changed(generator: random.Random, value: Any) -> Any:
    """One change at a place that is reached by going down at random."""
    if isinstance(value, dict) and value and generator.random() < 0.95:
        key = generator.choice(list(value))
        match generator.randrange(12):
            case 0:
                return {name: entry for name, entry in value.items() if name != key}
            case 1:
                return {name if name != key else f"{name}_": entry for name, entry in value.items()}
            case 2:
                return value | {generator.choice(("name", "", "x" * 3000, "\x1b[2J", "steps")): replacement(generator)}
            case _:
                return value | {key: _changed(generator, value[key])}
    if isinstance(value, list) and value and generator.random() < 0.7:
        place = generator.randrange(len(value))
        match generator.randrange(6):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return value[:place] + [value[place]] * generator.choice((2, 3, 100, 3000)) + value[place:]
            case _:
                return [*value[:place], _changed(generator, value[place]), *value[place + 1 :]]
    if isinstance(value, int | float) and generator.random() < 0.5:
        return generator.choice((-value, value * 2, value * 1000, value + 1, value - 1, value / 3, [value], str(value)))
    return replacement(generator)


def replacement(generator: random.Random) -> Any:
    """Another value of any kind, rarely one that is nested deeply."""
    if generator.random() < 0.02:
        value: Any = 1
        for _ in range(generator.choice((10, 100, 500))):
            value = [value] if generator.random() < 0.5 else {"a": value}
        return value
    return generator.choice(_VALUES)
