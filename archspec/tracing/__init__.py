"""Runs a model on ``meta`` and records what happens, each kind of module only once."""
