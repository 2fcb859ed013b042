"""Names of the kinds of models."""

from typing import Literal

FixedKind = Literal["encoder", "tone", "blur", "places"]
"""Kinds of models whose networks have no options. Each has one bundled model, of the same name."""
Kind = Literal["prior", "classifier", "damage", "upscale", "noise", FixedKind]
"""Kinds of models to load; a prior may be of the kinds `prior`, `fill` and `colour` of `config.KINDS`."""

HelperName = Literal[FixedKind, "scene"]
"""Bundled models that a task uses whatever models the user chooses: of `scene` the network of the mean chroma."""
