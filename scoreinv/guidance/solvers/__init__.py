"""Solvers that hold the observation themselves: DDRM, DPIR and the flow from the posterior mean."""
