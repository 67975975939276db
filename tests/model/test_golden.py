"""The model computes what the official program computes.

The golden numbers come from the official program with the stand-in weights of
``stand_in.py``, on a CPU in float32. ``--device cuda`` computes on a GPU.
"""
import json
import os.path as osp

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from projects.grouppose.checkpoints.official_names import from_official
from projects.grouppose.codec import OKSKeypointCodec
from tests.helpers.models import R50_CONFIG, stack_sets
from tests.helpers.stand_in import DATA, official_state_dict

# Official and our names of the losses, and of the output sets.
TERMS = dict(ce='loss_cls', keypoints='loss_kpt', oks='loss_oks')
SETS = {'': '', **{f'_{i}': f'd{i}.' for i in range(5)}, '_interm': 'enc.'}


@pytest.fixture(scope='module')
def golden() -> dict:
    return dict(np.load(osp.join(DATA, 'r50_k17.npz')))


@pytest.fixture(scope='module')
def golden_training() -> dict:
    with open(osp.join(DATA, 'r50_k17_train.json')) as file:
        return json.load(file)


@pytest.fixture(scope='module')
def computed(golden, device) -> dict:
    """One training step of the full model on the golden batch."""
    model = MODELS.build(Config.fromfile(R50_CONFIG).model)
    model.load_state_dict(from_official(official_state_dict()))
    model.to(device).train()
    codec = OKSKeypointCodec(sigmas=model.head.codec.sigmas)
    images, samples = [], []
    for i in range(2):
        image = golden[f'image{i}'][..., ::-1]  # the pipeline decodes to BGR
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        height, width = golden[f'orig_size{i}']
        keypoints = golden[f'keypoints{i}']
        labels = codec.encode(
            keypoints[..., :2],
            keypoints[..., 2],
            area=golden[f'area{i}'],
            img_shape=(height, width))
        sample = PoseDataSample(
            metainfo=dict(
                img_shape=image.shape[:2],
                input_size=np.float32(image.shape[1::-1]),
                input_scale=np.float32((width, height)),
                input_center=np.float32((width, height)) / 2))
        sample.gt_instance_labels = InstanceData(**labels).to_tensor()
        samples.append(sample)

    data = dict(inputs=images, data_samples=samples)
    data = model.data_preprocessor(data, training=True)
    feats = model.extract_feat(data['inputs'])
    outputs = stack_sets(model.head(feats, data['data_samples']))
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    model.eval()
    with torch.no_grad():
        results = model(**data, mode='predict')
    return dict(
        model=model,
        logits=outputs['logits'].detach().cpu().numpy(),
        keypoints=outputs['keypoints'].detach().flatten(3).cpu().numpy(),
        losses={
            name: value.item()
            for name, value in losses.items()
        },
        total=total.item(),
        results=[result.pred_instances for result in results])


@pytest.mark.parametrize('layer', range(6))
def test_decoder_outputs(golden, computed, layer):
    np.testing.assert_allclose(
        computed['logits'][layer], golden[f'layer{layer}_logits'], atol=1e-4)
    np.testing.assert_allclose(
        computed['keypoints'][layer],
        golden[f'layer{layer}_keypoints'][..., :34],
        atol=1e-4)


def test_encoder_outputs(golden, computed):
    np.testing.assert_allclose(
        computed['logits'][6], golden['interm_logits'], atol=1e-4)
    np.testing.assert_allclose(
        computed['keypoints'][6], golden['interm_keypoints'], atol=1e-4)


def test_losses(golden_training, computed):
    checked = 0
    for ours, official in [(SETS[s] + TERMS[t], f'loss_{t}{s}') for s in SETS
                           for t in TERMS]:
        expected = (
            golden_training['losses'][official] *
            golden_training['weights'][official])
        assert computed['losses'][ours] == pytest.approx(expected, rel=1e-4)
        checked += 1
    assert checked == 21
    assert computed['total'] == pytest.approx(
        golden_training['losses']['total'], rel=1e-4)


def test_gradients(golden_training, computed):
    parameters = dict(computed['model'].named_parameters())
    trained = {n for n, p in parameters.items() if p.requires_grad}
    for official, (norm, _) in golden_training['grads'].items():
        name, = from_official({official: torch.zeros(())})
        trained.discard(name)
        computed_norm = parameters[name].grad.double().norm().item()
        assert computed_norm == pytest.approx(norm, rel=1e-3, abs=1e-6), name
    assert not trained
    for official in golden_training['frozen']:
        name, = from_official({official: torch.zeros(())})
        assert not parameters[name].requires_grad


@pytest.mark.parametrize('image', range(2))
def test_results(golden, computed, image):
    """After post-processing, in pixels of the original image."""
    people = golden[f'result{image}_labels'] == 1
    expected = golden[f'result{image}_keypoints'][people].reshape(-1, 17, 3)
    result = computed['results'][image]
    np.testing.assert_allclose(result.keypoints, expected[..., :2], atol=0.05)
    np.testing.assert_allclose(
        result.bbox_scores, golden[f'result{image}_scores'][people], atol=1e-4)
    np.testing.assert_allclose(result.keypoint_scores,
                               result.bbox_scores[:, None].repeat(17, 1))
