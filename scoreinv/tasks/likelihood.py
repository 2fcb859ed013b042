"""Deprecated name of `scoreinv.tasks.bits`, which the guide of version 0.1 has."""

from scoreinv.tasks.bits import pictures_bits_per_dim as pictures_bits_per_dim
