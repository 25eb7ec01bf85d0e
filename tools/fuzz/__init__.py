"""Mutated specs through everything that a spec can go through: ``python -m tools.fuzz``."""
