"""What is run again and again: a method that finds the poses of the people in
some images, from pixels in memory to arrays of numbers."""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from torch import nn

from ..benchmark import clock
from ..benchmark.cost import CostCounter
from ..benchmark.parts import Stopwatch, watched
from .contender import Contender
from .images import Picture

PARTS = ('preprocessing', 'network', 'postprocessing')
CROPS = 64  # in a batch, at most
# They take the first image of a batch for all of it, or refuse.
ONE_IMAGE_HEADS = ('DEKRHead', 'CIDHead')
# Where the network is, by their place in a model. Heads compute parts of it
# in methods of their own.
NETWORK = ('extract_feat', 'head.forward', 'head.dcc.forward_test',
           'head.iia_module.forward_test', 'bbox_head', 'rpn_head',
           'roi_head.bbox_roi_extractor', 'roi_head.bbox_head')


class Settings(NamedTuple):
    """How to measure.

    Attributes:
        device (str): Where, e.g. 'cpu' or 'cuda'.
        repeats (int): Timings of each.
        warmup (int): Runs of each before them.
        images (Sequence[Picture]): What to measure with, in this order.
    """
    device: str
    repeats: int
    warmup: int
    images: Sequence[Picture]

    @property
    def runs(self) -> int:
        """Runs of a case, for a bar of the progress."""
        return self.warmup + self.repeats


class InferenceCase:
    """A method that predicts the same images over and over.

    The first images of the settings are taken, from the first on and again if
    they are too few. A top-down method gets a crop for each of the people,
    other methods the images.

    Args:
        contender (Contender): The method.
        batch_size (int): Number of images.
        people (int): Boxes in each that a top-down method gets.
        settings (Settings): Device and images.

    Raises:
        ValueError: If the method predicts one image at a time.
    """

    def __init__(self, contender: Contender, batch_size: int, people: int,
                 settings: Settings):
        config = contender.read()
        head = config.model.get('head', {}).get('type')
        if batch_size > 1 and head in ONE_IMAGE_HEADS:
            raise ValueError(f'{head} predicts one image at a time')
        pictures = [
            settings.images[i % len(settings.images)]
            for i in range(batch_size)
        ]
        transforms = config.test_dataloader.dataset.pipeline
        self.at_once = batch_size
        if contender.kind == 'detector':
            transforms = [dict(type='LoadImageFromNDArray'), *transforms[1:]]
            self.inputs = [dict(img=x.image, img_id=0) for x in pictures]
        else:
            self.inputs = _inputs_of(contender, pictures, people)
            if contender.kind == 'top-down':
                self.at_once = CROPS
        with contender.scope():
            self.pipeline = Compose(transforms)
        self.model = contender.build(settings.device)

    @torch.no_grad()
    def __call__(self) -> Dict[str, float]:
        """Predict; return the seconds of each of :data:`PARTS`."""
        watch = Stopwatch(clock)
        with watched(self.model, watch, _find_parts(self.model)):
            for start in range(0, len(self.inputs), self.at_once):
                with watch.part('preprocessing'):
                    batch = self._load(self.inputs[start:start + self.at_once])
                with watch.part('postprocessing'):  # what is nothing else
                    self.model.test_step(batch)
        return watch.amounts

    @torch.no_grad()
    def count_flops(self) -> Tuple[int, Tuple[int, int]]:
        """FLOPs of the first image or crop, without a flip test.

        Returns:
            tuple: FLOPs, and width and height of what the network got.
        """
        model = self.model
        data = model.data_preprocessor(self._load(self.inputs[:1]), False)
        test_cfg = getattr(model, 'test_cfg', None)
        if test_cfg:
            model.test_cfg = dict(test_cfg, flip_test=False)
        try:
            with CostCounter(model) as counter:
                model(**data, mode='predict')
        finally:
            if test_cfg:
                model.test_cfg = test_cfg
        height, width = data['inputs'].shape[-2:]
        return int(counter.total()[0]), (width, height)

    def _load(self, inputs: List[dict]) -> dict:
        """Inputs as a data loader collates them."""
        return pseudo_collate([self.pipeline(dict(one)) for one in inputs])


def _inputs_of(contender: Contender, pictures: List[Picture],
               people: int) -> List[Dict[str, Any]]:
    """What the pipeline of a pose estimator gets, with MMPose's inferencers
    for a model."""
    metainfo = contender.metainfo()
    inputs = []
    for picture in pictures:
        one = dict(metainfo, img=picture.image, img_id=0, id=[0])
        if contender.kind == 'top-down':
            score = np.ones(1, np.float32)
            inputs += [
                dict(one, bbox=box[None], bbox_score=score)
                for box in picture.boxes_of(people)
            ]
        else:
            inputs.append(one)
    return inputs


def _find_parts(model: nn.Module) -> Dict[str, str]:
    """Names of the parts by their place in a model."""
    parts = dict(data_preprocessor='preprocessing')
    parts.update((path, 'network') for path in NETWORK)
    head: Optional[nn.Module] = getattr(model, 'head', None)
    if head is not None:
        parts.update(
            (f'head.{name}', 'network') for name, _ in head.named_children())
    return parts
