"""MMPose's own inference works with the project's configs."""
import cv2
import numpy as np
import pytest
from mmpose.apis import Pose2DInferencer, inference_bottomup, init_model


@pytest.fixture(scope='module')
def image():
    return np.random.RandomState(0).randint(
        0, 256, (60, 100, 3), dtype=np.uint8)


def check(keypoints, image):
    """Poses of the data set's keypoints, about where the image is."""
    height, width = image.shape[:2]
    assert keypoints.shape[1:] == (17, 2)
    assert (keypoints >= 0).all()
    assert (keypoints <= (width, height)).all()


def test_inference_bottomup(drawn_config, image, tmp_path):
    model = init_model(str(drawn_config), None, device='cpu')
    assert model.dataset_meta['num_keypoints'] == 17
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, image)
    of_array, of_file = (
        inference_bottomup(model, source)[0].pred_instances
        for source in (image, path))
    check(of_array.keypoints, image)
    np.testing.assert_array_equal(of_array.keypoints, of_file.keypoints)


def test_inferencer(drawn_config, image):
    inferencer = Pose2DInferencer(
        str(drawn_config), weights=None, device='cpu')
    predictions, = next(inferencer(image, return_vis=False))['predictions']
    assert predictions
    for instance in predictions:
        check(np.array(instance['keypoints'])[None], image)
