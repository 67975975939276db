"""Group attention beside one self-attention over all queries.

    python benchmarks/attention.py --out DIR

Measures the decoder layer of the model, ``GroupAttentionDecoderLayer``, with
its switch ``self_attention``: one attention over all N * (K + 1) queries
beside attention within instances and then across them. Time and memory of
forward and backward, of the self-attention alone and of the whole layer, in
turns. DIR gets attention.md, attention.json and attention.png.
"""
from functools import partial
from typing import Callable, List, NamedTuple, Tuple

import torch
from program import ArgumentParser
from torch import Tensor

from benchmarks.lib.charts import draw_bars, plt, save
from benchmarks.lib.results import Results
from benchmarks.lib.variants import COLUMNS, MEMORY, measure_variants
from projects.grouppose.model.decoder_layer import GroupAttentionDecoderLayer
from projects.grouppose.model.tokens import flatten_maps

SCHEMES = dict(full='full', group='within_across')
STRIDES = (8, 16, 32, 64)


class Case(NamedTuple):
    """A part of a layer ('self-attention' or 'layer') with one of
    :data:`SCHEMES`, for N queries of K keypoints, of width C, and for the
    whole layer an image of a size (W, H)."""
    part: str
    attention: str
    keypoints: int
    queries: int
    embed_dims: int
    heads: int
    size: tuple
    device: str

    def prepare(self) -> Tuple[Callable[[], Tensor], List[Tensor]]:
        """What is computed, and what gets gradients."""
        torch.manual_seed(0)
        device = self.device
        layer = GroupAttentionDecoderLayer(
            self.embed_dims,
            self.heads,
            len(STRIDES),
            self_attention=SCHEMES[self.attention]).to(device)
        shape = (1, self.queries, self.keypoints + 1)
        query, query_pos = [
            torch.randn(
                *shape, self.embed_dims, device=device, requires_grad=True)
            for _ in range(2)
        ]
        sides = [[-(-side // stride) for side in reversed(self.size)]
                 for stride in STRIDES]
        maps = [
            torch.randn(
                1, self.embed_dims, *side, device=device, requires_grad=True)
            for side in sides
        ]
        leaves = [query, query_pos, *maps]
        compute = partial(layer.attend_to_queries, query)
        if self.part == 'layer':
            compute = partial(
                layer, query, query_pos,
                torch.rand(*shape, len(STRIDES), 2, device=device),
                flatten_maps(maps, None, query.dtype))
        return compute, [*leaves, *layer.parameters()]

    def prepare_step(self) -> Callable[[], tuple]:
        """Forward and backward, after a small one, for libraries and thread
        pools."""

        def step(compute: Callable, leaves: List[Tensor]) -> tuple:
            return torch.autograd.grad(
                compute().sum(), leaves, allow_unused=True)

        step(*self._replace(keypoints=1).prepare())
        return partial(step, *self.prepare())


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=5)
    parser.add_numbers('--keypoints', [17, 133], 'numbers of keypoints K')
    parser.add_number('--queries', 100, 'instances N')
    parser.add_number('--embed-dims', 256, 'width C')
    parser.add_number('--heads', 8, 'attention heads')
    parser.add_size((1333, 800), 'the image that the layer attends to')
    parser.add_device()
    args = parser.parse_args(argv)
    results = Results(
        args.out / 'attention', 'Group attention beside full attention',
        f'N = {args.queries}, C = {args.embed_dims}, {args.heads} heads, an '
        f'image of {args.size[0]} x {args.size[1]} pixels, {args.device}, '
        'float32, batch 1; forward and backward, medians (least to most) of '
        f'{args.repeats} turns. Memory is what a step adds to the layer and '
        'its input.', {
            **COLUMNS,
            **MEMORY
        })
    for part in ('self-attention', 'layer'):
        for keypoints in args.keypoints:
            cases = {
                name:
                Case(part, name, keypoints, args.queries, args.embed_dims,
                     args.heads, tuple(args.size), args.device).prepare_step
                for name in SCHEMES
            }
            results.add(*measure_variants(f'{part}, K = {keypoints}', cases,
                                          args.settings))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True)
    rows = results.content['rows']
    names = [f'{row["what"]}, {row["case"]}' for row in rows]
    draw_bars(axes[0], names, [row['seconds'] for row in rows],
              'forward + backward (ms)', 1e3)
    draw_bars(axes[1], names, [[row['memory_mib']] for row in rows],
              'peak memory (MiB)')
    save(figure, args.out / 'attention.png')
    print(results.markdown())


if __name__ == '__main__':
    main()
