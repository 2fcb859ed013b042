"""Deprecated name of what `scoreinv.machine` has of memory."""

from scoreinv.machine import keep_freed as keep_freed
