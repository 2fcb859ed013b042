"""Makes tests/data/networks.json, the values of `tests/networks/test_values.py`, for cases that are added there.

PYTHONPATH=.:tests/networks python tests/data/make_networks.py

A value that changes is of a network that no longer computes what saved models were trained for.
"""

import json

from test_values import CASES, VALUES, summary

if __name__ == "__main__":
    lines = [f"  {json.dumps(name)}: {json.dumps(summary(name))}" for name in CASES]
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
