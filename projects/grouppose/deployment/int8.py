"""Convolutions in 8-bit integers, by ONNX Runtime's quantization."""
import logging
import tempfile
from pathlib import Path
from typing import Iterator, Optional, Sequence

import onnx
from onnxruntime.quantization import (CalibrationDataReader, QuantFormat,
                                      QuantType, quantize_static)

from .comparison import Batch


class Images(CalibrationDataReader):
    """Batches as ONNX Runtime's calibration asks for them."""

    def __init__(self, batches: Sequence[Batch]):
        self.batches: Iterator[Batch] = iter(batches)

    def get_next(self) -> Optional[dict]:
        """The next batch, None behind the last."""
        batch = next(self.batches, None)
        return batch and batch.arrays()


def to_int8(model: onnx.ModelProto,
            batches: Sequence[Batch]) -> onnx.ModelProto:
    """Let the convolutions of a graph compute in 8-bit integers.

    Weights are quantized per channel, to 7 bits, as sums of 8 overflow on
    processors without VNNI; the ranges of activations are those that the
    images show. All else, and so everything that ranks tokens and
    people or computes coordinates, stays in float32.

    Args:
        model (onnx.ModelProto): From :func:`trace`. It is left as it was.
        batches (Sequence[Batch]): Images like those that the graph will get.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, 'int8.onnx'))
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # advice for every use
        try:
            quantize_static(
                model,
                path,
                Images(batches),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=['Conv'],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8)
        finally:
            logging.getLogger().setLevel(level)
        return onnx.load(path)
