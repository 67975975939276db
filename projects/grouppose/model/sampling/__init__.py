"""How feature maps are sampled: on a CPU and in an ONNX graph."""
