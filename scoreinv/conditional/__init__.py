"""Priors whose network takes an observation: what it is given, and how its output is read."""
