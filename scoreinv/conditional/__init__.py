"""Networks that take an observation, and their inputs; `guidance.given` conditions them on one."""
