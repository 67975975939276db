"""Half precision where it is safe: the layers that hold most of the weights
and do most of the work compute in float16, everything else in float32."""
from typing import List, Sequence, Set

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

# Layers with weights become half...
WEIGHTED = ('Conv', 'Gemm', 'MatMul')
# ... and what works on their results alone stays half.
FOLLOWING = ('Add', 'MaxPool', 'Mul', 'Relu')


def precise_parts(model: nn.Module) -> List[str]:
    """Places of the layers that stay as they are.

    In half precision, sampling locations move by up to 0.04 tokens, and
    there are too few numbers to rank thousands of tokens by. Modules say so
    themselves, by the names of such parts in their ``full_precision``.

    Args:
        model (nn.Module): The model that a graph was made of.

    Returns:
        list[str]: Names of modules.
    """
    return [
        f'{name}.{part}'.strip('.') for name, module in model.named_modules()
        for part in getattr(module, 'full_precision', ())
    ]


def to_half(model: onnx.ModelProto, precise: Sequence[str]) -> onnx.ModelProto:
    """Let the heavy layers of a graph compute in float16.

    Normalization layers, sampling, coordinates, and the scores by which
    tokens and people are ranked stay float32, and so do inputs and outputs.

    Args:
        model (onnx.ModelProto): From :func:`trace`. It is left as it was.
        precise (Sequence[str]): From :func:`precise_parts`.

    Returns:
        onnx.ModelProto: Of about half the size.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    rewriter = _Rewriter(graph, precise)
    nodes = [*graph.node]
    for node in nodes:
        rewriter.add(node)
    for output in graph.output:
        rewriter.single(output.name)
    used = {name for node in rewriter.nodes for name in node.input}
    weights = [
        tensor for tensor in [*graph.initializer, *rewriter.half_weights]
        if tensor.name in used
    ]
    # Types of tensors between nodes, which no longer hold.
    for field in ('node', 'initializer', 'value_info'):
        graph.ClearField(field)
    graph.node.extend(rewriter.nodes)
    graph.initializer.extend(weights)
    return result


class _Rewriter:
    """Nodes of the new graph, with a cast wherever the precision changes.

    A tensor keeps its name in float32 and gets ``_half`` appended in
    float16, so that it may exist in both.
    """

    def __init__(self, graph: onnx.GraphProto, precise: Sequence[str]):
        self.precise = [part.split('.') for part in precise]
        self.weights = {
            tensor.name: tensor
            for tensor in graph.initializer
            if tensor.data_type == TensorProto.FLOAT
        }
        self.half_weights: List[TensorProto] = []
        self.nodes: List[NodeProto] = []
        # Names of what exists in float16, and of which of it there is no
        # float32 version yet.
        self.halves: Set[str] = set()
        self.pending: Set[str] = set()

    def add(self, node: NodeProto) -> None:
        """Append a node of the old graph."""
        if self._becomes_half(node):
            node.input[:] = [self._half(name) for name in node.input]
            self.halves.update(node.output)
            self.pending.update(node.output)
            node.output[:] = [name + '_half' for name in node.output]
        else:
            for name in node.input:
                self.single(name)
        self.nodes.append(node)

    def single(self, name: str) -> None:
        """Make sure that a tensor exists in float32."""
        if name in self.pending:
            self.pending.remove(name)
            self._cast(name + '_half', name, TensorProto.FLOAT)

    def _half(self, name: str) -> str:
        """Name of a tensor in float16."""
        if name not in self.halves:
            self.halves.add(name)
            if name in self.weights:
                self._add_half_weights(name)
            else:
                self._cast(name, name + '_half', TensorProto.FLOAT16)
        return name + '_half'

    def _cast(self, source: str, target: str, dtype: int) -> None:
        self.nodes.append(
            helper.make_node(
                'Cast', [source], [target], name=f'{target}_cast', to=dtype))

    def _add_half_weights(self, name: str) -> None:
        values = numpy_helper.to_array(self.weights[name])
        largest = np.finfo(np.float16).max
        values = values.clip(-largest, largest).astype(np.float16)
        self.half_weights.append(
            numpy_helper.from_array(values, name + '_half'))

    def _becomes_half(self, node: NodeProto) -> bool:
        if self._is_precise(node.name):
            return False
        if node.op_type in WEIGHTED:
            return any(name in self.weights for name in node.input)
        results = [name for name in node.input if name not in self.weights]
        return node.op_type in FOLLOWING and bool(
            results) and self.halves.issuperset(results)

    def _is_precise(self, name: str) -> bool:
        """Whether a node is in a part that stays as it is.

        Nodes are named after the modules that were called on the way to them:
        ``/decoder/class_embeds.0/MatMul``. A module of which only a method
        was called is not among them.
        """
        scope = name.strip('/').replace('/', '.').split('.')[:-1]
        return any(
            _leads_to(scope[:i], part) for part in self.precise
            for i in range(1,
                           len(scope) + 1))


def _leads_to(place: List[str], part: List[str]) -> bool:
    """Whether a place is a part's, with some modules before it left out."""
    names = iter(part)
    return place[-1] == part[-1] and all(name in names for name in place)
