"""ONNX Runtime: sessions, and what a file holds and executes in integers."""
