"""The language: from the text of a spec to a checked ``Spec``. Nothing here imports torch."""
