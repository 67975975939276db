"""Matching and losses of a step, beside the same one set and image at a time.

Compares the results of both, then times them in turns, in one thread:

    python tools/analysis_tools/benchmark_losses.py --out DIR

The plain computation is written as the formulas are: for every output set and
image, the costs of all pairs, scipy's assignment, and the three losses. DIR
gets losses.md and losses.json.
"""
import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import mmdet.models  # noqa: E402, F401  (registers the focal loss)

from projects.grouppose.benchmark import take_turns  # noqa: E402
from projects.grouppose.benchmark.tables import Results, spread  # noqa: E402
from projects.grouppose.model.losses import SetCriterion  # noqa: E402
from projects.grouppose.model.targets import PoseTargets  # noqa: E402

CONFIG = ROOT / 'configs/_base_/grouppose_res50.py'
# Weights of that config.
CLASS, DISTANCE, OKS = 2, 10, 4


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the results')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument(
        '--people', type=int, default=20, help='people an image (20)')
    parser.add_argument(
        '--queries', type=int, default=100, help='instances N (100)')
    parser.add_argument('--keypoints', type=int, default=17)
    parser.add_argument(
        '--sets', type=int, default=7, help='decoder layers and encoder (7)')
    parser.add_argument(
        '--repeats', type=int, default=20, help='timings of each (20)')
    return parser.parse_args()


def build_criterion() -> SetCriterion:
    """The criterion of the config."""
    init_default_scope('mmpose')
    head = Config.fromfile(CONFIG).model.head
    return SetCriterion(head.matcher, head.loss_cls, head.loss_kpt,
                        head.loss_oks)


def make_case(sets: int, batch_size: int, queries: int, people: int,
              keypoints: int) -> Tuple[Tensor, Tensor, PoseTargets]:
    """Outputs and targets, poses within random boxes.

    Returns:
        tuple: logits (O, B, N, 2), keypoints (O, B, N, K, 2), targets.
    """
    torch.manual_seed(0)

    def poses(*shape):
        sides = 0.05 + 0.4 * torch.rand(*shape, 1, 2)
        corners = (1 - sides) * torch.rand(*shape, 1, 2)
        inside = torch.rand(*shape, keypoints, 2)
        return corners + sides * inside, sides.prod(-1)[..., 0]

    pred, _ = poses(sets, batch_size, queries)
    gt, areas = poses(batch_size, people)
    targets = PoseTargets(
        labels=torch.ones(batch_size, people, dtype=torch.long),
        keypoints=gt,
        visible=(torch.rand(batch_size, people, keypoints) > 0.2).float(),
        areas=0.53 * areas,
        sigmas=torch.linspace(0.03, 0.1, keypoints),
        counts=[people] * batch_size)
    logits = torch.randn(sets, batch_size, queries, 2) - 3
    return logits.requires_grad_(), pred.requires_grad_(), targets


def plain_oks(pred: Tensor, gt: Tensor, visible: Tensor, area: Tensor,
              sigmas: Tensor) -> Tensor:
    """OKS of pairs of poses, (..., K, 2) each."""
    distance = (pred - gt).square().sum(-1)
    similarity = torch.exp(-distance / (2 * area[..., None] * (2 * sigmas)**2))
    return (similarity * visible).sum(-1) / (visible.sum(-1) + 1e-6)


@torch.no_grad()
def plain_matching(logits: Tensor, poses: Tensor, labels: Tensor, gt: Tensor,
                   visible: Tensor, areas: Tensor, sigmas: Tensor):
    """Queries and people of the pairs of one set and image."""
    prob = logits.sigmoid()
    positive = -0.25 * (1 - prob)**2 * (prob + 1e-8).log()
    negative = -0.75 * prob**2 * (1 - prob + 1e-8).log()
    distance = (poses[:, None] - gt).abs().sum(-1) * visible
    oks = plain_oks(poses[:, None], gt, visible, areas, sigmas)
    cost = CLASS * (positive - negative)[:, labels] + \
        DISTANCE * distance.sum(-1) + OKS * (1 - oks.clamp(min=1e-6))
    return map(torch.from_numpy, linear_sum_assignment(cost.numpy()))


def plain_losses(logits: Tensor, keypoints: Tensor,
                 targets: PoseTargets) -> Dict[str, Tensor]:
    """What :class:`SetCriterion` computes, one set and image at a time."""
    sets, num_people = len(logits), sum(targets.counts)
    losses = {}
    for i in range(sets):
        total = torch.zeros(3)
        for image, count in enumerate(targets.counts):
            scores, poses = logits[i, image], keypoints[i, image]
            labels, gt, visible, areas = [
                field[image, :count] for field in targets[:4]
            ]
            queries, people = plain_matching(scores, poses, labels, gt,
                                             visible, areas, targets.sigmas)
            positive = torch.zeros_like(scores)
            positive[queries, labels[people]] = 1
            prob = scores.sigmoid()
            error = positive * (1 - prob) + (1 - positive) * prob
            weight = 0.25 * positive + 0.75 * (1 - positive)
            focal = weight * error**2 * F.binary_cross_entropy_with_logits(
                scores, positive, reduction='none')
            pairs = poses[queries], gt[people], visible[people]
            distance = (pairs[0] - pairs[1]).abs().sum(-1) * pairs[2]
            oks = plain_oks(*pairs, areas[people], targets.sigmas)
            total = total + torch.stack([
                CLASS * focal.sum(), DISTANCE * distance.sum(), OKS *
                (1 - oks.clamp(min=1e-6)).sum()
            ])
        prefix = {sets - 2: '', sets - 1: 'enc.'}.get(i, f'd{i}.')
        for name, value in zip(('cls', 'kpt', 'oks'), total / num_people):
            losses[f'{prefix}loss_{name}'] = value
    return losses


def gradients(compute, logits: Tensor, keypoints: Tensor,
              targets: PoseTargets) -> Tuple[Tensor, Tensor]:
    """Gradients of the sum of all losses."""
    losses = compute(logits, keypoints, targets)
    total = sum(value for name, value in losses.items() if 'loss' in name)
    return torch.autograd.grad(total, (logits, keypoints))


def match_all_plainly(logits: Tensor, keypoints: Tensor,
                      targets: PoseTargets) -> None:
    """Match every set and image by itself."""
    for scores, poses in zip(logits, keypoints):
        for image in zip(scores, poses, *targets[:4]):
            plain_matching(*image, targets.sigmas)


def check_equal(criterion: SetCriterion, case: tuple) -> float:
    """Largest relative difference of a loss.

    Raises:
        AssertionError: If losses or gradients differ.
    """
    ours, plain = criterion(*case), plain_losses(*case)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=2e-5, atol=1e-6)
    for pair in zip(
            gradients(criterion, *case), gradients(plain_losses, *case)):
        torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-6)
    return max(
        abs(ours[name] / value - 1).item() for name, value in plain.items())


def assign_only(costs) -> None:
    """scipy's part of the matching."""
    for cost in costs:
        linear_sum_assignment(cost)


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    # Once a large tensor was freed, as in the forward pass of any training,
    # the allocator keeps memory in place of returning it to the system.
    torch.ones(31 * 2**18)
    case = make_case(args.sets, args.batch_size, args.queries, args.people,
                     args.keypoints)
    criterion = build_criterion()
    difference = check_equal(criterion, case)
    results = Results(
        'Matching and losses',
        f'{args.sets} output sets, batch of {args.batch_size}, {args.people} '
        f'people an image, {args.queries} queries, {args.keypoints} '
        'keypoints, float32, one CPU thread. Losses and gradients of both '
        f'are equal (losses within {difference:.0e}, relative). Medians '
        f'(least to most) of {args.repeats} in turns; ratios turn by turn.', {
            'stage':
            lambda row: row['stage'],
            'one set and image at a time (ms)':
            lambda row: spread(row['plain_seconds'], 1e3),
            'all at once (ms)':
            lambda row: spread(row['seconds'], 1e3),
            'ratio':
            lambda row: spread([
                plain / ours
                for plain, ours in zip(row['plain_seconds'], row['seconds'])
            ]),
        }, args.out / 'losses')
    costs = torch.rand(args.sets * args.batch_size, args.queries,
                       args.people).numpy()
    stages = {
        "scipy's assignment alone, in both":
        2 * [partial(assign_only, costs)],
        'matching':
        [partial(match_all_plainly, *case),
         partial(criterion.matcher, *case)],
        'matching and losses':
        [partial(plain_losses, *case),
         partial(criterion, *case)],
        'matching, losses and their gradients': [
            partial(gradients, plain_losses, *case),
            partial(gradients, criterion, *case)
        ],
    }
    with tqdm(total=len(stages) * 2 * (args.repeats + 2)) as progress:
        for stage, (plain, ours) in stages.items():
            seconds = take_turns(
                dict(plain=plain, ours=ours), args.repeats, 2, progress)
            results.add(
                stage=stage,
                plain_seconds=seconds['plain'],
                seconds=seconds['ours'])
    print(results.markdown())


if __name__ == '__main__':
    main()
