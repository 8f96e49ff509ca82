"""Folders and repositories in Hugging Face's format."""
