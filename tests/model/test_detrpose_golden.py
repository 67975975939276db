"""DETRPose computes what its official program computes.

The golden numbers come from the official program with stand-in weights, on a
CPU in float32. ``--device cuda`` computes on a GPU.
"""
import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from projects.grouppose.checkpoints.official_names import from_official
from projects.grouppose.model.denoising import released_references
from projects.grouppose.model.queries import MAIN, QueryGroup
from projects.grouppose.model.targets import PoseTargets
from tests.helpers.detrpose import (detrpose_state_dict, golden_file,
                                    model_config)

TERMS = dict(vfl='loss_cls', keypoints='loss_kpt', oks='loss_oks')
SETS = {
    '': '',
    '_0': 'd0.',
    '_1': 'd1.',
    '_pre': 'pre.',
    '_enc_0': 'enc.',
    '_dn_0': 'denoising.d0.',
    '_dn_1': 'denoising.d1.',
    '_dn_2': 'denoising.',
    '_dn_pre': 'denoising.pre.'
}


def load(name: str, device: str):
    """Golden numbers, and the model with the weights they are for."""
    golden = dict(np.load(golden_file(f'{name}.npz')))
    size, num_keypoints = name.removesuffix('_train').split('_k')
    weights = from_official(
        detrpose_state_dict(size, int(num_keypoints), str(golden['salt'])))
    model = MODELS.build(model_config(size, int(num_keypoints)))
    model.load_state_dict(weights)
    return golden, model.to(device)


def make_sample(size, original=None) -> PoseDataSample:
    original = size if original is None else original
    return PoseDataSample(
        metainfo=dict(
            img_shape=size[::-1],
            batch_input_shape=size[::-1],
            input_size=np.float32(size),
            input_scale=np.float32(original),
            input_center=np.float32(original) / 2))


def read_images(golden: dict, count: int) -> list:
    return [
        torch.from_numpy(golden[f'image{i}'][..., ::-1].transpose(2, 0,
                                                                  1).copy())
        for i in range(count)
    ]


@pytest.mark.parametrize('name', ['n_k17', 'l_k17', 's_k14'])
def test_inference(name, device):
    golden, model = load(name, device)
    data = dict(
        inputs=read_images(golden, 2),
        data_samples=[
            make_sample((640, 640), golden[f'orig_size{i}']) for i in range(2)
        ])
    data = model.eval().data_preprocessor(data, training=False)
    with torch.no_grad():
        feats = model.extract_feat(data['inputs'])
        model.head.train()  # for the outputs of all layers
        outputs = model.head(feats, data['data_samples'])
        model.head.eval()
        last = model.head(feats, data['data_samples'])['last']
        samples = model(**data, mode='predict')
    depth = len(model.head.decoder.layers)
    names = dict(enc='enc', pre='pre', last=f'layer{depth - 1}')
    names.update({f'd{i}': f'layer{i}' for i in range(depth - 1)})
    assert outputs.keys() == names.keys()
    for ours, official in names.items():
        np.testing.assert_allclose(
            outputs[ours]['keypoints'].flatten(2).cpu(),
            golden[f'{official}_keypoints'],
            rtol=0,
            atol=1e-4)
        np.testing.assert_allclose(
            outputs[ours]['logits'].cpu(),
            golden[f'{official}_logits'],
            rtol=0,
            # Computed in float64, they are off by 1.2e-4 (L): the golden
            # numbers are rounded.
            atol=3e-4)
    np.testing.assert_allclose(
        last['corners'][:, :4].cpu(),
        golden['corners_last_4'],
        rtol=0,
        atol=1e-3)
    torch.testing.assert_close(last['keypoints'], outputs['last']['keypoints'])
    for i, sample in enumerate(samples):
        people = golden[f'result{i}_labels'] == 1
        expected = golden[f'result{i}_keypoints'][people]
        pred = sample.pred_instances
        np.testing.assert_allclose(
            pred.keypoints,
            expected.reshape(len(expected), -1, 3)[..., :2],
            rtol=0,
            atol=0.05)
        np.testing.assert_allclose(
            pred.bbox_scores,
            golden[f'result{i}_scores'][people],
            rtol=0,
            atol=1e-4)


class GoldenQueries(torch.nn.Module):
    """The official denoising queries of the golden step.

    Args:
        part (nn.Module): Whose embeddings they start from.
        golden (dict): The golden numbers.
    """

    def __init__(self, part, golden):
        super().__init__()
        self.part = part
        self.golden = golden

    def forward(self, queries, memory, targets):
        device = self.part.pose_embedding.weight.device
        labels = torch.from_numpy(self.golden['dn_labels']).to(device)
        content = torch.cat([
            self.part.label_embedding(labels.clamp(min=0))[:, :, None],
            self.part.pose_embedding.weight.expand(*labels.shape, -1, -1)
        ], 2) * (labels >= 0)[..., None, None]
        count = labels.shape[1]
        people = max(targets.counts)
        shape = (len(labels), count // (2 * people), 2, people)
        return QueryGroup(
            content,
            torch.from_numpy(self.golden['dn_refs']).to(device),
            sees=(MAIN, ),
            mask=torch.from_numpy(
                self.golden['attn_mask'][:count, :count]).to(device),
            matches=self.part.match(targets.counts, shape,
                                    torch.zeros_like(labels).bool()))


def golden_targets(golden: dict, i: int) -> InstanceData:
    keypoints = golden[f'keypoints{i}']
    count = len(keypoints)
    points, visible = np.split(keypoints, [2 * keypoints.shape[1] // 3], 1)
    return InstanceData(
        labels=golden[f'labels{i}'],
        keypoint_labels=points.reshape(count, points.shape[1] // 2, 2),
        keypoint_weights=visible,
        area_labels=golden[f'area{i}'],
        box_labels=golden[f'boxes{i}']).to_tensor()


@pytest.fixture(scope='module')
def step(device):
    """One training step of N on the golden batch."""
    golden, model = load('n_k17_train', device)
    samples = [make_sample((256, 256)) for _ in range(3)]
    for i, sample in enumerate(samples):
        sample.gt_instance_labels = golden_targets(golden, i)
    head = model.train().head
    head.training_queries['denoising'] = GoldenQueries(
        head.training_queries['denoising'], golden)
    data = model.data_preprocessor(
        dict(inputs=read_images(golden, 3), data_samples=samples),
        training=True)
    seen = {}
    head.criterion.register_forward_pre_hook(
        lambda criterion, inputs: seen.update(outputs=inputs[0]))
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    expected = json.loads(golden_file('n_k17_train.json').read_text())
    return golden, expected, model, seen['outputs'], losses, total


def test_training_outputs(step):
    golden, _, _, outputs, _, _ = step
    names = {
        'last': 'final',
        'd0': 'aux0',
        'd1': 'aux1',
        'pre': 'pre',
        'enc': 'enc',
        'denoising.pre': 'dn_pre',
        'denoising.d0': 'dn0',
        'denoising.d1': 'dn1',
        'denoising.last': 'dn2'
    }
    assert outputs.keys() == names.keys()
    for ours, official in names.items():
        np.testing.assert_allclose(
            outputs[ours]['keypoints'].detach().flatten(2).cpu(),
            golden[f'{official}_keypoints'],
            rtol=0,
            atol=1e-4)
        np.testing.assert_allclose(
            outputs[ours]['logits'].detach().cpu(),
            golden[f'{official}_logits'],
            rtol=0,
            atol=1e-4)


def test_losses(step):
    _, expected, _, _, losses, total = step
    for suffix, prefix in SETS.items():
        for term, name in TERMS.items():
            assert losses[prefix + name].item() == pytest.approx(
                expected['losses'][f'loss_{term}{suffix}'],
                rel=1e-4), f'{prefix}{name}'
    assert len(losses) == 27 + 1  # with matched_oks
    assert total.item() == pytest.approx(expected['total'], rel=1e-4)


def test_gradients(step):
    _, expected, model, _, _, _ = step
    weights = detrpose_state_dict('n')
    official_names = {id(value): name for name, value in weights.items()}
    parameters = dict(model.named_parameters())
    checked = 0
    for name, value in from_official(weights).items():
        official = official_names[id(value)]
        if official not in expected['grads']:
            continue
        # The denoising queries are inside of those of the test.
        name = name.replace('denoising.', 'denoising.part.')
        norm = expected['grads'][official][0]
        computed = parameters[name].grad.double().norm().item()
        assert computed == pytest.approx(norm, rel=1e-3, abs=1e-2), name
        checked += 1
    trained = [p for p in parameters.values() if p.requires_grad]
    assert checked == len(trained) == len(expected['grads']) == 368


def test_released_noise():
    """From the official random draws to the official references."""
    golden = dict(np.load(golden_file('n_k17_train.npz')))
    people = [golden_targets(golden, i) for i in range(3)]
    everybody = InstanceData.cat([people[0], people[2]])
    model = MODELS.build(model_config('n', 17))
    targets = PoseTargets(
        labels=everybody.labels[None],
        keypoints=everybody.keypoint_labels[None],
        visible=everybody.keypoint_weights[None],
        areas=everybody.area_labels[None],
        sigmas=model.head.sigmas,
        counts=[4],
        boxes=everybody.box_labels[None])
    # 6 groups of positive and negative queries of 4 people.
    shape = (1, 6, 2, 4, 18)
    alpha = golden['draw_alpha_all'].reshape(shape).copy()
    alpha[:, :, 1] = golden['draw_alpha_negative'].reshape(1, 6, 4, 18)
    references = released_references(
        targets, torch.from_numpy(golden['draw_vector'].reshape(*shape, 2)),
        torch.from_numpy(alpha))
    official = golden['dn_refs'].reshape(3, 6, 2, 3, 18, 2)
    np.testing.assert_allclose(
        references[0, :, :, :3], official[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        references[0, :, :, 3], official[2, :, :, 0], rtol=0, atol=1e-6)
