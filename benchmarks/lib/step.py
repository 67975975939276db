"""A step of a training with its own data, augmentations and all."""
from contextlib import redirect_stdout
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

from .configs import build_model


class Step(NamedTuple):
    """The step of a training whose config is in a file."""
    config_file: Path
    device: str = 'cpu'

    def prepare(self) -> Callable[[], None]:
        """Build model, data and optimizer, and take one step, for libraries,
        thread pools and what an optimizer keeps."""
        config = Config.fromfile(str(self.config_file))
        init_default_scope(config.default_scope)
        MMLogger.get_current_instance().setLevel('ERROR')
        with redirect_stdout(None):
            dataset = DATASETS.build(config.train_dataloader.dataset)
            model = build_model(config).to(self.device).train()
            wrapper = build_optim_wrapper(model, config.optim_wrapper)
        batch_size = config.train_dataloader.batch_size
        order = np.random.RandomState(0)

        def step() -> None:
            """Load other images than in the step before, and learn them."""
            chosen = order.choice(len(dataset), batch_size)
            batch = pseudo_collate([dataset[int(i)] for i in chosen])
            with wrapper.optim_context(model):
                data = model.data_preprocessor(batch, True)
                losses = model(**data, mode='loss')
                loss = model.parse_losses(losses)[0]
            wrapper.update_params(loss)

        torch.manual_seed(0)
        np.random.seed(0)
        step()
        return step
