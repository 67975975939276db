"""A model of which a part is trained, and the rest stays as it is."""
from typing import Optional, Sequence

from mmpose.models import BottomupPoseEstimator
from mmpose.registry import MODELS


@MODELS.register_module()
class PartlyTrainedEstimator(BottomupPoseEstimator):
    """MMPose's estimator of which only some modules are trained.

    All others get no gradient and stay in evaluation mode, so that nothing
    of them changes: no weights, and no statistics of batch norms. What they
    compute is what they predict: there is no dropout, and there are no output
    sets and no groups of queries that exist in training only. Losses that
    need these must be taken out of the criterion.

    Args:
        trained (Sequence[str], optional): Names of the modules that are
            trained, or the last parts of them, such as 'joint_scores'.
            Defaults to all.
        kwargs: Arguments of ``BottomupPoseEstimator``.

    Raises:
        ValueError: If there is no such module with weights.
    """

    def __init__(self, trained: Optional[Sequence[str]] = None, **kwargs):
        super().__init__(**kwargs)
        self.trained = trained
        if trained is None:
            return
        self.requires_grad_(False)
        for name in trained:
            modules = self._find(name)
            if not any([*module.parameters()] for module in modules):
                raise ValueError(
                    f'model.trained: the model has no module {name!r} with '
                    'weights. Name one of its modules, such as '
                    'head.decoder.joint_scores.')
            for module in modules:
                module.requires_grad_(True)

    def _find(self, name: str) -> list:
        """The modules of a name, or of one that ends with it."""
        return [
            module for path, module in self.named_modules()
            if f'.{path}'.endswith(f'.{name}')
        ]

    def train(self, mode: bool = True) -> 'PartlyTrainedEstimator':
        """Let the modules that are trained train, and no others."""
        if self.trained is None:
            return super().train(mode)
        super().train(False)
        for name in self.trained:
            for module in self._find(name):
                module.train(mode)
        return self
