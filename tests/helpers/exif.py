"""Images as files store them, by EXIF orientation."""
import numpy as np

# How a file stores what a viewer shows, for each EXIF orientation.
STORED = {
    1: lambda img: img,
    2: lambda img: img[:, ::-1],
    3: lambda img: img[::-1, ::-1],
    4: lambda img: img[::-1],
    5: lambda img: img.transpose(1, 0, 2),
    6: lambda img: np.rot90(img, 1),
    7: lambda img: np.rot90(img, 2).transpose(1, 0, 2),
    8: lambda img: np.rot90(img, -1),
}
