"""From files to a result JSON: tools/test.py against an independent path.

The independent path reads and resizes with Pillow, normalizes with numpy and
post-processes by the rules of the official program, without the project's
pipeline, codec or metric. Only the network is shared, whose numbers
test_golden.py holds against the official ones.
"""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from PIL import Image

from projects.grouppose.synthetic import draw_image
from tests.helpers.detrpose import DETRPOSE_DIR, detrpose_state_dict
from tests.helpers.models import CONFIG_DIR, R50_CONFIG
from tests.helpers.stand_in import cut_keypoints, official_state_dict
from tests.helpers.tool_runs import run_tool

# The published sizes divided by five, for a CPU.
SHORT_SIDE, MAX_SIZE = 160, 267
MEAN, STD = (.485, .456, .406), (.229, .224, .225)


def write_data(folder, num_keypoints):
    """Three images, not in the order of their ids; the long side of one
    passes the limit."""
    shapes = {30: (240, 180), 7: (150, 320), 12: (200, 200)}
    images, annotations = [], []
    for image_id, (width, height) in shapes.items():
        image, _ = draw_image(image_id, 320)
        name = f'{image_id}.jpg'
        Image.fromarray(image).resize((width, height)).save(folder / name)
        images.append(
            dict(
                id=image_id,
                file_name=name,
                width=width,
                height=height,
                crowdIndex=0.5))  # of CrowdPose
        annotations.append(
            dict(
                id=image_id,
                image_id=image_id,
                category_id=1,
                iscrowd=0,
                bbox=[10, 10, 100, 120],
                area=6000.,
                num_keypoints=num_keypoints,
                keypoints=[50, 60, 2] * num_keypoints))
    category = dict(id=1, name='person', keypoints=[], skeleton=[])
    (folder / 'ann.json').write_text(
        json.dumps(
            dict(
                images=images, annotations=annotations,
                categories=[category])))
    return sorted(images, key=lambda image: image['id'])


def prepare_detrpose(path):
    """An image as DETRPose's official program feeds it, (3, 640, 640)."""
    image = Image.open(path).resize((640, 640), Image.BILINEAR)
    return torch.from_numpy(np.float32(image) / 255).permute(2, 0, 1)


def prepare(path):
    """An image as Group Pose's official program feeds it, (3, h, w)."""
    image = Image.open(path)
    width, height = image.size
    short, long = min(image.size), max(image.size)
    side = SHORT_SIDE
    if long / short * side > MAX_SIZE:
        side = round(MAX_SIZE * short / long)
    size = (side,
            int(side * height /
                width)) if width < height else (int(side * width / height),
                                                side)
    pixels = np.asarray(image.resize(size, Image.BILINEAR)) / 255
    return torch.from_numpy((pixels - MEAN) / STD).permute(2, 0, 1).float()


def detections(logits, keypoints, size, num_pairs, num_classes=2):
    """(score, pose) of an image's people, best first, in pixels."""
    scores, pairs = logits.sigmoid().flatten().topk(num_pairs)
    return [(score.item(), keypoints[pair // num_classes] * torch.tensor(size))
            for score, pair in zip(scores, pairs) if pair % num_classes == 1]


def expected_results(config, weights, folder, images, prepare, num_pairs):
    """Detections of every image, by id."""
    batch_size = 2
    model = MODELS.build(Config.fromfile(config).model)
    model.load_state_dict(weights)
    model.eval()
    expected = dict()
    for start in range(0, len(images), batch_size):
        batch = images[start:start + batch_size]
        inputs = [prepare(folder / image['file_name']) for image in batch]
        height, width = np.max([x.shape[1:] for x in inputs], 0)
        padded = torch.zeros(len(batch), 3, height, width)
        for canvas, x in zip(padded, inputs):
            canvas[:, :x.shape[1], :x.shape[2]] = x
        samples = [
            PoseDataSample(
                metainfo=dict(
                    img_shape=tuple(x.shape[1:]),
                    batch_input_shape=(height, width))) for x in inputs
        ]
        with torch.no_grad():
            outputs = model.head(model.extract_feat(padded), samples)
        outputs = outputs['last']
        for image, logits, keypoints in zip(batch, outputs['logits'],
                                            outputs['keypoints']):
            expected[image['id']] = detections(
                logits, keypoints, (image['width'], image['height']),
                num_pairs)
    return expected


def check(folder, official, config, images, prepare, num_pairs, options=()):
    """Convert weights, run tools/test.py, and compare."""
    original, converted = folder / 'official.pth', folder / 'ours.pth'
    torch.save(dict(model=official), original)
    code, out, err = run_tool('model_converters/official_to_mmpose.py',
                              original, converted)
    assert code == 0, err
    assert config in out
    dataset = 'test_dataloader.dataset'
    code, _, err = run_tool(
        'test.py',
        config,
        converted,
        '--work-dir',
        folder / 'work',
        '--cfg-options',
        f'{dataset}.dataset.data_root={folder}',
        f'{dataset}.dataset.ann_file=ann.json',
        f'{dataset}.dataset.data_prefix.img=',
        'test_dataloader.batch_size=2',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        f'test_evaluator.ann_file={folder / "ann.json"}',
        f'test_evaluator.outfile_prefix={folder / "results"}',
        *options,
        timeout=120)
    assert code == 0, err

    results = json.loads((folder / 'results.keypoints.json').read_text())
    weights = torch.load(converted)['state_dict']
    expected = expected_results(config, weights, folder, images, prepare,
                                num_pairs)
    for image_id, people in expected.items():
        found = [row for row in results if row['image_id'] == image_id]
        assert len(found) == len(people) > 0
        poses = np.array([pose.numpy() for _, pose in people])
        scores = np.array([score for score, _ in people])
        ours = np.array([row['keypoints'] for row in found])
        ours = ours.reshape(len(found), -1, 3)[..., :2]
        # The same order, but for people whose scores are equal by rounding.
        apart = np.abs(ours[:, None] - poses).max((2, 3))
        partner = apart.argmin(1)
        assert sorted(partner) == list(range(len(people)))
        assert apart.min(1).max() < 0.05
        np.testing.assert_allclose([row['score'] for row in found],
                                   scores,
                                   rtol=0,
                                   atol=1e-4)
        np.testing.assert_allclose(scores[partner], scores, rtol=0, atol=1e-5)
        assert {row['category_id'] for row in found} == {1}


@pytest.mark.parametrize('config, keys_file, num_keypoints', [
    (R50_CONFIG, 'official_keys_r50_k17.json', 17),
    (CONFIG_DIR + 'coco/grouppose_swin-t_8xb2-60e_coco-800x1333.py',
     'official_keys_swint_k17.json', 17),
    (CONFIG_DIR + 'crowdpose/grouppose_res50_8xb2-80e_crowdpose-800x1333.py',
     'official_keys_r50_k17.json', 14),
])
def test_result_json_equals_the_independent_path(tmp_path, config, keys_file,
                                                 num_keypoints):
    images = write_data(tmp_path, num_keypoints)
    stand_in = cut_keypoints(official_state_dict(keys_file), num_keypoints)
    check(tmp_path, stand_in, config, images, prepare, 50, [
        f'test_dataloader.dataset.pipeline.1.short_side={SHORT_SIDE}',
        f'test_dataloader.dataset.pipeline.1.max_size={MAX_SIZE}'
    ])


@pytest.mark.parametrize('size, num_keypoints', [('n', 17), ('m', 17),
                                                 ('l', 17), ('s', 14)])
def test_detrpose_equals_the_independent_path(tmp_path, size, num_keypoints):
    images = write_data(tmp_path, num_keypoints)
    stand_in = detrpose_state_dict(size, num_keypoints)
    dataset = {17: 'coco', 14: 'crowdpose'}[num_keypoints]
    path, = Path(DETRPOSE_DIR, dataset).glob(f'detrpose_hgnetv2-{size}_*')
    check(tmp_path, stand_in, str(path), images, prepare_detrpose, 60)
