"""A DETRPose starts from backbone and neck of a D-FINE."""
import sys
from glob import glob

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.checkpoints.fit import check_start
from projects.grouppose.checkpoints.official_names import (from_official,
                                                           load_official)
from tests.helpers.detrpose import DETRPOSE_DIR, detrpose_state_dict

sys.path.append('tools/model_converters')

import dfine_to_mmpose  # noqa: E402

CONFIG, = glob(DETRPOSE_DIR + 'coco/detrpose_hgnetv2-n_*.py')


@pytest.fixture
def dfine(tmp_path):
    """Path of a file as D-FINE writes it."""
    weights = detrpose_state_dict('n', parts=('backbone.', 'encoder.'))
    weights['decoder.input_proj.0.weight'] = torch.zeros(3)
    weights['backbone.stem.stem1.bn.num_batches_tracked'] = torch.tensor(7)
    averages = {name: value + 1 for name, value in weights.items()}
    path = tmp_path / 'dfine_n.pth'
    torch.save(dict(model=weights, ema=dict(module=averages)), path)
    return path


def test_backbone_and_neck_are_taken(dfine, tmp_path):
    out = tmp_path / 'start.pth'
    dfine_to_mmpose.convert(str(dfine), str(out), CONFIG)
    weights = torch.load(out)['state_dict']
    # Not the averages.
    official = torch.load(dfine)['model']
    for ours, theirs in (
        ('backbone.stem.stem1.conv.weight', 'backbone.stem.stem1.conv.weight'),
        ('neck.encoder.norm1.weight',
         'encoder.encoder.0.layers.0.norm1.weight'),
        ('neck.downsample_convs.0.cv1.norm.running_mean',
         'encoder.downsample_convs.0.0.cv1.norm.running_mean')):
        assert torch.equal(weights[ours], official[theirs])
    model = MODELS.build(Config.fromfile(CONFIG).model)
    own = {
        name
        for name in model.state_dict()
        if name.startswith(('backbone.', 'neck.'))
    }
    assert weights.keys() == own
    check_start(str(out), model)  # as training does


def test_what_does_not_fit_is_refused(dfine, tmp_path):
    other = CONFIG.replace('-n_4xb4-160e', '-s_4xb4-100e')
    with pytest.raises(ValueError, match='does not fit .*-s_4xb4'):
        dfine_to_mmpose.convert(str(dfine), str(tmp_path / 'a.pth'), other)
    assert not (tmp_path / 'a.pth').exists()
    with pytest.raises(ValueError, match='with --config'):
        dfine_to_mmpose.convert(str(dfine), str(tmp_path / 'a.pth'))


def test_a_detector_is_no_detrpose(dfine):
    """What converts official DETRPose files names the other program."""
    with pytest.raises(ValueError, match='D-FINE .* by dfine_to_mmpose.py'):
        from_official(load_official(str(dfine)))
