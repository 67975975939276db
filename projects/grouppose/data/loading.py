"""From an image file to pixels: as annotations mean them in a data set, and
as an image viewer shows them anywhere else."""
import io
import struct
import zlib
from typing import Callable, Optional, Sequence, Tuple

import cv2
import mmcv
import numpy as np
from mmengine import fileio
from mmpose.datasets.transforms import LoadImage
from mmpose.registry import TRANSFORMS
from PIL import Image, ImageOps, UnidentifiedImageError

JPEG = b'\xff\xd8'  # what such files start with
ORIENTATION = 0x0112  # EXIF tag
SIDEWAYS = range(5, 9)  # its values with which width and height trade places
# What Pillow raises for files that are broken in one way or another.
BROKEN = (OSError, EOFError, IndexError, SyntaxError, TypeError, ValueError,
          struct.error, zlib.error, Image.DecompressionBombError)


@TRANSFORMS.register_module()
class LoadPoseImage(LoadImage):
    """MMPose's ``LoadImage`` with one clear error for a bad file.

    Images of a data set are decoded to BGR without following their EXIF
    orientation, as the annotations of COCO want. Transparent parts show
    white paper, here as everywhere. If the annotation file says
    another size than the image has, its keypoints are those of another
    version of the image, and it is refused; width and height may be swapped,
    as they are in CrowdPose's own files. Other images, which an
    inferencer passes by their path and which have no ``img_id``, are read
    with :func:`read_image`, so that poses are where a viewer shows people.
    An image that is passed as an array is taken as it is; a gray one gets
    three channels.

    Args:
        color_type (str): How to decode images of a data set, see mmcv.
            Defaults to 'color_ignore_orientation'.
        kwargs: Other arguments of ``LoadImage``.

    Raises:
        FileNotFoundError: If the file is missing.
        OSError: If it cannot be read.
        ValueError: If it cannot be decoded, is not the image that was
            annotated, or an array is no image.
    """

    def __init__(self, color_type: str = 'color_ignore_orientation', **kwargs):
        super().__init__(color_type=color_type, **kwargs)

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img']`` from ``results['img_path']``."""
        if 'img' not in results and 'img_id' in results:
            return self._load_annotated(results)
        if 'img' not in results:
            results['img'] = read_image(results['img_path'], self.backend_args)
        results['img'] = _three_channels(results['img'])
        return super().transform(results)

    def _load_annotated(self, results: dict) -> Optional[dict]:
        """Load an image of a data set."""
        try:
            img = self._read(results['img_path'])
        except (OSError, ValueError):
            if self.ignore_empty:
                return None
            raise
        results['img'] = img.astype(np.float32) if self.to_float32 else img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        self._check_size(results)
        return results

    def _read(self, path: str) -> np.ndarray:
        # Not by LoadImage, which makes all errors look the same.
        try:
            content = fileio.get(path, self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{path}: image not found. Check `data_root` and '
                '`data_prefix` of the data set, or remove the image from '
                'the annotation file.') from error
        except OSError as error:
            raise OSError(
                f'{path}: cannot be read as an image '
                f'({error.strerror or error}). Check `data_prefix` of the '
                'data set and `file_name` in the annotation file.') from error
        img = self._decode(content)
        if img is None:
            raise ValueError(
                f'{path}: cannot be decoded as an image. Replace the file, '
                'convert it to JPEG or PNG, or remove the image from the '
                'annotation file.')
        return img

    def _decode(self, content: bytes) -> Optional[np.ndarray]:
        """Pixels of an image file, None if it is broken."""
        image = None
        if self.color_type in ('color', 'color_ignore_orientation'):
            image = _open_transparent(content)
        if image is None:
            try:
                return mmcv.imfrombytes(
                    content,
                    flag=self.color_type,
                    backend=self.imdecode_backend)
            except (cv2.error, OSError):
                return None
        try:
            if self.color_type == 'color':
                image = ImageOps.exif_transpose(image)
            return _to_bgr(image)
        except BROKEN:
            return None

    def _check_size(self, results: dict) -> None:
        """Refuse another version of the image than was annotated."""
        path, size = results['img_path'], results['img'].shape[1::-1]
        stated = results.get('stated_size', size)
        problem = compare_sizes(
            stated, size, lambda: find_orientation(
                fileio.get(path, self.backend_args)) in SIDEWAYS)
        if problem in ('', 'swapped'):
            return  # swapped by mistake, and not needed
        remedy = SIZE_REMEDIES[problem]
        if problem == 'turned' and self.color_type == 'color':
            remedy = SIZE_REMEDIES['stored']
        raise ValueError(
            f'{path}: has {size[0]} x {size[1]} pixels, but `width` x '
            f'`height` in the annotation file are {stated[0]:g} x '
            f'{stated[1]:g}. {remedy}')


# What to do about an image that is not the one that was annotated.
SIZE_REMEDIES = dict(
    other='If the keypoints are in pixels of this file, correct `width` and '
    '`height`; otherwise put the image that was annotated in its place.',
    turned='It is turned by its EXIF orientation, which training does not '
    "follow. Save it upright, or set color_type='color' of LoadPoseImage.",
    stored='It is turned by its EXIF orientation, but was annotated as it is '
    "stored. Set color_type='color_ignore_orientation' of LoadPoseImage.")


def compare_sizes(stated: Sequence[float], size: Sequence[int],
                  is_sideways: Callable[[], bool]) -> str:
    """Compare the size that an annotation file states with that of the image
    that training sees.

    Args:
        stated (Sequence[float]): Width and height in the annotation file.
        size (Sequence[int]): Those of the image.
        is_sideways (Callable): Whether EXIF swaps the sides of the file;
            asked only where it matters.

    Returns:
        str: '' if they are the same but for rounding; 'swapped' if width and
        height are, which does no harm; 'turned' if so because the image is
        turned by EXIF, and 'other', both of which training refuses.
    """
    if _alike(stated, size):
        return ''
    if not _alike(stated, size[::-1]):
        return 'other'
    return 'turned' if is_sideways() else 'swapped'


def is_unicode(path: str) -> bool:
    """Whether a path is UTF-8; OpenCV crashes when it is given another."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _alike(size: Sequence[float], other: Sequence[float]) -> bool:
    """Whether sizes are the same but for rounding."""
    return all(abs(a - b) <= 1 + 0.005 * b for a, b in zip(size, other))


def find_orientation(content: bytes) -> int:
    """EXIF orientation of an image file, 1 (upright) if there is none."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.getexif().get(ORIENTATION, 1)
    except BROKEN:  # OpenCV reads some files that Pillow does not
        return 1


def read_header(path: str) -> Tuple[Tuple[int, int], int]:
    """Read the size of an image without decoding it, if possible.

    Args:
        path (str): File or URL.

    Returns:
        tuple: Width and height as they are stored, and the EXIF orientation.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        ValueError: If training could not decode it either.
    """
    with fileio.get_local_path(path) as local:
        try:
            with Image.open(local) as image:
                return image.size, image.getexif().get(ORIENTATION, 1)
        except FileNotFoundError:
            raise
        except BROKEN as error:
            # OpenCV reads some files that Pillow does not.
            img = cv2.imread(local) if is_unicode(local) else None
            if img is None:
                raise ValueError(
                    f'{path}: cannot be decoded as an image.') from error
            return img.shape[1::-1], 1


def read_image(path: str, backend_args: Optional[dict] = None) -> np.ndarray:
    """Read an image as a viewer shows it, see :func:`decode_image`.

    Args:
        path (str): File or URL.
        backend_args (dict, optional): Of MMEngine's file backend.

    Returns:
        np.ndarray: BGR, uint8, (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it cannot be decoded.
    """
    return decode_image(fileio.get(path, backend_args), path)


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode an image file as a viewer shows it.

    It is turned and mirrored as its EXIF orientation says. Transparent parts
    show white paper. 16 bits a channel are scaled to 8. Of an animation, the
    first picture is read.

    Args:
        content (bytes): Of the file.
        name (str): Of the file, for the message.

    Returns:
        np.ndarray: BGR, uint8, (H, W, 3).

    Raises:
        ValueError: If it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _to_bgr(ImageOps.exif_transpose(image))
    except BROKEN as error:
        # The message of this one names an object in memory.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = 'unknown format' if unknown else error
        raise ValueError(
            f'{name}: cannot be decoded as an image ({reason}). Replace the '
            'file, or convert it to JPEG or PNG.') from error


def _open_transparent(content: bytes) -> Optional[Image.Image]:
    """Open an image file that may have transparent parts; None for others."""
    if content[:2] == JPEG:  # nearly all files
        return None
    try:
        image = Image.open(io.BytesIO(content))
    except BROKEN:  # OpenCV reads some files that Pillow does not
        return None
    return image if _is_transparent(image) else None


def _is_transparent(image: Image.Image) -> bool:
    return image.mode[-1] in 'Aa' or 'transparency' in image.info


def _to_bgr(image: Image.Image) -> np.ndarray:
    """Pixels of an image of any mode, uint8, (H, W, 3)."""
    if image.mode == 'F':
        raise ValueError('floating-point pixels have no defined white')
    if image.mode.startswith('I'):
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 2**16:
            raise ValueError('more than 16 bits a pixel')
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if _is_transparent(image):
        image = image.convert('RGBA')
        paper = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(paper, image)
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def _three_channels(img: np.ndarray) -> np.ndarray:
    """Check an image that was passed as an array."""
    if isinstance(img, np.ndarray) and img.dtype == np.uint8 and img.size:
        if img.ndim == 2:
            img = img[..., None]
        if img.ndim == 3 and img.shape[2] == 1:
            img = np.repeat(img, 3, axis=2)
        if img.ndim == 3 and img.shape[2] == 3:
            return img
    found = type(img).__name__
    if isinstance(img, np.ndarray):
        found = f'{img.dtype} of shape {img.shape}'
    raise ValueError('An image that is passed as an array must be uint8, BGR '
                     f'(H, W, 3) or gray (H, W), but this is {found}.')
