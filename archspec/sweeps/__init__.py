"""Sweeps: many runs with other options each, which an optimizer chooses."""

from archspec.sweeps.sweeping import Sweep, Trial, sweep

__all__ = ["Sweep", "Trial", "sweep"]
