"""What happens to a training step whose gradients are not finite."""
import logging
from typing import Dict, List, Optional

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from torch.optim import Optimizer


@HOOKS.register_module()
class GradientGuardHook(Hook):
    """Keep NaN and infinity out of the weights.

    One label, one corrupt value or one overflow that makes a gradient
    infinite or NaN would make all weights NaN in the same step, and the next
    checkpoints worthless. Gradients are looked at between the backward pass
    and the update, after all processes of a job have summed theirs, so that
    all of them decide the same.

    In float16, an overflow is normal: the loss scaler leaves the step out and
    lowers its scale. This hook lets it, logs the images, and steps in only if
    that does not help ``max_skips`` times in a row. So in float16 a label that
    is NaN is left out with a warning, too.

    A step that is skipped changes neither weights nor the optimizer's state.
    Statistics of batch normalization, if it is trained at all, change in the
    forward pass, before anything can be known about gradients.

    Args:
        action (str): 'stop' ends the run with an error that names the images
            of the step. 'skip' leaves the step out, with a warning that
            names them. Defaults to 'stop'.
        max_skips (int): How many steps in a row may be left out, by this
            hook or by the loss scaler, before the run ends. Defaults to 20,
            more than a scaler needs to find its scale.

    Raises:
        FloatingPointError: In training, as said above.
        ValueError: If an argument is not one of those, or there are several
            optimizers.
    """

    def __init__(self, action: str = 'stop', max_skips: int = 20):
        if action not in ('stop', 'skip'):
            raise ValueError("GradientGuardHook: action must be 'stop' or "
                             f"'skip', not {action!r}.")
        if max_skips < 1:
            raise ValueError('GradientGuardHook: max_skips must be at least '
                             f'1, not {max_skips}.')
        self.action = action
        self.max_skips = max_skips

    def before_train(self, runner: Runner) -> None:
        """Have the optimizer ask before each of its steps."""
        self._samples: List = []
        self._skips = 0
        self._asked = False
        self._runner = runner
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        if optimizer is None:
            raise ValueError(
                'GradientGuardHook: watches one optimizer, but optim_wrapper '
                'has several. Take the hook out of the config: '
                'default_hooks.gradient_guard=None.')
        self._handle = optimizer.register_step_pre_hook(self._before_step)

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer as it was."""
        self._handle.remove()

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: dict) -> None:
        """Remember what the next step is computed from: several batches, if
        gradients are accumulated."""
        self._samples += data_batch['data_samples']
        self._updated = self._asked = False

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Count the steps in a row that were left out."""
        if not runner.optim_wrapper.should_update():
            return
        self._skips = 0 if self._updated else self._skips + 1
        if not self._asked:
            print_log(
                'Step left out by the loss scaler: a gradient is not finite. '
                f'{self._describe()}', 'current', logging.WARNING)
        if self._skips > self.max_skips:
            self._stop(f'{self._skips} steps in a row were left out. ')
        self._samples.clear()

    def _before_step(self, optimizer: Optimizer, args, kwargs) -> None:
        """Check the gradients; clear them if one is not finite, so that the
        optimizer changes nothing.

        It is not called where a loss scaler leaves the step out.
        """
        self._asked = True
        found_inf = getattr(optimizer, 'found_inf', None)
        if found_inf is not None:
            # Fused optimizers do the loss scaler's part themselves.
            self._updated = not found_inf.item()
            return
        self._updated = _finite_gradients(optimizer)
        if self._updated:
            return
        if self.action == 'stop':
            self._stop('A gradient is not finite. ')
        # Without gradients, it leaves weights and its state as they are.
        optimizer.zero_grad(set_to_none=True)
        print_log(
            f'Step left out: a gradient is not finite. {self._describe()}',
            'current', logging.WARNING)

    def _stop(self, reason: str) -> None:
        """End the run."""
        raise FloatingPointError(
            f'{reason}{self._describe()} The weights and the checkpoints are '
            'those from before. Correct or remove what is wrong with the '
            'images, their annotations or the learning rate, and go on with '
            '--resume; or leave out such steps by '
            "default_hooks.gradient_guard.action='skip'.")

    def _describe(self) -> str:
        """Where it happened, and on which images."""
        images: Dict[str, bool] = {}
        for names in all_gather_object({
                sample.metainfo.get('img_path', 'unnamed'):
                _finite_labels(sample)
                for sample in self._samples
        }):
            images.update(names)
        text = (f'Epoch {self._runner.epoch + 1}, iteration '
                f'{self._runner.iter + 1}, images: {", ".join(images)}.')
        bad = [name for name, finite in images.items() if not finite]
        if bad:
            text += f' Labels that are not finite: {", ".join(bad)}.'
        return text


def _finite_gradients(optimizer: Optimizer) -> bool:
    """Whether all gradients are numbers; waits for the device once."""
    gradients = [
        parameter.grad for group in optimizer.param_groups
        for parameter in group['params'] if parameter.grad is not None
    ]
    if not gradients:
        return True
    norms = torch._foreach_norm(gradients)
    return bool(torch.stack([norm.float() for norm in norms]).isfinite().all())


def _finite_labels(sample) -> bool:
    """Whether all that an image is to teach are numbers."""
    return all(
        torch.isfinite(values).all()
        for values in sample.get('gt_instance_labels', {}).values()
        if isinstance(values, torch.Tensor))
