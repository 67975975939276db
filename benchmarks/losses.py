"""Matching and losses of a step, beside the same one set and image at a time.

    python benchmarks/losses.py --out DIR

Compares the results of both, then times them in turns, in one thread. The
plain computation is written as the formulas are: for every output set and
image, the costs of all pairs, scipy's assignment, and the three losses. DIR
gets losses.md and losses.json.
"""
from functools import partial
from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from program import ArgumentParser
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.lib.method import find_method
from benchmarks.lib.results import Results
from benchmarks.lib.variants import COLUMNS, time_variants
from projects.grouppose.model.criterion import SetCriterion
from projects.grouppose.model.matcher import Matches
from projects.grouppose.model.targets import PoseTargets

METHOD = 'grouppose-r50'
# Weights of its config.
CLASS, DISTANCE, OKS = 2, 10, 4


def build_criterion() -> SetCriterion:
    """The criterion of the config."""
    return find_method(METHOD).build().head.criterion


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


def compute_losses(criterion: SetCriterion, logits: Tensor, keypoints: Tensor,
                   targets: PoseTargets) -> Dict[str, Tensor]:
    """Losses of stacked output sets."""
    names = [f'd{i}' for i in range(len(logits) - 2)] + ['last', 'enc']
    outputs = {
        name: dict(logits=logits[i], keypoints=keypoints[i])
        for i, name in enumerate(names)
    }
    return criterion(outputs, targets)


def match(criterion: SetCriterion, logits: Tensor, keypoints: Tensor,
          targets: PoseTargets) -> Matches:
    """Match stacked output sets."""
    return criterion.matcher(dict(logits=logits, keypoints=keypoints), targets)


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
    compute = partial(compute_losses, criterion)
    ours, plain = compute(*case), plain_losses(*case)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=2e-5, atol=1e-6)
    for pair in zip(gradients(compute, *case), gradients(plain_losses, *case)):
        torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-6)
    return max(
        abs(ours[name] / value - 1).item() for name, value in plain.items())


def assign_only(costs) -> None:
    """scipy's part of the matching."""
    for cost in costs:
        linear_sum_assignment(cost)


def main(argv=None) -> None:
    parser = ArgumentParser(__doc__, repeats=20, warmup=2)
    parser.set_defaults(threads=1)
    parser.add_number('--batch-size', 16, 'images')
    parser.add_number('--people', 20, 'people per image')
    parser.add_number('--queries', 100, 'instances N')
    parser.add_number('--keypoints', 17, 'keypoints K')
    parser.add_number('--sets', 7, 'decoder layers and encoder')
    args = parser.parse_args(argv)
    # Once a large tensor was freed, as in the forward pass of any training,
    # the allocator keeps memory in place of returning it to the system.
    torch.ones(31 * 2**18)
    case = make_case(args.sets, args.batch_size, args.queries, args.people,
                     args.keypoints)
    criterion = build_criterion()
    compute = partial(compute_losses, criterion)
    difference = check_equal(criterion, case)
    results = Results(
        args.out / 'losses', 'Matching and losses',
        f'{args.sets} output sets, batch of {args.batch_size}, {args.people} '
        f'people per image, {args.queries} queries, {args.keypoints} '
        f'keypoints, float32, CPU threads: {args.threads}. Losses and '
        f'gradients of both are equal (losses within {difference:.0e}, '
        f'relative). Medians (least to most) of {args.repeats} in turns.',
        COLUMNS)
    costs = torch.rand(args.sets * args.batch_size, args.queries,
                       args.people).numpy()
    results.add(*time_variants("scipy's assignment alone",
                               {'in both': partial(assign_only, costs)},
                               args.settings))
    for stage, plain, ours in (('matching', match_all_plainly,
                                partial(match, criterion)),
                               ('matching and losses', plain_losses, compute),
                               ('matching, losses and their gradients',
                                partial(gradients, plain_losses),
                                partial(gradients, compute))):
        cases = {
            'one set and image at a time': partial(plain, *case),
            'all at once': partial(ours, *case)
        }
        results.add(*time_variants(stage, cases, args.settings))
    print(results.markdown())


if __name__ == '__main__':
    main()
