"""Programs that make the bundled models which `scoreinv train` does not: one for each, run by `python -m`.

`fitting` holds what they share.
"""
