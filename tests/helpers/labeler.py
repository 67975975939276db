"""A stand-in for the model that helps to label: it knows the truth.

Started as a program, it is ``tools/annotate.py`` with the stand-in in place of
the model; ``--checkpoint`` names the file of :func:`write_truth`.
"""
import ast
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Dict, Optional

import numpy as np

from projects.grouppose.data.loading import read_image
from projects.grouppose.data.metainfo import classes_of, load_metainfo
from tests.helpers.tool_runs import TOOLS, load_tool

COCO = dict(from_file='configs/_base_/datasets/coco.py')
MODULE = 'projects.grouppose.labeling.labeler'
STEP = 0.6  # part of the way to the truth that free keypoints go


class StandInLabeler:
    """Finds people beside their true places, and moves them towards these.

    Args:
        config: Not read.
        checkpoint (str): A dict: ``folder`` of the images, ``metainfo``, and
            ``poses`` by name, each N x K x 2 numbers.
        device (str): Not read.
    """

    def __init__(self, config, checkpoint: str, device: str = 'cpu'):
        truth = ast.literal_eval(Path(checkpoint).read_text())
        self.metainfo = load_metainfo(truth['metainfo'])
        self.learned_to_refine = truth.get('learned_to_refine', True)
        self.scored = truth.get('scored', True)
        self._poses: Dict[bytes, np.ndarray] = {
            read_image(str(Path(truth['folder'], name))).tobytes():
            np.array(poses,
                     np.float32).reshape(-1, self.metainfo['num_keypoints'], 2)
            for name, poses in truth['poses'].items()
        }
        self.encoded = 0  # how often

    def encode(self, image: np.ndarray) -> np.ndarray:
        self.encoded += 1
        none = np.zeros((0, self.metainfo['num_keypoints'], 2), np.float32)
        return self._poses.get(image.tobytes(), none)

    def poses(self, truth: np.ndarray) -> SimpleNamespace:
        shape = truth.shape[:2]
        noise = np.random.RandomState(0).normal(0, 4, truth.shape)
        scores = np.random.RandomState(1).uniform(0.3, 1, shape)
        return SimpleNamespace(
            keypoints=(truth + noise).astype(np.float32),
            scores=np.linspace(0.9, 0.4, len(truth)),
            labels=np.arange(len(truth)) % len(classes_of(self.metainfo)),
            keypoint_scores=scores if self.scored else None)

    def refine(self, truth: np.ndarray, keypoints: np.ndarray,
               fixed: np.ndarray) -> np.ndarray:
        moved = keypoints.copy()
        for pose, is_fixed in zip(moved, fixed):
            if len(truth):
                pose[~is_fixed] += STEP * (self._nearest(truth, pose) -
                                           pose)[~is_fixed]
        return moved

    def person_at(self,
                  truth: np.ndarray,
                  point: np.ndarray,
                  joint: Optional[int] = None) -> np.ndarray:
        if not len(truth):
            num_keypoints = self.metainfo['num_keypoints']
            return np.tile(point, (num_keypoints, 1)).astype(np.float32)
        distances = np.linalg.norm(truth - point, axis=-1)
        best = distances.min(1) if joint is None else distances[:, joint]
        return truth[best.argmin()] + 2

    @staticmethod
    def _nearest(truth: np.ndarray, pose: np.ndarray) -> np.ndarray:
        centers = np.linalg.norm(truth.mean(1) - pose.mean(0), axis=-1)
        return truth[centers.argmin()]


def write_truth(path: Path,
                folder: Path,
                poses: dict,
                metainfo: dict = COCO,
                **fields) -> Path:
    """Write what a :class:`StandInLabeler` knows.

    Args:
        path (Path): The file.
        folder (Path): Of the images.
        poses (dict): N x K x 2 numbers by name.
        metainfo (dict): Defaults to COCO's.
        fields: ``scored=False`` for a model without scores of keypoints.
    """
    content = dict(
        folder=str(folder), metainfo=metainfo, poses=poses, **fields)
    path.write_text(repr(content))
    return path


def stand_in_module() -> ModuleType:
    """A module to be found by the name :data:`MODULE` of the model's."""
    module = ModuleType(MODULE)
    setattr(module, 'PoseLabeler', StandInLabeler)
    return module


if __name__ == '__main__':
    sys.modules[MODULE] = stand_in_module()
    sys.path.insert(0, str(TOOLS))
    sys.exit(load_tool('annotate').main())
