"""Running a model on ``meta`` and writing down what happens, each kind of module only once."""
