"""What is run again and again: a method that finds the poses of the people in
some images, from pixels in memory to arrays of numbers, or takes training
steps."""
from contextlib import redirect_stdout
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper

from .configs import DETECTOR, TOP_DOWN
from .cost import CostCounter
from .inputs import Picture, make_training_batch, random_picture
from .method import Method
from .modes import Inference
from .parts import Stopwatch, watched
from .turns import clock

CROPS = 64  # in a batch, at most
WRAPPERS = dict(
    fp32={},
    fp16=dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic'),
    bf16=dict(type='BFloat16OptimWrapper'))
# They take the first image of a batch for all of it, or refuse.
ONE_IMAGE_HEADS = ('DEKRHead', 'CIDHead')


class Load(NamedTuple):
    """What a method is given to do: precision and mode (see :mod:`.modes`),
    images at a time, and people on each, as many boxes as a top-down method
    gets."""
    precision: str = 'fp32'
    mode: str = 'eager'
    batch_size: int = 1
    people: int = 5


class InferenceCase:
    """A method that predicts the same images over and over: pictures from the
    first on and again, or random pixels of its size without any.

    A top-down method gets a crop for each of the people, others the images.
    """

    def __init__(self,
                 method: Method,
                 load: Load,
                 pictures: Optional[Sequence[Picture]] = None,
                 device: str = 'cpu'):
        config = method.read()
        head = config.model.get('head', {}).get('type')
        if load.batch_size > 1 and head in ONE_IMAGE_HEADS:
            raise ValueError(f'{head} predicts one image at a time')
        pictures = pictures or [random_picture(method.size)]
        self.inputs = [
            one for i in range(load.batch_size)
            for one in _inputs_of(method, pictures[i % len(pictures)], load)
        ]
        self.at_once = CROPS if method.kind == TOP_DOWN else load.batch_size
        transforms = config.test_dataloader.dataset.pipeline
        if method.kind == DETECTOR:
            transforms = [dict(type='LoadImageFromNDArray'), *transforms[1:]]
        with method.scope():
            self.pipeline = Compose(transforms)
        self.model = method.build(device)
        self.infer = Inference(self.model, load.precision, load.mode)
        self.watch = Stopwatch(lambda: 0)

    def __call__(self) -> list:
        """Predict; return the data samples."""
        results = []
        for start in range(0, len(self.inputs), self.at_once):
            with self.watch.part('pipeline'):
                batch = self.collate(self.inputs[start:start + self.at_once])
            results += self.infer(batch)
        return results

    def collate(self, inputs: List[dict]) -> dict:
        """Inputs as a data loader loads and collates them."""
        return pseudo_collate([self.pipeline(dict(one)) for one in inputs])

    def time_parts(self) -> Dict[str, float]:
        """Seconds of each part, of one run."""
        return self._watch_parts(clock)

    def count_parts(self) -> Dict[str, np.ndarray]:
        """FLOPs and bytes of each part, (2, )."""
        with CostCounter(self.model) as counter:
            return self._watch_parts(counter.total)

    @torch.no_grad()
    def count_flops(self) -> Dict[str, Any]:
        """flops of the first image or crop, without a flip test, and
        input_size: width and height of what the network got."""
        model = self.model
        data = model.data_preprocessor(self.collate(self.inputs[:1]), False)
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
        return dict(flops=int(counter.total()[0]), input_size=[width, height])

    def _watch_parts(self, clock: Callable) -> dict:
        self.watch = Stopwatch(clock)
        with watched(self.model, self.watch):
            self()
        return self.watch.amounts


class TrainingCase:
    """A method that takes optimizer steps with the same random batch. A
    top-down method gets as many images of one person.

    Attributes:
        loss (Tensor): The sum of all losses of the last step.
    """

    def __init__(self, method: Method, load: Load, device: str = 'cpu'):
        images, people = load.batch_size, load.people
        if method.kind == TOP_DOWN:
            images, people = images * people, 1
        # MMPose's optimizer of ViTPose prints its settings.
        with method.scope(), redirect_stdout(None):
            # First what fails for a method that cannot be trained.
            self.batch = make_training_batch(method, images, people)
            self.model = method.build(device).train()
            settings = method.read().optim_wrapper
            settings.update(WRAPPERS[load.precision])
            self.optimizer = build_optim_wrapper(self.model, settings)

    def __call__(self) -> Dict[str, float]:
        """Take a step; return the seconds of forward, backward and
        optimizer."""
        watch = Stopwatch(clock)
        with watch.part('forward'), self.optimizer.optim_context(self.model):
            loss = self.compute_loss()
        self.loss = loss.detach()
        with watch.part('backward'):
            self.optimizer.backward(loss)
        with watch.part('optimizer'):
            self.optimizer.step()
            self.optimizer.zero_grad()
        return watch.amounts

    def forward_and_backward(self) -> None:
        """A step that changes nothing."""
        self.compute_loss().backward()
        self.model.zero_grad(set_to_none=True)

    def compute_loss(self) -> torch.Tensor:
        """The sum of all losses."""
        data = self.model.data_preprocessor(self.batch, True)
        losses = self.model(**data, mode='loss')
        return self.model.parse_losses(losses)[0]


def _inputs_of(method: Method, picture: Picture, load: Load) -> List[dict]:
    """What a pipeline gets, for pose estimators as from MMPose's
    inferencers."""
    one = dict(img=picture.image, img_id=0)
    if method.kind == DETECTOR:
        return [one]
    one.update(method.metainfo(), id=[0])
    if method.kind != TOP_DOWN:
        return [one]
    score = np.ones(1, np.float32)
    return [
        dict(one, bbox=box[None], bbox_score=score)
        for box in picture.boxes_of(load.people)
    ]
