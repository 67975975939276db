"""CVAT for images 1.1: an XML file with skeletons.

https://docs.cvat.ai/docs/other/xml_format describes it. A point of a skeleton
is ``outside`` (not there) or ``occluded`` (hidden).
"""
import re
from typing import Dict, List, Optional, Tuple
from xml.etree import ElementTree

import numpy as np

from .content import ContentBuilder, Converted
from .image_files import ImageFiles
from .source import Source

REMEDY = 'Export the task as "CVAT for images 1.1" or "COCO Keypoints 1.0".'


def matches(source: Source) -> bool:
    """Whether a file is XML with CVAT's root."""
    return re.match(rb'\s*(<\?xml.*?\?>\s*)?(<!--.*?-->\s*)*<annotations>',
                    source.head.lstrip(b'\xef\xbb\xbf'), re.DOTALL) is not None


def read(whole: Source, sources: List[Source]) -> Converted:
    """Read the skeletons of all images.

    Args:
        whole (Source): What the user gave.
        sources (list[Source]): The file.

    Returns:
        Converted: Content, folder and notes.

    Raises:
        ValueError: If it is not XML for images, or something in it is wrong.
    """
    source, *others = sources
    if others:
        raise ValueError(f'{whole.path}: {len(sources)} exports: '
                         f'{source.path}, {others[0].path}. Give one of them.')
    path = source.path
    text = path.read_bytes()
    try:
        if b'<!ENTITY' in text:
            raise ElementTree.ParseError('it defines entities')
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f'{path}: no XML of CVAT ({error}). Export it '
                         'again.') from error
    if root.find('track') is not None:
        raise ValueError(f'{path}: `track`: an export for video. {REMEDY}')
    skeletons = [(image, skeleton) for image in root.iter('image')
                 for skeleton in image.findall('skeleton')]
    if not skeletons:
        kinds = sorted(
            {item.tag
             for image in root.iter('image')
             for item in image})
        raise ValueError(
            f'{path}: no `skeleton` in its images, which have '
            f'{", ".join(kinds) or "nothing"}. Label the keypoints by a label '
            'of the type skeleton.')
    keypoints, links, labels = _describe(root, skeletons)
    builder = ContentBuilder(path, keypoints, links)
    for label in labels:
        builder.add_category(label)
    files = ImageFiles(whole.folder, path)
    absent = 0
    for image in root.iter('image'):
        where = f'{path}: image {image.get("name")}'
        try:
            size = int(image.attrib['width']), int(image.attrib['height'])
            name = files.name(image.attrib['name'])
        except (KeyError, ValueError) as error:
            raise ValueError(f'{where}: `name`, `width` and `height` are '
                             f'needed ({error}). Export it again.') from error
        image_id = builder.add_image(name, size, image.get('subset', ''))
        for skeleton in image.findall('skeleton'):
            points = _points(where, skeleton)
            if points:
                builder.add_object(image_id, skeleton.get('label', 'object'),
                                   builder.place(points))
            else:  # where a track is switched off, all points are outside
                absent += 1
    notes = []
    if absent:
        notes.append(f'{absent} skeletons with all points outside are left '
                     'out.')
    return Converted(builder.content, whole.folder, notes)


def _points(where: str,
            skeleton: ElementTree.Element) -> Dict[str, Tuple[float, ...]]:
    """Keypoints of a skeleton by name: x, y, visibility."""
    found: Dict[str, Tuple[float, ...]] = {}
    for point in skeleton.findall('points'):
        try:
            x, y = map(float, point.attrib['points'].split(','))
            if not np.isfinite([x, y]).all():
                raise ValueError('not finite')
        except (KeyError, ValueError) as error:
            raise ValueError(
                f'{where}: `points` of {point.get("label")} must be "x,y", '
                f'got {point.get("points")!r}. Correct it or export it again.'
            ) from error
        if point.get('outside', '0') != '1':
            hidden = point.get('occluded', '0') == '1'
            found[point.get('label', '')] = (x, y, 1 if hidden else 2)
    return found


def _describe(
        root: ElementTree.Element,
        skeletons: list) -> Tuple[List[str], List[Tuple[int, int]], List[str]]:
    """Names of the keypoints, links, and names of the labels in use."""
    labels = list(
        dict.fromkeys(
            skeleton.get('label', 'object') for _, skeleton in skeletons))
    names: List[str] = []
    links: List[Tuple[int, int]] = []
    for label in root.iter('label'):
        if label.findtext('name') in labels and label.findtext('svg'):
            nodes, edges = _read_drawing(label.findtext('svg') or '')
            names += [name for name in nodes.values() if name not in names]
            links += [(names.index(nodes[a]), names.index(nodes[b]))
                      for a, b in edges if a in nodes and b in nodes]
    for _, skeleton in skeletons:
        for point in skeleton.findall('points'):
            if point.get('label', '') not in names:
                names.append(point.get('label', ''))
    return names, list(dict.fromkeys(links)), labels


def _read_drawing(svg: str) -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    """Names of the nodes by number, and links, of a skeleton's drawing."""
    nodes: Dict[str, str] = {}
    edges = []
    for element in re.findall(r'<(?:circle|line)[^>]*>', svg):
        number, name = _value(element,
                              'node-id'), _value(element, 'label-name')
        ends = _value(element, 'node-from'), _value(element, 'node-to')
        if number and name:
            nodes[number] = name
        elif ends[0] and ends[1]:
            edges.append((ends[0], ends[1]))
    numbered = sorted(nodes.items(), key=lambda item: int(item[0]))
    return dict(numbered), edges


def _value(element: str, name: str) -> Optional[str]:
    """A data attribute of an SVG element."""
    found = re.search(f'data-{name}="([^"]*)"', element)
    return found[1] if found else None
