"""Adapters to other libraries, imported only with their module."""
