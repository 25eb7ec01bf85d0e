"""Expressions: from text to trees, and passes over those."""
