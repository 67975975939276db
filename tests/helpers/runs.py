"""Training runs within the process of the tests."""
import time

from mmengine.config import Config
from mmengine.runner import Runner


def make_runner(config, work_dir, validate=False, **options) -> Runner:
    """A runner of the tiny model, 3 epochs of 3 iterations."""
    cfg = Config.fromfile(config)
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.save_best = None
    cfg.merge_from_dict(options)
    cfg.work_dir = str(work_dir)
    # MMEngine keeps one of a name in a process.
    cfg.experiment_name = cfg.visualizer.name = f'{work_dir} {time.time()}'
    return Runner.from_cfg(cfg)
