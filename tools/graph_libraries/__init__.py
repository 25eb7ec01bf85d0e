"""Bundles the graph libraries of the canvas; see ``__main__``."""
