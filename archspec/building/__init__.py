"""From generated source to a module on a device: construction, shapes, initial values."""
