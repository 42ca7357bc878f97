"""Runs it: the `lifeos` command, the wiring, the local stack, the simulators."""
