"""OKSKeypointCodec: targets, results, and what it refuses."""
import numpy as np
import pytest
import torch
from mmpose.registry import KEYPOINT_CODECS

from projects.grouppose.codec import OKSKeypointCodec

COCO = dict(from_file='configs/_base_/datasets/coco.py')


def test_sigmas_come_from_the_metainfo():
    codec = KEYPOINT_CODECS.build(dict(type='OKSKeypointCodec', metainfo=COCO))
    assert codec.num_keypoints == 17
    assert codec.sigmas[0] == np.float32(0.026)
    crowdpose = dict(from_file='configs/_base_/datasets/crowdpose.py')
    assert OKSKeypointCodec(crowdpose).num_keypoints == 14


def test_encode():
    codec = OKSKeypointCodec(sigmas=[0.1, 0.2])
    encoded = codec.encode(
        keypoints=np.array([[[10, 20], [40, 50]]]),
        keypoints_visible=np.array([[2, 0]]),
        area=np.array([500.]),
        img_shape=(100, 50))
    np.testing.assert_allclose(encoded['keypoint_labels'],
                               [[[0.2, 0.2], [0.8, 0.5]]])
    np.testing.assert_array_equal(encoded['keypoint_weights'], [[1, 0]])
    np.testing.assert_allclose(encoded['area_labels'], [0.1])
    np.testing.assert_array_equal(encoded['labels'], [1])
    assert all(encoded[key].dtype == np.float32 for key in encoded
               if key != 'labels')


@pytest.mark.parametrize('shape', [(1, 1), (128, 128), (640, 640), (800, 1333),
                                   (6000, 8000)])
def test_targets_have_one_dtype(shape):
    """Large images, too: NumPy 1 makes float64 of large Python numbers."""
    encoded = OKSKeypointCodec(sigmas=[0.1]).encode(
        keypoints=np.ones((1, 1, 2), dtype=np.float32),
        area=np.array([500.], dtype=np.float32),
        bbox=np.array([[0, 0, 1, 1]], dtype=np.float32),
        img_shape=shape)
    assert {
        name: value.dtype
        for name, value in encoded.items() if name != 'labels'
    } == dict.fromkeys(encoded.keys() - {'labels'}, np.float32)


def test_people_without_a_labeled_keypoint_are_no_targets():
    keypoints = np.random.rand(3, 2, 2)
    visible = np.array([[0, 1], [0, 0], [2, 2]])
    encoded = OKSKeypointCodec().encode(keypoints, visible,
                                        np.array([1., 2., 3.]), (1, 1))
    np.testing.assert_allclose(encoded['keypoint_labels'], keypoints[[0, 2]])
    np.testing.assert_array_equal(encoded['keypoint_weights'],
                                  [[0, 1], [1, 1]])
    np.testing.assert_array_equal(encoded['area_labels'], [1, 3])
    np.testing.assert_array_equal(encoded['labels'], [1, 1])


def test_image_of_another_size_than_img_shape():
    people = dict(keypoints=np.zeros((1, 2, 2)), area=np.ones(1))
    img, encode = np.zeros((4, 6, 3)), OKSKeypointCodec().encode
    with pytest.raises(ValueError, match='`img` is 4 x 6 .*shape` says 6 x 4'):
        encode(**people, img_shape=(6, 4), img=img)
    with pytest.raises(ValueError, match='`img` is 4 x 6 .*size` says 6 x 4'):
        encode(**people, img_shape=(4, 6), input_size=(4, 6), img=img)
    encode(**people, img_shape=(4, 6, 3), input_size=(6., 4.), img=img)


def test_description_of_the_keypoints():
    """That of other keypoints than the sigmas is not kept."""
    assert OKSKeypointCodec(COCO).metainfo['num_keypoints'] == 17
    sigmas = [0.1] * 17
    codec = OKSKeypointCodec(COCO, sigmas)
    assert codec.metainfo['flip_indices'][:3] == [0, 2, 1]
    assert codec.sigmas[0] == np.float32(0.1)
    assert OKSKeypointCodec(COCO, sigmas[:5]).metainfo is None
    assert OKSKeypointCodec(sigmas=sigmas).metainfo is None


def test_encode_nobody():
    encoded = OKSKeypointCodec(sigmas=[0.1, 0.2]).encode(
        np.zeros((0, 2, 2)), np.zeros((0, 2)), np.zeros(0), (10, 10))
    assert encoded['keypoint_labels'].shape == (0, 2, 2)
    assert len(encoded['labels']) == 0


def test_decode_keeps_the_best_people():
    codec = OKSKeypointCodec(sigmas=[0.1, 0.2], max_per_img=4)
    # The pairs in order: (0, 1), (1, 0), (2, 1), (1, 1), (0, 0), (2, 0).
    logits = torch.tensor([[-2., 3.], [2., 0.], [-3., 1.]])
    keypoints = torch.rand(3, 2, 2)
    poses, keypoint_scores, scores, labels = codec.decode(
        logits, keypoints, (40, 20))
    np.testing.assert_allclose(scores, torch.tensor([3., 1., 0.]).sigmoid())
    np.testing.assert_allclose(
        poses, keypoints[[0, 2, 1]] * torch.tensor([40., 20.]), rtol=1e-6)
    np.testing.assert_array_equal(keypoint_scores[:, 0], scores)
    assert not labels.any()
    # One place less: the pair of the other class still holds its own.
    codec.max_per_img = 3
    assert len(codec.decode(logits, keypoints, (40, 20))[2]) == 2


def test_decode_never_leaves_the_metric_without_a_pose():
    codec = OKSKeypointCodec(sigmas=[0.1], max_per_img=2)
    logits = torch.tensor([[5., -3.], [4., -1.], [3., -2.]])
    poses, _, scores, _ = codec.decode(logits, torch.rand(3, 1, 2), (8, 8))
    np.testing.assert_allclose(scores, torch.tensor([-1.]).sigmoid())
    assert poses.shape == (1, 1, 2)


def test_encode_and_decode_are_inverse():
    codec = OKSKeypointCodec(sigmas=[0.1] * 5)
    keypoints = np.random.uniform(0, 300, (3, 5, 2)).astype(np.float32)
    encoded = codec.encode(
        keypoints, None, area=np.ones(3), img_shape=(300, 400))
    decoded, *_ = codec.decode(
        torch.tensor([[-9., 3.], [-9., 2.], [-9., 1.]]),
        torch.from_numpy(encoded['keypoint_labels']), (400, 300))
    np.testing.assert_allclose(decoded, keypoints, rtol=1e-6)


@pytest.mark.parametrize('arguments, message', [
    (dict(sigmas=[]), 'argument `sigmas`.*one positive number'),
    (dict(sigmas=[0.1, 0]), 'argument `sigmas`.*one positive number'),
    (dict(sigmas=[0.1, float('nan')]), 'one positive number'),
    (dict(
        metainfo=dict(
            dataset_name='toy',
            keypoint_info={},
            skeleton_info={},
            joint_weights=[])), 'incomplete.*sigmas'),
])
def test_unusable_sigmas(arguments, message):
    with pytest.raises(ValueError, match=message):
        OKSKeypointCodec(**arguments)


def test_codec_of_a_pipeline_needs_no_sigmas():
    codec = OKSKeypointCodec()
    encoded = codec.encode(
        np.zeros((2, 7, 2)), area=np.ones(2), img_shape=(8, 8))
    assert encoded['keypoint_labels'].shape == (2, 7, 2)
    with pytest.raises(ValueError, match='needs the OKS sigmas'):
        codec.num_keypoints


def test_metainfo_file_without_sigmas(tmp_path):
    path = tmp_path / 'toy.py'
    path.write_text('dataset_info = dict(dataset_name="toy", keypoint_info='
                    'dict(), skeleton_info=dict(), joint_weights=[])')
    with pytest.raises(ValueError, match='toy.py.*sigmas'):
        OKSKeypointCodec(dict(from_file=str(path)))


def test_other_number_of_keypoints():
    codec = OKSKeypointCodec(sigmas=[0.1, 0.2])
    with pytest.raises(ValueError, match='annotates 3 keypoints.*metainfo'):
        codec.encode(
            np.zeros((1, 3, 2)),
            np.ones((1, 3)),
            area=np.ones(1),
            img_shape=(8, 8))


def test_pipeline_without_area():
    with pytest.raises(ValueError, match='`area`.*PoseInstanceFilter'):
        OKSKeypointCodec(sigmas=[0.1]).encode(
            np.zeros((1, 1, 2)), np.ones((1, 1)), img_shape=(8, 8))
