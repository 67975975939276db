"""Sampling of deformable attention: on a CPU, on a GPU, in an ONNX graph."""
