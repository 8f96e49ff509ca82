"""The reference evaluator of Core ML programs (MIL)."""
