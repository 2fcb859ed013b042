"""Training: the loop, losses, moving average, pictures, states. The way in is `loop.train`."""
