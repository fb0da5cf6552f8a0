"""For tests: an oracle, a model, a clock, faults, and tiny files of every format."""
