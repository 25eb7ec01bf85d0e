"""Bundles the JavaScript libraries of the page; see ``__main__``."""
