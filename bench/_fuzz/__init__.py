"""Mutants of every kind of file, and the process that reads them."""
