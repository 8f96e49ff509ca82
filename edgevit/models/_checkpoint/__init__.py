"""Weights from files as training scripts write them: found, checked, put into a model."""
