"""Qualcomm's HTP by ONNX Runtime's QNN execution provider: private helpers of `qnn`."""
