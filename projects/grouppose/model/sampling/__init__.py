"""Sampling of deformable attention on a CPU and in an ONNX graph."""
