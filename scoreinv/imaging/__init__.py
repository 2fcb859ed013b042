"""Pictures and masks outside the network: files, arrays, colour, regions. Nothing here imports torch."""
