"""Write the annotations of Leeds Sports Pose, or of its extended training set,
in the COCO keypoint format.

    python tools/dataset_converters/lsp_to_coco.py data/lsp
    python tools/dataset_converters/lsp_to_coco.py data/lspet

The folder holds joints.mat and images/, as the archives do. Leeds Sports Pose
gets annotations/lsp_train.json and lsp_test.json, the first and the second
half of its images. The extended set, which has no split, gets lspet_train.json
and lspet_val.json, every tenth image.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
from scipy.io import loadmat

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from projects.grouppose.data.instances import stand_in_for_box  # noqa: E402
from projects.grouppose.data.loading import read_header  # noqa: E402

KEYPOINTS = ('right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee',
             'left_ankle', 'right_wrist', 'right_elbow', 'right_shoulder',
             'left_shoulder', 'left_elbow', 'left_wrist', 'neck', 'head_top')


def read_joints(path: Path) -> Tuple[str, np.ndarray]:
    """Read a file of joints.

    Args:
        path (Path): A MATLAB file with the matrix ``joints``: (3, 14, N) of
            Leeds Sports Pose, where the third row is 1 for hidden joints, or
            (14, 3, N) of the extended set, where it is 1 for labeled ones.

    Returns:
        tuple: 'lsp' or 'lspet', and x, y and visibility as COCO means it,
        (N, 14, 3).

    Raises:
        ValueError: If it is something else.
    """
    try:
        joints = loadmat(str(path))['joints']
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises many kinds
        raise ValueError(f'{path}: not a MATLAB file with the matrix `joints` '
                         f'({error}). Take it from the archive.') from error
    shape = joints.shape
    if joints.ndim != 3 or shape[:2] not in ((3, 14), (14, 3)):
        raise ValueError(
            f'{path}: `joints` is {" x ".join(map(str, shape))}, but 3 x 14 x '
            'images in Leeds Sports Pose and 14 x 3 x images in the extended '
            'set. Take it from the archive.')
    if shape[:2] == (3, 14):
        joints = joints.transpose(2, 1, 0).astype(float)
        joints[..., 2] = np.where(joints[..., 2] > 0, 1, 2)
        return 'lsp', joints
    joints = joints.transpose(2, 0, 1).astype(float)
    joints[..., 2] = np.where(joints[..., 2] > 0, 2, 0)
    return 'lspet', joints


def find_images(folder: Path, count: int) -> List[Path]:
    """The images of a folder in the order of their names.

    Raises:
        ValueError: If there are not as many.
    """
    images = sorted(
        path for path in folder.glob('*')
        if path.suffix.lower() in ('.jpg', '.png') and path.is_file())
    if len(images) != count:
        raise ValueError(f'{folder}: {len(images)} images, but joints.mat is '
                         f'of {count}. Unpack the whole archive.')
    return images


def convert(path: Path, index: int, joints: np.ndarray) -> Dict[str, dict]:
    """Describe an image and the person in it.

    Joints outside of the image are not labeled. Box and area, of which the
    archives have none, are those that stand in for missing ones in training:
    the labeled joints with an eighth of their longer extent on each side,
    within the image, and 0.53 of that box.

    Args:
        path (Path): The image.
        index (int): Its number, from 1 on.
        joints (np.ndarray): x, y and visibility, (14, 3).

    Returns:
        dict: COCO's image and annotation.
    """
    (width, height), _ = read_header(str(path))
    inside = ((joints[:, :2] >= 0) & (joints[:, :2] < (width, height))).all(1)
    joints = np.where((inside & (joints[:, 2] > 0))[:, None], joints, 0)
    annotation: Dict[str, Any] = dict(
        id=index,
        image_id=index,
        category_id=1,
        iscrowd=0,
        keypoints=[
            number for x, y, seen in joints.round(2).tolist()
            for number in (x, y, int(seen))
        ],
        num_keypoints=int((joints[:, 2] > 0).sum()),
        bbox=[0, 0, 0, 0],
        area=0)
    annotation.update(stand_in_for_box(annotation, (width, height)))
    low = np.clip(annotation['bbox'][:2], 0, (width, height))
    high = np.clip(
        np.add(annotation['bbox'][:2], annotation['bbox'][2:]), 0,
        (width, height))
    annotation['bbox'] = [*low.tolist(), *(high - low).tolist()]
    annotation['area'] = 0.53 * float((high - low).prod())
    image = dict(id=index, file_name=path.name, width=width, height=height)
    return dict(image=image, annotation=annotation)


def write(path: Path, entries: List[Dict[str, dict]]) -> None:
    """Write an annotation file."""
    content = dict(
        images=[entry['image'] for entry in entries],
        annotations=[entry['annotation'] for entry in entries],
        categories=[dict(id=1, name='person', keypoints=KEYPOINTS)])
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    print(f'{path}: {len(entries)} images')


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'folder', type=Path, help='with joints.mat and images/')
    folder = parser.parse_args(argv).folder
    try:
        name, joints = read_joints(folder / 'joints.mat')
        images = find_images(folder / 'images', len(joints))
        entries = [
            convert(path, index, one)
            for index, (path, one) in enumerate(zip(images, joints), 1)
        ]
        if name == 'lsp':
            half = len(entries) // 2
            splits = dict(train=entries[:half], test=entries[half:])
        else:
            splits = dict(train=list(entries), val=entries[9::10])
            del splits['train'][9::10]
        for split, part in splits.items():
            write(folder / 'annotations' / f'{name}_{split}.json', part)
    except (OSError, ValueError) as error:
        sys.exit(f'lsp_to_coco.py: {error}')


if __name__ == '__main__':
    main()
