"""An optimizer with a group of parameters per setting instead of per
parameter."""
from typing import Dict, List, Tuple

from mmengine.optim import DefaultOptimWrapperConstructor
from mmpose.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, with parameters of the same settings in one
    group.

    With ``paramwise_cfg``, MMEngine makes a group of each parameter. All of
    them compute the same in fewer and larger steps, most of all with
    ``optimizer=dict(foreach=True)``. A checkpoint of the one kind cannot
    resume a run of the other; its weights fit both.

    Arguments: see MMEngine's class.
    """

    def add_params(self,
                   params: List[dict],
                   module: nn.Module,
                   prefix: str = '',
                   **kwargs) -> None:
        """Add the groups of a module to a list, see the base class."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix:  # the base class calls this method for each child
            return
        merged: Dict[Tuple, dict] = {}
        for group in params:
            settings = {
                name: value
                for name, value in group.items() if name != 'params'
            }
            key = tuple(sorted(settings.items()))
            merged.setdefault(key, dict(settings, params=[]))
            merged[key]['params'] += group['params']
        params[:] = merged.values()
