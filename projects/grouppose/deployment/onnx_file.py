"""The whole way from a model to an ONNX file that is known to be right."""
import copy
import os
from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np
import onnx
from mmpose.models.pose_estimators.base import BasePoseEstimator

from ..inference.speed import OneDNNLinear, prepare_for_export
from ..model import GroupPoseHead
from .comparison import (Difference, compare, drawn_batches, load_graph,
                         resized_batches)
from .graph import trace
from .half import precise_parts, to_half
from .int8 import to_int8
from .metadata import describe, network_size


class Tolerance(NamedTuple):
    """The largest difference of a graph from its model that is accepted, see
    :class:`Difference`."""
    pixels: float
    scores: float


# What a graph may differ by from its model, in pixels and in scores. In half
# precision the median pose counts: of two that rank about the same, either
# may be taken.
TOLERANCE = Tolerance(0.05, 1e-4)
HALF_TOLERANCE = Tolerance(0.5, 1e-3)
# Only what makes a file useless: how much accuracy 8 bits cost is to be
# measured on a data set.
INT8_TOLERANCE = Tolerance(10, 0.2)


def export(model: BasePoseEstimator,
           path: str,
           fixed_size: Optional[Sequence[int]] = None,
           batch_size: Optional[int] = None,
           half: bool = False,
           calibration: Optional[Sequence[np.ndarray]] = None) -> Difference:
    """Export a model to ONNX, and compare the two before the file is there.

    Args:
        model (BasePoseEstimator): From :func:`load_model` with
            ``prepare=False``, on the CPU.
        path (str): File to write; one that exists is replaced.
        fixed_size (Sequence[int], optional): Width and height of the only
            images that the graph takes. Defaults to the size that the test
            pipeline gives every image, else to any.
        batch_size (int, optional): The only size of a batch. Defaults to
            any.
        half (bool): See :func:`to_half`. Defaults to False.
        calibration (Sequence[np.ndarray], optional): Images, BGR, uint8,
            (H, W, 3), by which ranges of 8-bit integers are chosen, see
            :func:`to_int8`; not with ``half``. Defaults to none, and no such
            integers.

    Returns:
        Difference: What was found between the two.

    Raises:
        ValueError: If the model is no Group Pose or was prepared for
            inference, images enter it in an unusual way, or the graph
            computes something else.
    """
    if not isinstance(getattr(model, 'head', None), GroupPoseHead):
        raise ValueError(
            f'{model.cfg.filename}: the model has no GroupPoseHead, only '
            'models with it can be exported.')
    if half and calibration is not None:
        raise ValueError(f'{model.cfg.filename}: export in half precision or '
                         'with 8-bit integers, not both.')
    if any(isinstance(module, OneDNNLinear) for module in model.modules()):
        raise ValueError(
            f'{model.cfg.filename}: the model was prepared for inference, '
            'which no graph can be made of. Load it with prepare=False.')
    metadata = describe(model, fixed_size)
    fixed_size = fixed_size or network_size(model)
    deployed = copy.deepcopy(model)
    prepare_for_export(deployed)
    graph = trace(deployed, fixed_size, batch_size)
    limit = TOLERANCE
    if half:
        graph = to_half(graph, precise_parts(deployed))
        limit = HALF_TOLERANCE
    elif calibration is not None:
        batches = resized_batches(model, calibration, fixed_size, batch_size)
        graph = to_int8(graph, batches)
        limit = INT8_TOLERANCE
    onnx.helper.set_model_props(graph, metadata)
    onnx.checker.check_model(graph, full_check=True)
    content = graph.SerializeToString()
    found = _check(model, content, fixed_size, batch_size, limit)

    unfinished = f'{path}.tmp'
    with open(unfinished, 'wb') as file:
        file.write(content)
    os.replace(unfinished, path)
    return found


def _check(model: BasePoseEstimator, content: bytes,
           fixed_size: Optional[Sequence[int]], batch_size: Optional[int],
           limit: Tolerance) -> Difference:
    """Refuse a graph that computes something else."""
    batches = drawn_batches(model, fixed_size, batch_size)
    try:
        found = compare(model, load_graph(content), batches)
    except Exception as error:  # ONNX Runtime's have no other base
        raise ValueError(
            f'{model.cfg.filename}: the graph does not run in ONNX Runtime '
            f'({error}). {_remedy(fixed_size)}') from error
    summary: Callable = np.max if limit is TOLERANCE else np.median
    if np.isinf(found).any():
        raise ValueError(
            f'{model.cfg.filename}: on drawn images, the graph finds another '
            'number of people, or other classes. Nothing was written. '
            f'{_remedy(fixed_size)}')
    pixels, scores = map(summary, found)
    # Not the other way round, for NaN.
    if not (pixels <= limit.pixels and scores <= limit.scores):
        raise ValueError(
            f'{model.cfg.filename}: on drawn images, the graph is off by '
            f'{pixels:.3g} pixels and {scores:.2g} in scores; '
            f'{limit.pixels} and {limit.scores} are allowed. Nothing was '
            f'written. {_remedy(fixed_size)}')
    return found


def _remedy(fixed_size: Optional[Sequence[int]]) -> str:
    if fixed_size is None:
        return ('If the backbone takes sizes for constants when it is '
                'traced, export with --fixed-size and --batch.')
    return 'Please report it with the config.'
