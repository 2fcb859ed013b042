"""Training: objectives, pictures, loop, moving average, states. `scoreinv.training.loop.train` is the way in."""
