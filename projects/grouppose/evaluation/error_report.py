"""The errors of predicted poses as Markdown, as JSON and as a chart."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .error_gains import ALL_KEYPOINTS
from .error_kinds import KEYPOINT_KINDS
from .error_rates import BASES, Group, Rate

ERRORS = [kind for kind in BASES if kind != 'good']
MEANINGS = dict(
    good='similarity to the right place of at least 0.85',
    jitter='near the right place',
    inversion='near the mirrored keypoint of the same person',
    swap='near this or the mirrored keypoint of another person',
    miss='near none of these',
    missed='people without a pose',
    doubled='people with more than one pose',
    background='poses of nobody')
TABLES = dict(
    size='By the size of the person or, in the background, of the pose',
    crowding='By the number of people in the image',
    keypoint='By keypoint')
COLORS = {kind: f'C{i}' for i, kind in enumerate(ERRORS)}
MOST_KEYPOINTS = 40  # of the chart


@dataclass
class ErrorReport:
    """What is reported.

    Args:
        title (str): What was evaluated.
        groups (list[Group]): From :func:`count_errors`.
        ap (float): AP, -1 if nobody is annotated.
        gains (dict[str, float]): From :func:`find_gains`; may be empty.
        notes (list[str]): Sentences on what was counted.
    """
    title: str
    groups: List[Group]
    ap: float
    gains: Dict[str, float]
    notes: List[str]

    def table(self, name: str) -> List[Group]:
        """The groups of a table."""
        return [group for group in self.groups if group.table == name]

    def to_dict(self) -> Dict[str, Any]:
        """Everything, for JSON: shares as parts of 1, None where there is
        nothing to count."""
        tables: Dict[str, Dict[str, Any]] = {}
        for group in self.groups:
            tables.setdefault(group.table, {})[group.name] = {
                kind: dict(vars(rate), share=rate.share, of=BASES[kind])
                for kind, rate in group.rates.items()
            }
        return dict(
            title=self.title,
            notes=self.notes,
            ap=self.ap,
            ap_corrected=self.gains,
            rates=tables)

    def to_markdown(self) -> str:
        """The tables."""
        rates = self.table('all')[0].rates
        lines = [
            f'# {self.title}', '', *(f'- {note}' for note in self.notes),
            f'- AP is {_ap(self.ap)}.', '',
            'Shares in %, with bootstrap intervals of 95 %.', '',
            '| kind | what it is | share | count | of '
            '| AP if corrected |', '|---|---|---|---|---|---|'
        ]
        for kind, rate in rates.items():
            lines.append(f'| {kind} | {MEANINGS[kind]} | {_percent(rate)} | '
                         f'{rate.count} | {rate.total} {BASES[kind]} | '
                         f'{_ap(self.gains.get(kind))} |')
        if self.gains:
            lines.append(f'| {ALL_KEYPOINTS} | jitter, inversion, swap and '
                         f'miss | | | | {_ap(self.gains[ALL_KEYPOINTS])} |')
        for name, heading in TABLES.items():
            lines += ['', f'## {heading}', '', *_rows(name, self.table(name))]
        return '\n'.join(lines) + '\n'

    def draw(self, path: Path) -> None:
        """Write the chart.

        Args:
            path (Path): Picture, for instance a PNG.
        """
        keypoints = self.table('keypoint')
        if len(keypoints) > MOST_KEYPOINTS:
            keypoints = sorted(keypoints, key=_wrong)[-MOST_KEYPOINTS:][::-1]
        figure = Figure(figsize=(11, 7.5 + 0.22 * len(keypoints)))
        heights = [3, 3.5, 1 + 0.25 * len(keypoints)]
        grid = figure.add_gridspec(3, 2, height_ratios=heights)
        total = self.table('all')[0]
        _draw_bars(figure.add_subplot(grid[0, 0]), [total], 'all')
        self._draw_gains(figure.add_subplot(grid[0, 1]))
        _draw_bars(
            figure.add_subplot(grid[1, 0]), self.table('size'), 'by size')
        # Where nobody is, all poses are background.
        crowded = [g for g in self.table('crowding') if g.name != 'nobody']
        _draw_bars(
            figure.add_subplot(grid[1, 1]), crowded, 'by people in the image')
        axis = figure.add_subplot(grid[2, :])
        left = np.zeros(len(keypoints))
        for kind in KEYPOINT_KINDS[1:]:
            shares = [100 * (g.rates[kind].share or 0) for g in keypoints]
            axis.barh([g.name for g in keypoints],
                      shares,
                      left=left,
                      color=COLORS[kind],
                      label=kind)
            left += shares
        axis.invert_yaxis()
        axis.set(xlabel='% of the labeled keypoints of found people')
        axis.legend(fontsize=8)
        figure.suptitle(self.title)
        figure.tight_layout()
        figure.savefig(path, dpi=100)

    def _draw_gains(self, axis: Axes) -> None:
        """AP if errors were corrected, as bars that start at AP."""
        names = list(self.gains)
        values = [100 * (value - self.ap) for value in self.gains.values()]
        colors = [COLORS.get(name, 'gray') for name in names]
        bars = axis.barh(names, values, color=colors)
        axis.bar_label(bars, fmt='%.1f', padding=3, fontsize=8)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set(
            title=f'if corrected (AP is {100 * self.ap:.1f})',
            xlabel='points of AP gained')


def _draw_bars(axis: Axes, groups: Sequence[Group], title: str) -> None:
    """A bar per error and group, with its interval."""
    height = 0.8 / max(1, len(groups))
    for i, group in enumerate(groups):
        rates = [group.rates[kind] for kind in ERRORS]
        shares = np.array([100 * (rate.share or 0) for rate in rates])
        ends = [[
            100 * (end if end is not None else 0)
            for end in (rate.low, rate.high)
        ] for rate in rates]
        low, high = np.array(ends).T
        places = np.arange(len(ERRORS)) + (i - (len(groups) - 1) / 2) * height
        axis.barh(
            places,
            shares,
            height,
            xerr=np.maximum([shares - low, high - shares], 0),
            color=[COLORS[kind] for kind in ERRORS],
            alpha=(i + 1) / len(groups),
            capsize=2,
            error_kw=dict(linewidth=0.8),
            label=group.name)
    axis.set_yticks(range(len(ERRORS)), ERRORS)
    axis.invert_yaxis()
    axis.set(title=title, xlabel='% of keypoints, people or poses')
    if len(groups) > 1:
        axis.legend(fontsize=8)


def _rows(name: str, groups: Sequence[Group]) -> List[str]:
    """A table with a row for each group."""
    if not groups:
        return ['There is nothing to count.']
    kinds = list(groups[0].rates)
    bases = list(dict.fromkeys(BASES[kind] for kind in kinds))
    heads = [name, *bases, *kinds]
    lines = [f'| {" | ".join(heads)} |', '|' + '---|' * len(heads)]
    for group in groups:
        totals = {BASES[k]: str(rate.total) for k, rate in group.rates.items()}
        cells = [group.name, *totals.values()]
        cells += [_percent(rate) for rate in group.rates.values()]
        lines.append(f'| {" | ".join(cells)} |')
    return lines


def _percent(rate: Rate) -> str:
    """A share in percent with its interval."""
    if rate.share is None or rate.low is None or rate.high is None:
        return '-'
    return (f'{100 * rate.share:.1f} ({100 * rate.low:.1f} to '
            f'{100 * rate.high:.1f})')


def _ap(value: Optional[float]) -> str:
    """AP in percent."""
    return '' if value is None else '-' if value < 0 else f'{100 * value:.1f}'


def _wrong(group: Group) -> float:
    """Share of a keypoint that is not good."""
    share = group.rates['good'].share
    return 0 if share is None else 1 - share
