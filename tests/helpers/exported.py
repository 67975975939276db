"""A small model of the drawn data set and its ONNX file."""
from pathlib import Path
from typing import Tuple

import torch
from mmpose.apis import init_model
from torch import nn

from projects.grouppose.inference import load_model


def write_weights(config: Path, folder: Path) -> Path:
    """Write weights with which people, keypoints and samples lie apart."""
    torch.manual_seed(0)
    model = init_model(str(config), device='cpu')
    with torch.no_grad():
        for name, parameter in model.head.named_parameters():
            if 'pose_embed' in name or 'sampling_offsets' in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif 'class_embed' in name and name.endswith('weight'):
                parameter.mul_(3)
    path = folder / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def write_onnx(config: Path, folder: Path) -> Tuple[nn.Module, Path, Path]:
    """Export a model.

    Returns:
        tuple: The model, its weights, and the ONNX file.
    """
    from projects.grouppose.deployment import export
    weights, path = write_weights(config, folder), folder / 'model.onnx'
    model = load_model(str(config), str(weights), 'cpu', prepare=False)
    export(model, str(path))
    return model, weights, path
