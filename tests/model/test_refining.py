"""Given poses are refined around fixed keypoints, which stay in place."""
import pytest
import torch

from projects.grouppose.model.pose_frame import LEAST_SIZE
from projects.grouppose.model.queries import MAIN, Queries, move
from projects.grouppose.model.query_selection import LearnedContentSelection
from tests.helpers.models import build_drawn

# Group Pose, DETRPose, and what lies between them.
RELATIVES = dict(
    grouppose=('grouppose', dict()),
    relative=('grouppose',
              dict(
                  relative_positions=True,
                  relative_offsets=True,
                  instance_content=True,
                  official_aux=False,
                  predicted_oks=True,
                  fixed_embedding=True)),
    quality=('grouppose', dict(quality=dict())),
    distributions=('grouppose', dict(type='DETRPoseDecoder')),
    detrpose=('detrpose', dict()),
    relative_detrpose=('detrpose',
                       dict(
                           relative_positions=True,
                           relative_offsets=True,
                           instance_content=True,
                           official_detach=False)))


def build(name, num_keypoints=5, **decoder):
    """Head and memory of two images."""
    method, options = RELATIVES[name]
    head = build_drawn(
        method,
        decoder=dict(options, **decoder),
        data_decoder=dict(sigmas=[0.08] * num_keypoints),
        training_queries=dict(denoising=None)).head
    maps = [torch.rand(2, 64, side, side) for side in (8, 4, 2)]
    memory = head.pre_transformer(maps[:head.decoder.num_levels])
    with torch.no_grad():
        return head.eval(), head.forward_encoder(memory)


def make_poses(people, num_keypoints=5):
    """Of two images, some beyond the border; a third of them fixed."""
    poses = 1.1 * torch.rand(2, people, num_keypoints, 2)
    return poses, torch.rand(2, people, num_keypoints) < 1 / 3


def take_images(memory, images):
    """Memory of some of the images."""
    tokens = memory.with_features(memory.features[images])
    object.__setattr__(tokens, 'valid_sizes', memory.valid_sizes[images])
    return tokens


@pytest.mark.parametrize('num_keypoints', [1, 5, 14, 17])
@pytest.mark.parametrize('name', RELATIVES)
@torch.no_grad()
def test_fixed_keypoints_stay_in_every_layer(name, num_keypoints):
    """To the bit: in all output sets, and where the layers look."""
    head, memory = build(name, num_keypoints)
    poses, fixed = make_poses(4, num_keypoints)
    fixed[0, 0, 0] = True
    frames = []
    for layer in head.decoder.layers:
        layer.register_forward_pre_hook(
            lambda module, args, kwargs: frames.append(kwargs[
                'reference_points'][:, :, 1:, 0, :2]),
            with_kwargs=True)
    content = head.query_selection.content_of(memory, poses)
    group = head.decoder.initial_queries(content, poses, fixed)
    outputs = head.train().decoder(Queries({MAIN: group}), memory)
    assert len(frames) == len(head.decoder.layers)
    for keypoints in [*frames, *(x['keypoints'] for x in outputs.values())]:
        assert torch.equal(keypoints[fixed], poses[fixed])
    assert len(outputs) >= len(head.decoder.layers)
    moved = outputs['last']['keypoints'] != poses
    assert moved[~fixed].any(-1).float().mean() > 0.9
    refined = head.eval().refine(memory, poses, fixed)['keypoints']
    assert torch.equal(refined[fixed], poses[fixed])
    assert refined.isfinite().all()


@pytest.mark.parametrize('name', RELATIVES)
@torch.no_grad()
def test_everybody_is_refined_alone(name):
    """Whoever else is given, in the same image or the batch; also more people
    than the model has queries."""
    head, memory = build(name)
    people = head.num_queries + 2
    poses, fixed = make_poses(people)
    together = head.refine(memory, poses, fixed)['keypoints']
    for image in (0, 1):
        for person in (0, people - 1):
            alone = head.refine(
                take_images(memory, [image]), poses[[image], person, None],
                fixed[[image], person, None])['keypoints']
            torch.testing.assert_close(
                alone[0, 0], together[image, person], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', RELATIVES)
@torch.no_grad()
def test_nobody(name):
    head, memory = build(name)
    refined = head.refine(memory, *make_poses(0))
    assert refined['keypoints'].shape == (2, 0, 5, 2)
    assert refined['logits'].shape[:2] == (2, 0)


@torch.no_grad()
def test_nothing_fixed_and_everything():
    head, memory = build('grouppose')
    poses, fixed = make_poses(3)
    free = head.refine(memory, poses)['keypoints']
    none = head.refine(memory, poses, torch.zeros_like(fixed))['keypoints']
    assert torch.equal(free, none)
    every = head.refine(memory, poses, torch.ones_like(fixed))['keypoints']
    assert torch.equal(every, poses)


@torch.no_grad()
def test_embedding_of_fixed_keypoints():
    """A model that has it starts as one that has not; then it tells the
    others of the person, too."""
    plain, memory = build('grouppose')
    assert not any('fixed' in name for name in plain.state_dict())
    head, _ = build('grouppose', fixed_embedding=True)
    assert not head.decoder.fixed_embedding.weight.any()
    head.load_state_dict(plain.state_dict(), strict=False)
    poses, fixed = make_poses(3)
    fixed[:, 0], fixed[:, 1:] = False, True
    fixed[:, 1:, 0] = False
    expected = plain.refine(memory, poses, fixed)['keypoints']
    assert torch.equal(
        head.refine(memory, poses, fixed)['keypoints'], expected)
    head.decoder.fixed_embedding.weight.fill_(1)
    found = head.refine(memory, poses, fixed)['keypoints']
    assert torch.equal(found[:, 0], expected[:, 0])
    assert (found[:, 1:, 0] != expected[:, 1:, 0]).any(-1).all()


@torch.no_grad()
def test_content_is_of_the_best_token_in_the_box():
    head, memory = build('grouppose')
    selection = head.query_selection
    poses = torch.rand(2, 6, 5, 2)
    poses[:, 0] = torch.tensor([0.31, 0.32])  # between centers
    found = selection.content_of(memory, poses)
    _, usable = selection.token_anchors(memory)
    tokens, logits = selection.score_tokens(memory, usable)
    centers = memory.centers()[0]
    for image in (0, 1):
        for pose, content in zip(poses[image], found[image]):
            low, high = pose.amin(0), pose.amax(0)
            inside = [
                i for i, center in enumerate(centers) if usable[image, i] and (
                    center >= low).all() and (center <= high).all()
            ]
            if inside:
                best = max(inside, key=lambda i: logits[image, i].max())
            else:
                apart = (centers - pose.mean(0)).norm(dim=-1)
                best = apart.masked_fill(~usable[image], 9).argmin()
            assert torch.equal(content, tokens[image, best])


@torch.no_grad()
def test_learned_content_is_that_of_the_best_rank():
    head, memory = build('detrpose')
    selection = head.query_selection
    assert isinstance(selection, LearnedContentSelection)
    content = selection.content_of(memory, torch.rand(2, 14, 5, 2))
    assert torch.equal(content, selection.content.weight[0].expand(2, 14, -1))


@pytest.mark.parametrize('name', ['grouppose', 'detrpose'])
@pytest.mark.parametrize(('num_keypoints', 'joint'), [(5, None), (5, 3),
                                                      (1, None), (1, 0)])
@torch.no_grad()
def test_pose_at_a_point(name, num_keypoints, joint):
    """The better the score, and the nearer the pose's center or joint; also
    of one keypoint, whose pose has no length."""
    head, memory = build(name, num_keypoints)
    selection = head.query_selection
    points = torch.rand(2, 3, 2)
    found = selection.pose_at(memory, points, joint)
    anchors, usable = selection.token_anchors(memory)
    tokens, logits = selection.score_tokens(memory, usable)
    poses = selection.predict_poses(tokens, anchors)
    for image in (0, 1):
        for point, pose in zip(points[image], found[image]):
            values = []
            for i in range(tokens.shape[1]):
                own = poses[image, i]
                place = own.mean(0) if joint is None else own[joint]
                length = (own.amax(0) - own.amin(0)).max().clamp(LEAST_SIZE)
                apart = (point - place).norm() / length
                values.append(logits[image, i].max() - 16 *
                              apart**2 if usable[image,
                                                 i] else torch.tensor(-1e9))
            assert torch.equal(pose, poses[image,
                                           torch.stack(values).argmax()])


def test_no_gradient_moves_a_fixed_keypoint():
    poses = torch.rand(2, 3, 2)
    moved = torch.rand(2, 3, 2, requires_grad=True)
    fixed = torch.tensor([[True, False, False], [False, False, True]])
    move(poses, moved, fixed).sum().backward()
    assert torch.equal(moved.grad.bool().all(-1), ~fixed)
    assert move(poses, moved, None) is moved
