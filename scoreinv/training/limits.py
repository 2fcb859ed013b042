"""What a run may ask for. Imports no torch, so that the command line tells of it at once."""

MOST_STEPS = 999_999_999
"""What the nine digits of a state's name count."""

MOST_PICTURES = 2**20
"""Of a batch; far more than any memory takes of pictures of a useful size."""

MOST_MINUTES = 10_000_000.0
"""Nineteen years."""

MOST_LEARNING_RATE = 1000.0
