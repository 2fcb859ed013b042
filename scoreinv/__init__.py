"""scoreinv: inverse-problem imaging with score-based generative models through SDEs."""
