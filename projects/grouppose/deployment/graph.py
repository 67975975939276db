"""From a model to an ONNX graph: images in, poses of the people out."""
import inspect
import warnings
from io import BytesIO
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
import onnx
import torch
from mmpose.models.pose_estimators.base import BasePoseEstimator
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from ..model.tokens import sampled_masks

# LayerNormalization came with 17, GridSample of maps with 16.
OPSET = 17
INPUTS = ('images', 'valid_sizes')
OUTPUTS = ('keypoints', 'scores', 'labels', 'joints')
# What a graph of any size is traced with.
TRACED_SIZE = (320, 256)


class PoseGraph(nn.Module):
    """A model as one function of tensors.

    Args:
        model (BasePoseEstimator): From :func:`load_model` with
            ``prepare=False``, on the CPU.
    """

    def __init__(self, model: BasePoseEstimator):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor,
                valid_sizes: Tensor) -> Tuple[Tensor, ...]:
        """Find the people in a batch.

        Args:
            images (Tensor): Normalized, with zeros as padding on the right
                and at the bottom, float32, (B, 3, H, W).
            valid_sizes (Tensor): Width and height of each image without
                padding, int64, (B, 2).

        Returns:
            tuple[Tensor]: keypoints in pixels of ``images`` (B, n, K, 2),
            scores (B, n), best first; where the model tells classes apart
            their labels (B, n); and where it predicts more of each joint,
            see :class:`JointScores`, the probability that it is labeled, that
            it is labeled and visible, and the covariance of x and x, x and y,
            y and y in pixels of ``images`` (B, n, K, 5). Rows behind an
            image's last person have the score -1.
        """
        head = self.model.head
        feats = self.model.extract_feat(images)
        masks = sampled_masks(feats, images.shape[-2:], valid_sizes.flip(-1))
        outputs = head.run_steps(feats, masks)[0]['last']
        logits, keypoints, *joints = head.decoded(outputs)
        chosen = head.codec.choose(logits, keypoints, valid_sizes, *joints)
        named = dict(zip(OUTPUTS, chosen))
        return tuple(named[name] for name in self.output_names)

    @property
    def output_names(self) -> Tuple[str, ...]:
        """tuple[str]: Names of the outputs."""
        head = self.model.head
        left_out = dict(
            labels=len(head.codec.classes) == 1,
            joints=getattr(head.decoder, 'joint_scores', None) is None)
        return tuple(name for name in OUTPUTS if not left_out.get(name))


def trace(model: BasePoseEstimator,
          fixed_size: Optional[Sequence[int]] = None,
          batch_size: Optional[int] = None) -> onnx.ModelProto:
    """Write a model down as an ONNX graph.

    Args:
        model (BasePoseEstimator): From :func:`load_model` with
            ``prepare=False``, on the CPU. It is left as
            it was.
        fixed_size (Sequence[int], optional): Width and height of the only
            images that the graph takes. Defaults to any.
        batch_size (int, optional): The only size of a batch. Defaults to
            any.

    Returns:
        onnx.ModelProto: See :class:`PoseGraph` for inputs and outputs.
    """
    width, height = fixed_size or TRACED_SIZE
    count = batch_size or 2
    images = torch.zeros(count, 3, height, width)
    valid_sizes = torch.tensor([[width, height]]).repeat(count, 1)
    valid_sizes[0] -= torch.tensor([width // 4, 0])
    graph = PoseGraph(model).eval()
    outputs = graph.output_names
    axes: Dict[str, Dict[int, str]] = {name: {} for name in INPUTS + outputs}
    if batch_size is None:
        axes = {name: {0: 'batch'} for name in axes}
    if fixed_size is None:
        axes['images'].update({2: 'height', 3: 'width'})

    return run_exporter(
        graph, (images, valid_sizes),
        input_names=INPUTS,
        output_names=outputs,
        dynamic_axes=axes)


def run_exporter(module: nn.Module, inputs: Tuple[Tensor, ...],
                 **options) -> onnx.ModelProto:
    """Trace a module with some inputs.

    Args:
        module (nn.Module): Takes and returns tensors.
        inputs (tuple[Tensor]): What to call it with.
        options: See ``torch.onnx.export``.
    """
    # The exporter of torch 2.1, which newer versions keep under this name.
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    buffer: Any = BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The comparison with PyTorch finds what tracing gets wrong.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module, inputs, buffer, opset_version=OPSET, **options)
    result = onnx.load_from_string(buffer.getvalue())
    _replace_doubles(result.graph)
    return result


def _replace_doubles(graph: onnx.GraphProto) -> None:
    """Make float32 of float64.

    The exporter takes Python's numbers for float64, and in graphs of a fixed
    size casts whatever they meet, down to the weights.
    """
    tensors = [*graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == 'Cast' and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
            elif node.op_type in ('Constant', 'ConstantOfShape'):
                tensors.append(attribute.t)
    for tensor in tensors:
        if tensor.data_type == TensorProto.DOUBLE:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for output in graph.output:
        if output.type.tensor_type.elem_type == TensorProto.DOUBLE:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    graph.ClearField('value_info')  # types between nodes, to be found anew
