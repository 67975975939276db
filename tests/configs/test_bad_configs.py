"""Configs with something wrong in them: the message names the file and what
to change."""
import pytest
from mmengine.config import Config

from projects.grouppose.inference import load_model
from tests.helpers.bad_cases import answer, drawn_checkpoint, table
from tests.helpers.tool_runs import TOOLS, load_tool

__all__ = ['drawn_checkpoint']  # a fixture

CODEC = 'model.head.data_decoder'
ENCODER = 'model.head.encoder.layer_cfg.self_attn_cfg'
DECODER = 'model.head.decoder.layer_cfg'
TEST = 'test_dataloader.dataset'
NAN, INF = float('nan'), float('inf')


def sigmas(*values) -> dict:
    return dict(type='OKSKeypointCodec', sigmas=list(values), _delete_=True)


# A setting, its value, and the message for inference.
SETTINGS = [
    # keypoints
    ('other K', CODEC, sigmas(*[0.1] * 5), 'head predicts 5 .*metainfo.* 17'),
    ('other K of the data', f'{TEST}.metainfo',
     dict(from_file='configs/_base_/datasets/crowdpose.py', _delete_=True),
     'head predicts 17 .*`metainfo` of the data set describes 14. Give'),
    ('no metainfo', f'{TEST}.metainfo', None, '`metainfo` of test_dataloader'),
    ('no sigmas', CODEC, dict(type='OKSKeypointCodec', _delete_=True),
     'OKSKeypointCodec needs the OKS sigmas .*`metainfo`'),
    ('sigma negative', CODEC, sigmas(*[-1] * 17), '`sigmas` .*one positive'),
    ('sigma zero', CODEC, sigmas(0, *[0.1] * 16), '`sigmas` .*one positive'),
    ('sigma NaN', CODEC, sigmas(NAN, *[0.1] * 16), '`sigmas` .*one positive'),
    ('sigma infinite', CODEC, sigmas(INF, *[1] * 16), '`sigmas` .*one posit'),
    ('sigma a text', CODEC, sigmas(*['a'] * 17), '`sigmas` .*one positive'),
    ('sigmas empty', CODEC, sigmas(), '`sigmas` .*one positive'),
    # sizes
    ('levels of the decoder', f'{DECODER}.num_levels', 3,
     'number of levels of encoder is 2, but that of decoder is 3. Make'),
    ('width of the decoder', f'{DECODER}.embed_dims', 32,
     'width of encoder is 64, but that of decoder is 32. Make them the'),
    ('width not of 4', DECODER, dict(embed_dims=66, num_heads=3),
     'embed_dims is 66, but must be a multiple of 4'),
    ('widths of the encoder', ENCODER, dict(embed_dims=66, num_heads=3),
     'ffn_cfg.embed_dims is 64, but .*self_attn_cfg.embed_dims is 66'),
    ('heads of the encoder', f'{ENCODER}.num_heads', 5,
     'embed_dims must be divisible by num_heads, but got 64 and 5'),
    ('heads of the decoder', f'{DECODER}.num_heads', 5,
     'embed_dims=64 is not a multiple of num_heads=5. Change one'),
    ('no heads', f'{DECODER}.num_heads', 0, 'not a multiple of num_heads=0'),
    ('no queries', 'model.head.num_queries', 0, 'positive integer, not 0'),
    ('half a query', 'model.head.num_queries', 2.5,
     'positive integer, not 2.5'),
    ('no class of people', 'model.head.num_classes', 1, 'num_classes=1, but'),
    # names
    ('unknown model', 'model.type', 'Nothing', 'Nothing is not in .*model'),
    ('unknown backbone', 'model.backbone.type', 'Nothing', 'Nothing is not'),
    ('unknown neck', 'model.neck.type', 'Nothing', 'Nothing is not in .*::m'),
    ('unknown head', 'model.head.type', 'Nothing', 'Nothing is not in .*::m'),
    ('unknown cost', 'model.head.criterion.matcher.costs',
     [dict(type='Nothing')],
     "criterion.matcher.costs: the type 'Nothing' is not registered. Correct"),
    ('loss of version 0.1', 'model.head.loss_kpt', dict(loss_weight=2.0),
     'there is no loss_kpt; .*of version 0.1 are in model.head.criterion'),
    ('unknown codec', f'{CODEC}.type', 'Nothing', 'Nothing is not .*CODECS'),
    ('unknown transform', f'{TEST}.pipeline', [dict(type='Nothing')],
     'Nothing is not in .*::transform'),
    ('unknown argument', 'model.head.num_querys', 5, "argument 'num_querys'"),
    ('unknown scheme', f'{DECODER}.self_attention', 'x',
     "no self_attention='"),
    # parts
    ('no model', 'model', None, '`model` is missing. Give the config'),
    ('no test data', 'test_dataloader', None, '`test_dataloader` is missing'),
    ('no pipeline', f'{TEST}.pipeline', None, '`pipeline` of test_dataloader'),
]


@table('key, value, expected', SETTINGS)
def test_settings(drawn_config, drawn_checkpoint, key, value, expected):
    config = Config.fromfile(drawn_config)
    change = value
    for part in reversed(key.split('.')):
        change = {part: change}
    config.merge_from_dict(change)
    answer(lambda: load_model(config, str(drawn_checkpoint), 'cpu'),
           'tiny.py: .*' + expected)


# The text of a config, and the message.
TEXTS = [
    ('empty', '', '`model` is missing. Give the config'),
    ('half a line', 'model = dict(', r'bad.py: .*(never closed|syntax|EOF)'),
    ('unknown variable', 'model = backbone', "NameError: name 'backbone' is"),
    ('division by zero', 'x = 1 / 0', 'ZeroDivisionError: division by zero'),
    ('missing base', "_base_ = 'none.py'", 'none.py'),
    ('unknown import', "custom_imports = dict(imports=['no_such_module'])",
     'no_such_module'),
    ('no dict', 'model = 3', '`test_dataloader` is missing'),
]


@table('text, expected', TEXTS)
def test_texts(drawn_checkpoint, tmp_path, text, expected):
    path = tmp_path / 'bad.py'
    path.write_text(text)
    answer(lambda: load_model(str(path), str(drawn_checkpoint), 'cpu'),
           'bad.py: .*' + expected if 'bad.py' not in expected else expected)


@pytest.mark.parametrize('name, expected', [
    ('none.py', 'none.py: there is no such config file'),
    ('folder', 'folder: there is no such config file'),
    ('data.json5', 'data.json5: Only py'),
])
def test_paths(drawn_checkpoint, tmp_path, name, expected):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'data.json5').touch()
    answer(
        lambda: load_model(str(tmp_path / name), str(drawn_checkpoint), 'cpu'),
        expected)


TRAIN = 'train_dataloader.dataset'
# A setting of a training run, its value, and the message.
TRAINING = [
    ('other K', CODEC, sigmas(*[0.1] * 5),
     '.jpg: 17 keypoints per person, but the head predicts 5. Use the same'),
    ('other number of maps', 'model.neck.num_outs', 3,
     'got 3 feature maps, .*num_outs of the neck and num_levels'),
    ('heads', f'{DECODER}.num_heads', 5, 'tiny.py: .*multiple of num_heads=5'),
    ('unknown head', 'model.head.type', 'Nothing', 'tiny.py: Nothing is not'),
    ('unknown hook', 'custom_hooks', [dict(type='Nothing')],
     'tiny.py: Nothing is not in the mmpose::hook registry'),
    ('missing annotations', f'{TRAIN}.dataset.ann_file', 'none.json',
     'none.json: annotation file not found. Check `data_root` and `ann_file`'),
    ('missing images', f'{TRAIN}.dataset.data_prefix', dict(img='none/'),
     'none.*: image not found. Check `data_root` and `data_prefix`'),
    ('missing metainfo', f'{TRAIN}.metainfo',
     dict(from_file='none.py', _delete_=True),
     'none.py: metainfo file not found. Check `from_file`'),
    ('missing weights', 'load_from', 'none.pth', 'none.pth'),
    ('top-down', f'{TRAIN}.dataset.data_mode', 'topdown',
     "Set data_mode='bottomup' in its config"),
]


@table('key, value, expected', TRAINING)
def test_training(drawn_config, tmp_path, monkeypatch, key, value, expected):
    """As tools/train.py runs, in the first iteration at the latest."""
    monkeypatch.syspath_prepend(str(TOOLS))
    tool = load_tool('train')
    change = value
    for part in reversed(key.split('.')):
        change = {part: change}

    def run():
        parser, args = tool.parse_args(
            [str(drawn_config), '--work-dir',
             str(tmp_path), '--no-validate'])
        config = tool.launch.load_config(parser, args)
        config.merge_from_dict(
            dict(log_level='CRITICAL', experiment_name=tmp_path.name))
        config.merge_from_dict(change)
        tool.apply_arguments(parser, args, config)
        tool.launch.build_runner(config).train()

    answer(run, expected)
