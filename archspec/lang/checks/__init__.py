"""What is held against a spec, one pass a module."""
