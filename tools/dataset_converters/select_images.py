"""Write a COCO-format annotation file with a few of the images of another."""
import argparse
import json
import sys


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
    return parser.parse_args()


def select(content: dict, num_images: int) -> dict:
    """Keep the first images that show a person with labeled keypoints.

    Args:
        content (dict): A COCO-format file.
        num_images (int): Number of images to keep.

    Returns:
        dict: The same with the kept images and all their annotations.

    Raises:
        ValueError: If there are not as many such images.
    """
    useful = {
        ann['image_id']
        for ann in content['annotations']
        if ann.get('num_keypoints', 0) > 0 and not ann.get('iscrowd', 0)
    }
    if not 0 < num_images <= len(useful):
        raise ValueError(f'{num_images} images wanted, but {len(useful)} '
                         'show people with labeled keypoints.')
    kept = set(sorted(useful)[:num_images])
    return dict(
        content,
        images=[img for img in content['images'] if img['id'] in kept],
        annotations=[
            ann for ann in content['annotations'] if ann['image_id'] in kept
        ])


def main() -> None:
    args = parse_args()
    try:
        with open(args.src) as file:
            content = select(json.load(file), args.num_images)
        with open(args.dst, 'w') as file:
            json.dump(content, file)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f'select_images.py: {args.src}: {error!r}')
    print(f'{args.dst}: {len(content["images"])} images, '
          f'{len(content["annotations"])} annotations')


if __name__ == '__main__':
    main()
