"""Models of other projects: official checkpoints, published names, diffusers' folders, pickles."""
