"""Every config of Group Pose and DETRPose trains and evaluates, on images made
up for it in the format and layout of its data set."""
import json
from glob import glob
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, METRICS, MODELS

from projects.grouppose.evaluation.metric import RunImagesMixin
from tests.helpers.models import R50_CONFIG

pytestmark = pytest.mark.usefixtures('unformatted_configs')
CONFIGS = {
    Path(path).stem: path
    for method in ('grouppose', 'detrpose')
    for path in sorted(glob(f'configs/*/{method}/**/*.py', recursive=True))
}
# A few real images with their annotation files, by data set.
SAMPLES = Path('../shared/data/samples').resolve()
SAMPLE_FILES = dict(
    CocoDataset='coco/test_coco.json',
    CocoWholeBodyDataset='coco/test_coco_wholebody.json',
    AP10KDataset='ap10k/test_ap10k.json',
    HumanArtDataset='humanart/test_humanart.json',
    OCHumanDataset='ochuman/test_ochuman.json',
    CrowdPoseDataset='crowdpose/test_crowdpose.json',
    AicDataset='aic/test_aic.json')
SPLITS = ('train', 'val', 'test')
WHOLE_BODY = dict(
    keypoints=17,
    foot_kpts=6,
    face_kpts=68,
    lefthand_kpts=21,
    righthand_kpts=21)


def inner_datasets(cfg, split):
    """Configs of MMPose's data sets in a data loader."""
    dataset = cfg[f'{split}_dataloader'].dataset
    return [part.dataset for part in dataset.get('datasets', [dataset])]


def make_annotation(ann_id, image_id, dataset_type, num_keypoints):
    """A person, or animal, in the left or right half of a small image."""
    left = 8 + 40 * (ann_id % 2)
    points = np.random.randint((left, 8, 1), (left + 40, 56, 3),
                               (num_keypoints, 3))
    points[1::5] = 0  # not labeled
    ann = dict(
        id=ann_id,
        image_id=image_id,
        category_id=1,
        bbox=[left, 8, 40, 48],
        area=1200.5,
        iscrowd=0,
        num_keypoints=int((points[:, 2] > 0).sum()),
        keypoints=points.ravel().tolist(),
        segmentation=[[left, 8, left + 40, 8, left + 40, 56, left, 56]])
    if dataset_type == 'CrowdPoseDataset':
        del ann['area'], ann['segmentation']
    elif dataset_type == 'AP10KDataset':
        ann['category_id'] = 1 + ann_id
        del ann['segmentation']
    elif dataset_type == 'CocoWholeBodyDataset':
        ends = np.cumsum(list(WHOLE_BODY.values()))
        for name, part in zip(WHOLE_BODY, np.split(points, ends[:-1])):
            ann[name] = part.ravel().tolist()
        ann['num_keypoints'] = int((points[:17, 2] > 0).sum())
    return ann


def make_data(root, dataset, num_keypoints):
    """Four images with two instances each, and one with nobody."""
    subfolder = ''
    if dataset.type == 'HumanArtDataset':
        subfolder = 'HumanArt/images/'
    data_root = root / dataset.data_root
    images, annotations = [], []
    for i in range(5):
        image = dict(
            id=i, file_name=f'{subfolder}{i}.jpg', width=96, height=64)
        if dataset.type == 'CrowdPoseDataset':
            image['crowdIndex'] = 0.2 * i
        path = data_root / dataset.data_prefix.img / image['file_name']
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.randint(0, 256, (64, 96, 3)))
        images.append(image)
        if i < 4:
            annotations += [
                make_annotation(2 * i + j, i, dataset.type, num_keypoints)
                for j in range(2)
            ]
    ids = sorted({ann['category_id'] for ann in annotations})
    categories = [dict(id=i, name=f'class {i}') for i in ids]
    path = data_root / dataset.ann_file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            dict(
                images=images, annotations=annotations,
                categories=categories)))


def shrink_transforms(node):
    """Make images small wherever a pipeline has their size."""
    if isinstance(node, list):
        for child in node:
            shrink_transforms(child)
    elif isinstance(node, dict):
        if node.get('type') == 'PoseResize':
            node.update(short_side=[48, 64], max_size=96)
        elif node.get('type') == 'PoseRandomCrop':
            node.update(min_size=32, max_size=64)
        elif node.get('type') == 'PoseFixedResize':
            node.update(size=64)
        elif node.get('type') == 'PoseMosaic':
            node.update(short_side=32)
        for child in node.values():
            shrink_transforms(child)


def shrink(cfg, folder):
    """Make a config train for two iterations on little data. The model stays
    what it is, but for the number of instances, which takes most of the time,
    and the depth of large backbones."""
    for split in SPLITS:
        loader = cfg[f'{split}_dataloader']
        shrink_transforms(loader.dataset.pipeline)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    backbone = cfg.model.backbone
    backbone.init_cfg = None
    if sum(backbone.get('depths', [0])) > 20:  # Swin-L has 200 M parameters
        backbone.depths = (1, 1, 1, 1)
    if backbone.type == 'HGNetV2' and len(backbone.out_indices) == 3:
        backbone.arch = 'b0'  # N is small already
        cfg.model.neck.update(
            in_channels=[256, 512, 1024], embed_dims=64, num_blocks=1)
        cfg.model.head.decoder.num_layers = 2
        cfg.model.head.decoder.layer_cfg.embed_dims = 64
    for augment in cfg.model.data_preprocessor.get('batch_augments') or []:
        augment.sizes = [32, 64]
    for name in cfg.default_hooks.get('augmentation') or {}:
        if name != 'type':  # in the only epoch, too
            cfg.default_hooks.augmentation[name] = (0, 1)
    cfg.model.head.num_queries = 5
    cfg.load_from = None
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = cfg.visualizer.name = folder.name
    cfg.train_cfg.update(max_epochs=1, val_begin=2)
    cfg.default_hooks.checkpoint = None


def perfect_sample(info):
    """What a model would return that knows the annotations of an image."""
    labeled = info['keypoints_visible'].any(1)
    labeled &= ~np.array(info['iscrowd'], dtype=bool)
    keypoints = info['keypoints'][labeled]
    return dict(
        id=info['id'],
        img_id=info['img_id'],
        gt_instances={},
        pred_instances=dict(
            keypoints=keypoints,
            keypoint_scores=np.ones(keypoints.shape[:2]),
            bbox_scores=np.ones(len(keypoints))))


def run(cfg):
    """Train and evaluate, then evaluate what is annotated.

    Returns:
        tuple[dict]: Metrics of the model, and of the annotated poses.
    """
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == runner.max_iters >= 2
    metrics = runner.val()
    if cfg.test_dataloader != cfg.val_dataloader:
        assert runner.test().keys() == metrics.keys()

    evaluator = runner.val_loop.evaluator
    dataset = runner.val_dataloader.dataset
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    evaluator.process(
        [perfect_sample(info) for info in infos if 'keypoints' in info])
    return metrics, evaluator.evaluate(len(infos))


@pytest.mark.parametrize('name', CONFIGS)
def test_config_is_consistent(name):
    cfg = Config.fromfile(CONFIGS[name])
    pipeline = cfg.train_dataloader.dataset.pipeline
    encoder, = [t.encoder for t in pipeline if t.type == 'GenerateTarget']
    assert encoder == dict(type='OKSKeypointCodec')
    assert cfg.optim_wrapper.clip_grad.max_norm > 0
    assert dict(type='EpochSeedHook') in cfg.custom_hooks
    assert cfg.default_hooks.evaluation_check.type == 'EvaluationCheckHook'
    for split in SPLITS:
        loader = cfg[f'{split}_dataloader']
        assert loader.dataset.metainfo == cfg.model.head.data_decoder.metainfo
        for dataset in inner_datasets(cfg, split):
            assert dataset.get('test_mode', False) == (split != 'train')
        if split == 'train':
            continue
        metric = cfg[f'{split}_evaluator']
        assert metric.ann_file == dataset.data_root + dataset.ann_file
        assert metric.score_mode == 'bbox' and metric.nms_mode == 'none'
        assert issubclass(METRICS.get(metric.type), RunImagesMixin)
        assert metric.get('max_dets', 20) == 20  # as published
        pack, = [
            t for t in loader.dataset.pipeline if t.type == 'PackPoseInputs'
        ]
        assert 'category_id' not in pack.meta_keys
        assert 'dataset_name' in pack.meta_keys  # for MultiDatasetEvaluator


@pytest.mark.parametrize('name', CONFIGS)
def test_config_runs(name, tmp_path):
    cfg = Config.fromfile(CONFIGS[name])
    best = cfg.default_hooks.checkpoint.save_best
    for split in SPLITS:
        whole = cfg[f'{split}_dataloader'].dataset
        for part in whole.get('datasets', [whole]):
            dataset = part.dataset
            # Without metainfo of its own, it is of other keypoints.
            metainfo = part.get('metainfo',
                                DATASETS.get(dataset.type).METAINFO)
            num_keypoints = parse_pose_metainfo(metainfo)['num_keypoints']
            make_data(tmp_path, dataset, num_keypoints)
            dataset.data_root = f'{tmp_path}/{dataset.data_root}'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = f'{tmp_path}/{evaluator.ann_file}'
    shrink(cfg, tmp_path)
    metrics, perfect = run(cfg)
    assert 0 <= metrics[best] <= 1
    assert perfect[best] == pytest.approx(1)


@pytest.mark.skipif(
    not SAMPLES.exists(), reason='needs sample images beside the project')
@pytest.mark.parametrize('name', [
    name
    for name in CONFIGS if 'res50_8xb2' in name and '_coco-800' not in name
])
def test_config_runs_on_real_images(name, tmp_path):
    # Human-Art's images lie where their names say.
    (tmp_path / 'HumanArt').mkdir()
    (tmp_path / 'HumanArt/images').symlink_to(SAMPLES / 'humanart')
    cfg = Config.fromfile(CONFIGS[name])
    best = cfg.default_hooks.checkpoint.save_best
    shrink(cfg, tmp_path)
    for split in SPLITS:
        for dataset in inner_datasets(cfg, split):
            ann_file = SAMPLES / SAMPLE_FILES[dataset.type]
            folder = ann_file.parent
            if 'HumanArt' in dataset.type:
                folder = tmp_path
            dataset.update(
                data_root='',
                ann_file=str(ann_file),
                data_prefix=dict(img=f'{folder}/'))
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(ann_file)
    # There may be no more than two images.
    cfg.train_dataloader.update(batch_size=1, num_batch_per_epoch=2)
    metrics, perfect = run(cfg)
    assert 0 <= metrics[best] <= 1
    assert perfect[best] == pytest.approx(1)


def test_published_recipe():
    cfg = Config.fromfile(R50_CONFIG)
    model = MODELS.build(cfg.model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 49_095_996  # of the official program
    assert cfg.model.head.num_queries == 100
    assert cfg.optim_wrapper.optimizer == dict(
        type='AdamW', lr=1e-4, weight_decay=1e-4)
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1
    assert cfg.train_cfg.max_epochs == 60
    assert cfg.param_scheduler[0].milestones == [50]
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.base_batch_size == 16
