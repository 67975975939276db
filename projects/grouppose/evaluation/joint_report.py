"""How good scores of joints are, as numbers, Markdown, JSON and a chart."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import pearsonr, rankdata, spearmanr

from ..model.joint_scores import Mixture
from .joint_calibration import JointSamples

SHARES = (0.5, 0.9)  # of the ellipses in the table
BINS = 10  # of predicted values


class Reliability(NamedTuple):
    """Predicted values in bins of the same width, beside what came true.

    Attributes:
        predicted (list[float]): Mean of the values of each bin that has any.
        found (list[float]): Mean of what came true.
        counts (list[int]): Values in it.
    """
    predicted: List[float]
    found: List[float]
    counts: List[int]

    @property
    def error(self) -> float:
        """float: Expected calibration error, the mean difference of both
        (Naeini et al., AAAI 2015)."""
        apart = np.abs(np.subtract(self.predicted, self.found))
        return float(np.average(apart, weights=self.counts))


def reliability(predicted: np.ndarray, truth: np.ndarray) -> Reliability:
    """Put values in [0, 1] into bins.

    Args:
        predicted (np.ndarray): (n, ).
        truth (np.ndarray): 0 or 1, or what was predicted the mean of, (n, ).
    """
    bins = (predicted * BINS).astype(int).clip(0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    kept = counts > 0
    sums = (np.bincount(bins, values, BINS) for values in (predicted, truth))
    means, found = ((total[kept] / counts[kept]).tolist() for total in sums)
    return Reliability(means, found, counts[kept].tolist())


def roc_area(scores: np.ndarray, truth: np.ndarray) -> Optional[float]:
    """Area under the ROC curve: how often a score of what is true is larger
    than one of what is not, where equal ones count half.

    Args:
        scores (np.ndarray): (n, ).
        truth (np.ndarray): Bool, (n, ).

    Returns:
        float, optional: None where all truths are alike.
    """
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return None
    ranks = rankdata(scores)[truth].sum()
    return float(
        (ranks - positive * (positive + 1) / 2) / (positive * negative))


@dataclass
class JointReport:
    """What is reported.

    Args:
        title (str): What was measured.
        joints (JointSamples): From :func:`collect_joints`.
        mixture (Mixture): Of the model, see :class:`JointScores`.
        metrics (dict[str, dict]): Metrics of the poses by name, of
            'instances' and of 'reweighted' scores.
        cost (dict[str, float]): What the head adds, by name with unit.
        notes (list[str]): Sentences on what was measured.
    """
    title: str
    joints: JointSamples
    mixture: Mixture
    metrics: Dict[str, Dict[str, float]]
    cost: Dict[str, float]
    notes: List[str]

    @property
    def probabilities(self) -> Dict[str, tuple]:
        """dict[str, tuple]: Predicted ones and what is true, by name."""
        joints = self.joints
        return dict(
            labeled=(joints.labeled_probabilities, joints.labeled),
            visible=(joints.visible_probabilities, joints.visible))

    def to_dict(self) -> Dict[str, Any]:
        """Everything, for JSON; None where nothing can be measured."""
        joints = self.joints
        probabilities = {}
        for name, (predicted, truth) in self.probabilities.items():
            bins = reliability(predicted, truth)
            probabilities[name] = dict(
                joints=len(truth),
                true_share=float(truth.mean()),
                roc_area=roc_area(predicted, truth),
                calibration_error=bins.error,
                reliability=bins._asdict())
        bins = reliability(joints.expected_oks, joints.oks)
        pair = joints.expected_oks, joints.oks
        varied = min(map(np.ptp, pair)) > 0
        return dict(
            title=self.title,
            notes=self.notes,
            probabilities=probabilities,
            coverage={
                f'{share:g}': joints.coverage(share, self.mixture)
                for share in SHARES
            },
            oks=dict(
                joints=len(joints.oks),
                expected_mean=float(joints.expected_oks.mean()),
                mean=float(joints.oks.mean()),
                pearson=float(pearsonr(*pair)[0]) if varied else None,
                spearman=float(spearmanr(*pair)[0]) if varied else None,
                calibration_error=bins.error,
                reliability=bins._asdict()),
            metrics=self.metrics,
            cost=self.cost)

    def to_markdown(self) -> str:
        """The tables."""
        found = self.to_dict()
        lines = [
            f'# {self.title}', '', *(f'- {note}' for note in self.notes), '',
            '| probability | joints | of them true | area under the ROC curve '
            '| expected calibration error |', '|---|---|---|---|---|'
        ]
        for name, row in found['probabilities'].items():
            lines.append(
                f'| {name} | {row["joints"]} | {row["true_share"]:.1%} | '
                f'{_number(row["roc_area"])} | '
                f'{row["calibration_error"]:.3f} |')
        lines += ['', '| ellipse of | holds |', '|---|---|']
        for share, held in found['coverage'].items():
            lines.append(f'| {float(share):.0%} | {held:.1%} |')
        oks = found['oks']
        lines += [
            '', '| OKS of joints | |', '|---|---|',
            f'| expected, mean | {oks["expected_mean"]:.3f} |',
            f'| true, mean | {oks["mean"]:.3f} |',
            f'| correlation (Pearson) | {_number(oks["pearson"])} |',
            f'| correlation of ranks (Spearman) | {_number(oks["spearman"])} |'
        ]
        heads = list(self.metrics)
        lines += [
            '', f'| metric | {" | ".join(heads)} |',
            '|---|' + '---|' * len(heads)
        ]
        for metric in next(iter(self.metrics.values())):
            values = (self.metrics[head][metric] for head in heads)
            lines.append(f'| {metric} | ' +
                         ' | '.join(f'{value:.4f}' for value in values) + ' |')
        lines += ['', '| the head adds | |', '|---|---|']
        for name, value in self.cost.items():
            lines.append(f'| {name} | {value:.4g} |')
        return '\n'.join(lines) + '\n'

    def draw(self, path: Path) -> None:
        """Write the chart: reliability diagrams of both probabilities and of
        the OKS, and the coverage of ellipses.

        Args:
            path (Path): Picture, for instance a PNG.
        """
        figure = Figure(figsize=(9, 8.5))
        axes = figure.subplots(2, 2)
        for axis, (name, pair) in zip(axes[0], self.probabilities.items()):
            _draw_reliability(axis, reliability(*pair), f'{name}: probability',
                              'share that is')
        _draw_reliability(
            axes[1, 0], reliability(self.joints.expected_oks, self.joints.oks),
            'expected OKS', 'mean of the true OKS')
        shares = np.linspace(0.05, 0.95, 19)
        held = [self.joints.coverage(share, self.mixture) for share in shares]
        _draw_diagonal(axes[1, 1])
        axes[1, 1].plot(shares, held, 'o-', color='C1', markersize=4)
        axes[1, 1].set(
            xlabel='ellipse of a share', ylabel='share of joints in it')
        figure.suptitle(self.title)
        figure.tight_layout()
        figure.savefig(path, dpi=100)


def _draw_diagonal(axis: Axes) -> None:
    """Where predictions hold what they promise."""
    axis.plot([0, 1], [0, 1], '--', color='gray', linewidth=1)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect='equal')


def _draw_reliability(axis: Axes, bins: Reliability, name: str,
                      found: str) -> None:
    """Bars of how many values a bin has, and what came true in each."""
    _draw_diagonal(axis)
    shares = np.divide(bins.counts, np.sum(bins.counts))
    axis.bar(
        bins.predicted,
        shares,
        0.6 / BINS,
        color='C0',
        alpha=0.3,
        label='share of the joints')
    axis.plot(bins.predicted, bins.found, 'o-', color='C1', label=found)
    axis.set(xlabel=name, title=f'calibration error {bins.error:.3f}')
    axis.legend(fontsize=8, loc='upper left')


def _number(value: Optional[float]) -> str:
    return '-' if value is None else f'{value:.3f}'
