"""Write a COCO-format annotation file with a few of the images of another."""
import argparse
import json
import sys
from collections import Counter
from typing import Optional


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='COCO-format annotation file')
    parser.add_argument('dst', help='annotation file to write')
    parser.add_argument(
        '--num-images',
        type=int,
        default=16,
        help='how many of the images with labeled people, lowest ids first '
        '(default: 16)')
    parser.add_argument(
        '--max-people',
        type=int,
        help='leave out images with more labeled people (default: no limit)')
    return parser.parse_args()


def read(path: str) -> dict:
    """Read an annotation file.

    Args:
        path (str): COCO-format annotations.

    Returns:
        dict: With the lists ``images`` and ``annotations``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file.
    """
    with open(path) as file:
        try:
            content = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'not valid JSON ({error})') from error
    for field, key in (('images', 'id'), ('annotations', 'image_id')):
        entries = content.get(field) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(
                isinstance(entry, dict) and isinstance(entry.get(key), int)
                for entry in entries):
            raise ValueError(
                'not a COCO-format annotation file: it needs a '
                f'list `{field}` of objects with a number `{key}`')
    return content


def select(content: dict,
           num_images: int,
           max_people: Optional[int] = None) -> dict:
    """Keep the first images that show people with labeled keypoints.

    Args:
        content (dict): A COCO-format file.
        num_images (int): Number of images to keep.
        max_people (int, optional): Largest number of labeled people in a
            kept image. Defaults to no limit.

    Returns:
        dict: The same with the kept images and all their annotations.

    Raises:
        ValueError: If there are not as many such images.
    """
    try:
        people = Counter(
            ann['image_id'] for ann in content['annotations']
            if not ann.get('iscrowd', 0) and _num_labeled(ann) > 0)
    except TypeError as error:
        raise ValueError('`num_keypoints` and `keypoints` of annotations must '
                         f'hold numbers ({error})') from error
    useful = sorted(image for image, count in people.items()
                    if max_people is None or count <= max_people)
    if not 0 < num_images <= len(useful):
        raise ValueError(f'{num_images} images wanted, but {len(useful)} '
                         'show people with labeled keypoints.')
    kept = set(useful[:num_images])
    return dict(
        content,
        images=[img for img in content['images'] if img['id'] in kept],
        annotations=[
            ann for ann in content['annotations'] if ann['image_id'] in kept
        ])


def _num_labeled(ann: dict) -> int:
    """Number of labeled keypoints, counted if the file does not say it."""
    if 'num_keypoints' in ann:
        return ann['num_keypoints']
    return sum(seen > 0 for seen in ann.get('keypoints', [])[2::3])


def main() -> None:
    args = parse_args()
    path = args.src
    try:
        content = select(read(args.src), args.num_images, args.max_people)
        path = args.dst
        with open(args.dst, 'w') as file:
            json.dump(content, file)
    except OSError as error:
        sys.exit(f'select_images.py: {path}: {error.strerror or error}')
    except ValueError as error:
        sys.exit(f'select_images.py: {path}: {error}')
    print(f'{args.dst}: {len(content["images"])} images, '
          f'{len(content["annotations"])} annotations')


if __name__ == '__main__':
    main()
