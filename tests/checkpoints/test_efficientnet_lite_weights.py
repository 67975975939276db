"""A model starts from ImageNet weights of EfficientNet-Lite0."""
import sys
from glob import glob

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.grouppose.checkpoints.fit import check_start
from projects.grouppose.model import EfficientNetLite

sys.path.append('tools/model_converters')

import efficientnet_lite_to_mmpose as converter  # noqa: E402

CONFIG, = glob('configs/body_2d_keypoint/grouppose/lsp/'
               'grouppose-fast_efficientnet-lite0_*')


@pytest.fixture
def official(tmp_path):
    """Path of a file with the names and shapes of the package's."""
    torch.manual_seed(0)
    weights, block = {}, 0

    def add(name, *shape):
        weights[name + '.weight'] = torch.randn(shape)
        if len(shape) == 1:
            weights[name + '.bias'] = torch.randn(shape)
            weights[name + '.running_mean'] = torch.randn(shape)
            weights[name + '.running_var'] = torch.rand(shape)
            weights[name + '.num_batches_tracked'] = torch.tensor(7)

    add('_conv_stem', 32, 3, 3, 3)
    add('_bn0', 32)
    before = 32
    # kernel, channels, expansion and number of blocks of each stage (Tan and
    # Le, 2019, table 1)
    for kernel, after, expansion, number in ((3, 16, 1, 1), (3, 24, 6,
                                                             2), (5, 40, 6, 2),
                                             (3, 80, 6, 3), (5, 112, 6, 3),
                                             (5, 192, 6, 4), (3, 320, 6, 1)):
        for _ in range(number):
            name, width = f'_blocks.{block}', before * expansion
            if expansion > 1:
                add(f'{name}._expand_conv', width, before, 1, 1)
                add(f'{name}._bn0', width)
            add(f'{name}._depthwise_conv', width, 1, kernel, kernel)
            add(f'{name}._bn1', width)
            add(f'{name}._project_conv', after, width, 1, 1)
            add(f'{name}._bn2', after)
            before, block = after, block + 1
    add('_conv_head', 1280, 320, 1, 1)
    add('_bn1', 1280)
    add('_fc', 1000, 1280)
    path = tmp_path / 'efficientnet-lite0.pth'
    torch.save(weights, path)
    return path


def test_the_backbone_is_filled(official, tmp_path):
    out = tmp_path / 'start.pth'
    converter.convert(str(official), str(out), CONFIG)
    weights = torch.load(out)['state_dict']
    theirs = torch.load(official)
    for name, source in (
        ('layers.0.conv.weight', '_conv_stem.weight'),
        ('layers.0.bn.running_var', '_bn0.running_var'),
        ('layers.1.0.depthwise_conv.bn.bias', '_blocks.0._bn1.bias'),
        ('layers.4.3.expand_conv.bn.weight', '_blocks.8._bn0.weight'),
        ('layers.5.4.linear_conv.conv.weight',
         '_blocks.15._project_conv.weight'),
    ):
        assert torch.equal(weights['backbone.' + name], theirs[source])
    model = MODELS.build(Config.fromfile(CONFIG).model)
    assert weights.keys() == {
        name
        for name in model.state_dict() if name.startswith('backbone.')
    }
    check_start(str(out), model)  # as training does


def test_what_does_not_fit_is_refused(official, tmp_path):
    out = str(tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='with --config'):
        converter.convert(str(official), out)
    weights = torch.load(official)
    weights['_blocks.16._bn2.bias'] = torch.zeros(3)
    torch.save(weights, official)
    with pytest.raises(ValueError, match='EfficientNet-Lite0, whose 16'):
        converter.convert(str(official), out, CONFIG)


def test_maps_of_three_strides():
    backbone = EfficientNetLite(conv_cfg=dict(type='Conv2dAdaptivePadding'))
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [(40, 8, 12), (112, 4, 6),
                                                  (320, 2, 3)]
    assert not any('se' in name.split('.')
                   for name, _ in backbone.named_modules())
