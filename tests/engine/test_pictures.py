"""Pictures show what the network sees, wherever images come from and however
they are turned."""
import io
from argparse import Namespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.apis import init_model
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample
from PIL import Image

from projects.grouppose import visualization
from projects.grouppose.engine import InputVisualizationHook
from tests.helpers.runs import make_runner
from tests.helpers.storage import MemoryBackend, stored_in_memory
from tests.helpers.tool_runs import TOOLS, load_tool

EMPTY = InstanceData(
    keypoints=np.empty((0, 1, 2)), bbox_scores=np.empty((0, )))


@pytest.fixture
def stored(drawn_config, monkeypatch):
    """The validation images in memory alone, as JPEG files that a viewer
    turns clockwise; what their pixels are, by name."""
    folder = drawn_config.parent / 'data/val'
    exif = Image.Exif()
    exif[0x0112] = 6
    contents, pixels = {}, {}
    for path in sorted(folder.iterdir()):
        file = io.BytesIO()
        Image.open(path).convert('RGB').save(file, 'JPEG', exif=exif)
        contents[path.name] = file.getvalue()
        pixels[path.name] = cv2.imdecode(
            np.frombuffer(file.getvalue(), np.uint8),
            cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    monkeypatch.setattr(MemoryBackend, 'files', contents)
    return pixels


def shows(picture, image) -> bool:
    """Whether a picture is an image with a few lines on it."""
    image = cv2.resize(image, picture.shape[1::-1])
    return np.median(np.abs(picture.astype(int) - image)) < 3


def check_pairs(path, stored):
    """The last two images, truth on the left, prediction on the right."""
    picture = cv2.imread(str(path))
    assert len(picture) == 2 * (256 + 8)
    for top, image in zip((0, 264), list(stored.values())[-2:]):
        width = round(256 / image.shape[0] * image.shape[1])
        rows = picture[top:top + 256]
        for left in (0, width):
            assert shows(rows[:, left:left + width], image)
            # A viewer would turn it.
            assert not shows(rows[:, left:left + width], np.rot90(image, -1))


def test_hooks_draw_what_the_network_saw(drawn_config, stored, tmp_path,
                                         unformatted_configs):
    """In validation and in a test, with names below the run's folder."""
    runner = make_runner(
        drawn_config,
        tmp_path,
        validate=True,
        custom_hooks=[dict(type='ValidationPicturesHook')],
        **{
            'default_hooks.visualization.enable': True,
            'default_hooks.visualization.interval': 1,
            'default_hooks.visualization.out_dir': 'shown',
            'default_hooks.checkpoint': None
        },
        **stored_in_memory('val'),
        **stored_in_memory('test'))
    runner.val()
    folder = tmp_path / runner.timestamp
    check_pairs(folder / 'vis_data/vis_image/val_poses_0.png', stored)
    names = [name.rsplit('.')[0] for name in stored]
    firsts = names[::2]  # of each batch

    def shown():
        return sorted(path.name for path in (folder / 'shown').iterdir())

    assert shown() == [f'{name}_0.png' for name in firsts]
    runner.test()
    assert shown() == sorted([f'{name}_0.png' for name in names] +
                             [f'{name}_1.png' for name in firsts])
    for name, image in zip(names, stored.values()):
        picture = cv2.imread(str(folder / f'shown/{name}_0.png'))
        assert max(picture.shape) == 128
        assert shows(picture, image)


def test_tools_draw_what_the_network_sees(drawn_config, stored, tmp_path):
    model = init_model(str(drawn_config), device='cpu')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    arguments = Namespace(
        config=str(drawn_config),
        checkpoint=str(tmp_path / 'a.pth'),
        cfg_options=stored_in_memory('test'))
    load_tool('show_predictions', TOOLS / 'analysis_tools').show(
        Namespace(
            out=str(tmp_path / 'a.png'),
            num_images=6,
            every=1,
            columns=1,
            blank=False,
            best=None,
            score_thr=0.,
            height=256,
            **vars(arguments)))
    check_pairs(tmp_path / 'a.png', stored)

    load_tool('browse_dataset', TOOLS / 'analysis_tools').browse(
        Namespace(
            out=str(tmp_path / 'out'),
            num_images=4,
            split='test',
            seed=0,
            **vars(arguments)))
    pictures = sorted((tmp_path / 'out').iterdir())
    for path, image in zip(pictures, stored.values()):
        assert shows(cv2.imread(str(path)), image)


def places(picture) -> list:
    """Where the centers of the drawn colors are, by row: (x, y)."""
    count, _, _, centers = cv2.connectedComponentsWithStats(
        picture.any(-1).astype(np.uint8))
    return sorted(centers[1:].round().tolist())


def make_visualizer(num_keypoints=1):
    return visualization.PoseVisualizer(
        radius=3, line_width=2, kpt_color=[(255, 0, 0)] * num_keypoints)


def test_poses_are_where_the_input_shows_them():
    """The input is a part of the image, in half its size."""
    sample = PoseDataSample(
        metainfo=dict(
            input_size=np.float32((80, 40)),
            input_scale=np.float32((160, 80)),
            input_center=np.float32((100, 60))))
    sample.gt_instances = InstanceData(
        keypoints=np.float32([[[20, 10]]]), keypoints_visible=np.ones((1, 1)))
    sample.pred_instances = InstanceData(
        keypoints=np.float32([[[140, 80]], [[60, 80]]]),
        bbox_scores=np.float32([0.9, 0.1]))
    inputs = torch.zeros(3, 40, 80, dtype=torch.uint8)
    picture = visualization.draw_pair(make_visualizer(), inputs, sample, 0.5,
                                      80)
    assert picture.shape == (80, 320, 3)
    assert places(picture) == [[40, 20], [160 + 120, 60]]
    assert picture[20, 40].tolist() == [0, 0, 255]


def test_boxes_of_other_methods_are_drawn(tmp_path):
    """By the hook, in the input, too."""
    sample = PoseDataSample(
        metainfo=dict(
            img_path='a/b',
            input_size=np.float32((80, 40)),
            input_scale=np.float32((160, 80)),
            input_center=np.float32((100, 60))))
    sample.pred_instances = InstanceData(
        keypoints=np.float32([[[140, 80]]]),
        keypoint_scores=np.ones((1, 1)),
        bboxes=np.float32([[60, 40, 160, 90]]))
    evaluator = Namespace(dataset_meta=dict(keypoint_colors=[(255, 0, 0)]))
    runner = Namespace(
        work_dir=str(tmp_path), timestamp='now', test_evaluator=evaluator)
    visualization.PoseVisualizer.get_instance('boxes', line_width=1)
    hook = InputVisualizationHook(enable=True, out_dir='shown')
    hook.after_test_iter(runner, 0,
                         dict(inputs=[torch.zeros(3, 40, 80).byte()]),
                         [sample])
    picture = cv2.imread(str(tmp_path / 'now/shown/b_0.png'))
    ys, xs = np.nonzero(picture.any(-1))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (20, 10, 70, 35)
    assert sample.pred_instances.keypoints.tolist() == [[[140, 80]]]


@pytest.mark.parametrize('size', [(1, 3000), (3000, 1), (2, 5)])
def test_pictures_of_narrow_images_stay_small(size):
    sample = PoseDataSample(
        metainfo=dict(
            input_size=np.float32(size[::-1]),
            input_scale=np.float32(size[::-1]),
            input_center=np.float32(size[::-1]) / 2))
    sample.gt_instances = InstanceData()
    sample.pred_instances = EMPTY
    picture = visualization.draw_pair(make_visualizer(),
                                      torch.zeros(3, *size).byte(), sample, 0.,
                                      256)
    assert 1 <= len(picture) <= 256
    assert 2 <= picture.shape[1] <= 2 * 8 * 256


@pytest.mark.parametrize('channels', [1, 3])
def test_gray_images_and_other_types(channels):
    values = torch.tensor([-5, 7.4, 300]).view(1, 1, 3)
    image = visualization.input_image(values.expand(channels, 2, 3))
    assert image.dtype == np.uint8
    assert image[1].tolist() == [[0] * 3, [7] * 3, [255] * 3]


def test_annotations_that_the_pipeline_leaves_in_the_file(drawn_config):
    """As MMPose's BottomupResize does."""
    cfg = Config.fromfile(drawn_config).val_dataloader.dataset
    load, resize, pack = cfg.pipeline
    items = []
    for step in (resize, dict(type='BottomupResize', input_size=(128, 128))):
        dataset = DATASETS.build(dict(cfg, pipeline=[load, step, pack]))
        items.append(dataset[3])
    (expected, visible), (found, same) = (
        visualization.annotated_poses(item['data_samples']) for item in items)
    np.testing.assert_array_equal(same, visible)
    # The image stands in the middle of a square.
    height, width = items[0]['inputs'].shape[1:]
    margin = (128 - np.array([width, height])) / 2
    assert margin.max() > 5
    np.testing.assert_allclose(found, expected + margin, atol=0.5)

    browse = load_tool('browse_dataset', TOOLS / 'analysis_tools')
    edges = []
    for item in items:
        item['inputs'] = torch.zeros_like(item['inputs'])
        picture = browse.draw_targets(make_visualizer(17), item)
        y, x = np.nonzero((picture == browse.GREEN).all(-1))
        edges.append(np.array([x.min(), y.min(), x.max(), y.max()]))
    np.testing.assert_allclose(
        edges[1], edges[0] + np.tile(margin, 2) * 480 / 128, atol=2)
