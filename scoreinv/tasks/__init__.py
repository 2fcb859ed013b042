"""What people come for: inpainting, colorization, generation, likelihood of pictures. Arrays in, arrays out.

A task brings a picture to the model's scale and range, wraps the prior in what is known, samples, and brings the result
back: known pixels are those of the picture, bit for bit.
"""
