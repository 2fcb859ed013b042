"""Training pictures: found in a folder or zip, decoded, and drawn in batches, with synthetic prints and damage."""
