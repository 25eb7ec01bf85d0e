"""One module a part of the page: its components, and the handlers of its events."""
