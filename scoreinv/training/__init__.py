"""Training: objectives, pictures, loop, moving average, states. The way in is `training_loop.train`."""
