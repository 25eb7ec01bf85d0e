"""What specs may name: layers, functions, initializers, and the signatures of each."""
