"""LiteRT: interpreters, and what a file holds and executes in integers."""
