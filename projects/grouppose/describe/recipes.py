"""Configs of this project that a data set may start from, and what of them
depends on the data set: epochs and queries."""
import math
from dataclasses import dataclass
from typing import Tuple

CONFIG_DIR = 'configs/body_2d_keypoint'
SMALL_DATA = 3000  # images; fewer are learned by heart if training goes on
LEAST_QUERIES = 20  # with fewer, all may find the same object at first
# Filled in twice: by the recipe, and with the folder of the config.
START = """\
# starting weights: the authors' for COCO, {model},
# are a better start than the backbone's, also for other things than people.
# Save as official.pth what is at
#   {link}
# then run these two lines and uncomment the third:
#   python tools/model_converters/official_to_mmpose.py official.pth coco.pth
#   python tools/model_converters/change_keypoints.py coco.pth \
{{folder}}/start.pth --to-metainfo {{folder}}/metainfo.py{more}
# load_from = '{{here}}/start.pth'

"""


@dataclass(frozen=True)
class Recipe:
    """A config of this project on which that of a data set builds.

    Args:
        base (str): Its path in the repository.
        batch_size (int): Images per batch on a GPU.
        num_queries (int): Queries of the base, that is the most people per
            image.
        max_per_img (int): What its codec keeps at most.
        epochs (int): Epochs to train for at least.
        steps (int): Batches to train on at least.
        schedule (str): Lines of the config that fit the schedule to
            ``max_epochs``.
        hooks (tuple[tuple[str]]): Names and Python text of its own
            ``default_hooks``.
        averages (bool): Whether it averages weights anyway.
        start (str): Lines that say where weights to start from are and how
            to get them, a comment; '' if there are none.
    """
    base: str
    batch_size: int
    num_queries: int
    max_per_img: int
    epochs: int
    steps: int
    schedule: str
    hooks: Tuple[Tuple[str, str], ...] = ()
    averages: bool = False
    start: str = ''

    def choose_epochs(self, num_images: int) -> int:
        """Epochs that make enough batches of so many images, and not fewer
        than the recipe has."""
        return max(self.epochs,
                   math.ceil(self.steps / self.steps_per_epoch(num_images)))

    def steps_per_epoch(self, num_images: int) -> int:
        """Batches per epoch on one GPU; the last images are left out."""
        return max(1, num_images // self.batch_size)

    def choose_queries(self, crowd: int) -> int:
        """Queries for so many objects in the fullest image.

        Four per object, which are as many as a mosaic of four images shows,
        but no more than the recipe has, unless the objects alone need them.
        """
        fewer = min(self.num_queries, max(LEAST_QUERIES, 4 * crowd))
        return max(fewer, math.ceil(1.25 * crowd))


SMALL = Recipe(
    base=f'{CONFIG_DIR}/grouppose/drawn/'
    'grouppose-fast_tiny-res18_1xb8-3e_drawn-128.py',
    batch_size=8,
    num_queries=10,
    max_per_img=50,
    epochs=1,
    steps=1000,  # a few minutes on a CPU
    schedule="""\
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
""",
    hooks=(('logger', 'dict(interval=25)'), ))
MEDIUM = Recipe(
    base=f'{CONFIG_DIR}/detrpose/coco/'
    'detrpose_hgnetv2-s_4xb4-100e_coco-640.py',
    batch_size=8,
    num_queries=60,
    max_per_img=60,
    epochs=100,
    steps=10000,
    schedule='',
    # The published parts of 100 epochs.
    hooks=(('augmentation', """dict(
        mosaic=(max_epochs * 5 // 100, max_epochs * 53 // 100),
        zoom_out=(max_epochs * 5 // 100, max_epochs * 96 // 100),
        multi_scale=(0, max_epochs * 96 // 100))"""), ),
    averages=True,
    start=START.format(
        model='DETRPose-S',
        link='https://github.com/SebastianJanampa/DETRPose/releases/download/'
        'model_weights/detrpose_hgnetv2_s.pth',
        more=' --num-queries {queries}'))
PUBLISHED = Recipe(
    base=f'{CONFIG_DIR}/grouppose/coco/'
    'grouppose_res50_8xb2-60e_coco-800x1333.py',
    batch_size=2,
    num_queries=100,
    max_per_img=50,
    epochs=60,
    steps=30000,
    schedule="""\
param_scheduler = [
    dict(
        _base_.param_scheduler[0],
        milestones=[max(1, max_epochs * 5 // 6)])
]
""",
    start=START.format(
        model='Group Pose with ResNet-50',
        link='https://drive.google.com/drive/folders/'
        '1exJMkr7j_HbItRM-u7DWT7scx1n4htiF',
        more=''))
SIZES = dict(small=SMALL, medium=MEDIUM, published=PUBLISHED)
