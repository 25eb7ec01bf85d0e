"""The inspector: archspec in a browser. A binder over the library's public functions."""
