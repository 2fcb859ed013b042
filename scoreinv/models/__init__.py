"""Model files: scoreinv's own format, the published `.pth` checkpoints, and the catalogue of named models."""
