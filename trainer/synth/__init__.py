"""Synthetic people: drawn faces that the Haar cascade finds. For the demo and the tests; no substitute for real faces."""
