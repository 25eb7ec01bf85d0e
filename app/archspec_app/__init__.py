"""The inspector: archspec in a browser. A face over the library's public functions."""
