"""Ways to run the network of an MMPose model: precisions and modes.

In every mode a model is called as usual, by its ``test_step``: images in,
poses out. Only its network, from normalized images to the output of the head,
is exchanged for a compiled, captured or exported one.
"""
from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn

from projects.grouppose.inference import prepare_for_inference
from projects.grouppose.inference.speed import prepare_for_export

from . import exported
from .parts import replaced

PRECISIONS = dict(fp32=None, fp16=torch.float16, bf16=torch.bfloat16)
MODES = ('eager', 'prepared', 'compile', 'graph', *exported.RUNTIMES)


def why_not(precision: str, mode: str, device: str) -> Optional[str]:
    """Why nothing can be measured here, None if nothing is known."""
    if device == 'cpu' and precision == 'fp16':
        return 'fp16 needs a GPU'
    if device == 'cpu' and mode == 'graph':
        return 'CUDA graphs need a GPU'
    if mode in exported.RUNTIMES and (device, precision) != ('cpu', 'fp32'):
        return f'{mode} is measured on a CPU, in fp32'
    return None


class Inference:
    """Runs batches through a model in evaluation mode.

    ``prepared`` is what the project's inference runs, see
    :func:`prepare_for_inference`. In the modes that exchange the network,
    images of a batch have one size, and nothing is padding.
    """

    def __init__(self, model: nn.Module, precision: str, mode: str):
        if mode == 'prepared':
            prepare_for_inference(model)
        self.model = model
        self.dtype = PRECISIONS[precision]
        self.device = next(model.parameters()).device.type
        self.network = None
        if mode not in ('eager', 'prepared'):
            # As they are before a network takes their places.
            self._extract_feat = model.extract_feat
            self._head = model.head.forward
        if mode == 'compile':
            torch._dynamo.reset()
            self.network = torch.compile(self.forward)
        elif mode == 'graph':
            self.network = CapturedNetwork(self.forward)
        elif mode in exported.RUNTIMES:
            prepare_for_export(model)
            self.network = exported.ExportedNetwork(model, self.forward, mode)

    @torch.no_grad()
    def __call__(self, data: dict) -> list:
        """Predict a batch as a data loader collates it; return data samples
        with ``pred_instances``."""
        if self.network is None:
            with self._precision():
                return self.model.test_step(data)
        model = self.model
        with replaced(model, 'extract_feat', lambda _: self.network), \
                replaced(model.head, 'forward', lambda _: _first):
            return model.test_step(data)

    def forward(self, images: Tensor) -> Any:
        """The network alone: normalized images to outputs of the head."""
        with self._precision():
            return self._head(self._extract_feat(images))

    def _precision(self):
        return torch.autocast(
            self.device, dtype=self.dtype, enabled=self.dtype is not None)


class CapturedNetwork:
    """A network as a CUDA graph, captured at the first call.

    Later calls replay its kernels without the host choosing them. The shape
    of the input is fixed, outputs are overwritten by the next call, and
    nothing may be copied between host and device.
    """

    def __init__(self, network: Callable[[Tensor], Any]):
        self.network = network
        self.graph = None

    def __call__(self, images: Tensor) -> Any:
        if self.graph is None:
            self._capture(images)
        self.images.copy_(images)
        self.graph.replay()
        return self.outputs

    def _capture(self, images: Tensor) -> None:
        self.images = images.clone()
        # Libraries choose and allocate in their first calls, which must not
        # be captured, nor run on the stream of everybody else.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.network(self.images)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.outputs = self.network(self.images)
        self.graph = graph


def _first(outputs: Any, *args, **kwargs) -> Any:
    """In place of a head's forward, which the network has run already."""
    return outputs
