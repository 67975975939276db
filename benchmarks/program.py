"""What the programs of this folder share: the way to the repository, which
importing this module puts on ``sys.path``, and their arguments."""
import argparse
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]

from benchmarks.lib.turns import Settings  # noqa: E402


def positive(text: str) -> int:
    """A number of things, at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not 1 or more')
    return number


class ArgumentParser(argparse.ArgumentParser):
    """A parser with the arguments of all experiments: ``--out``,
    ``--threads``, and, with a number of repeats, those of turns."""

    def __init__(self, description: str, repeats: int = 0, warmup: int = 1):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        self.add_argument(
            '--out',
            type=Path,
            default=Path('work_dirs',
                         Path(sys.argv[0]).stem),
            metavar='DIR',
            help='folder for the results (%(default)s)')
        self.add_argument('--threads', type=positive, help='CPU threads')
        if repeats:
            self.add_number('--repeats', repeats, 'turns of each case')
            self.add_number('--warmup', warmup, 'turns before them', type=int)

    def add_number(self, name: str, default: Any, text: str,
                   **options) -> None:
        """Add an argument that is a positive number, or several."""
        shown = default if isinstance(default, int) else ' '.join(
            map(str, default))
        options.setdefault('type', positive)
        self.add_argument(
            name, default=default, help=f'{text} ({shown})', **options)

    def add_numbers(self, name: str, default: Sequence[int],
                    text: str) -> None:
        """Add an argument that is one or more positive numbers."""
        self.add_number(name, default, text, nargs='+', metavar='N')

    def add_size(self, default: Sequence[int], text: str) -> None:
        """Add ``--size`` of images."""
        self.add_number(
            '--size',
            default,
            f'width and height of {text}',
            nargs=2,
            metavar=('W', 'H'))

    def add_device(self, default: Optional[str] = None) -> None:
        """Add ``--device``, by default the GPU if there is one."""
        found = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.add_argument(
            '--device',
            choices=('cpu', 'cuda'),
            default=default or found,
            help='where to compute (%(default)s)')

    def add_truth(self) -> None:
        """Add ``--images`` and ``--annotations``, of images whose people are
        known."""
        self.add_argument(
            '--images',
            type=Path,
            required=True,
            metavar='DIR',
            help='of images')
        self.add_argument(
            '--annotations',
            type=Path,
            required=True,
            metavar='FILE',
            help='COCO keypoints: the truth')

    def add_trainings(self, images: int) -> None:
        """Add what programs have in common that draw images and train."""
        self.add_number('--images', images, 'images to train on')
        self.add_number('--val-images', 300, 'images to evaluate on')
        self.add_number(
            '--jobs', 1, 'trainings at a time; small networks train fastest '
            'with one per CPU')

    def parse_args(self, args=None, namespace=None) -> argparse.Namespace:
        """Parse, set the number of threads and make the folder; the answer
        has ``settings``, too."""
        args = super().parse_args(args, namespace)
        device = getattr(args, 'device', 'cpu')
        if device == 'cuda' and not torch.cuda.is_available():
            self.error('--device cuda: no GPU is visible')
        if args.threads:
            torch.set_num_threads(args.threads)
        args.out.mkdir(parents=True, exist_ok=True)
        args.settings = Settings(device, getattr(args, 'repeats', 1),
                                 getattr(args, 'warmup', 0))
        return args
