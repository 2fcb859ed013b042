"""Samplers for one observation: `DDRM` and `DPIR` contain it, and `PosteriorFlow` starts from the posterior mean."""
