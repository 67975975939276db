"""An exported model in the place of a config's own, to be evaluated."""
import copy
import json
from typing import List, Tuple

import onnx
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.utils.typing import OptConfigType, SampleList
from torch import Tensor

from ..model.joint_scores import NORMAL, score_joints
from .comparison import Batch, as_instances, load_graph


def exported_model(model: ConfigDict, path: str) -> ConfigDict:
    """Config of a model that computes with an ONNX file.

    Args:
        model (ConfigDict): Config of the model that was exported.
        path (str): The file.
    """
    return ConfigDict(
        type=model.type,
        backbone=dict(type='ImagesAsFeatures'),
        head=dict(
            type='ExportedHead',
            path=path,
            data_decoder=copy.deepcopy(model.head.data_decoder)),
        test_cfg=dict(
            score_thr=(model.get('test_cfg') or {}).get('score_thr')),
        data_preprocessor=copy.deepcopy(model.data_preprocessor))


@MODELS.register_module()
class ImagesAsFeatures(BaseModule):
    """In the place of a backbone: hands images on."""

    def forward(self, images: Tensor) -> Tuple[Tensor]:
        """(B, 3, H, W) to a tuple with the same."""
        return images,


@MODELS.register_module()
class ExportedHead(BaseHead):
    """All of an exported model, images in and poses out, in ONNX Runtime on
    the CPU.

    Args:
        path (str): ONNX file, see :func:`export`.
        data_decoder (dict): Config of the codec, for the number of keypoints
            and the classes.

    Raises:
        ValueError: If ONNX Runtime cannot load the file.
    """

    def __init__(self, path: str, data_decoder: ConfigDict):
        super().__init__()
        self.codec = KEYPOINT_CODECS.build(data_decoder)
        try:
            with open(path, 'rb') as file:
                content = file.read()
            self.run = load_graph(content, torch.get_num_threads())
        except OSError:
            raise
        except Exception as error:  # ONNX Runtime's have no other base
            raise ValueError(f'{path}: ONNX Runtime cannot load it ({error}). '
                             'Export the model again.') from error
        properties = onnx.load_model_from_string(content).metadata_props
        metadata = {entry.key: entry.value for entry in properties}
        self.mixture = json.loads(
            metadata.get('joint_mixture', json.dumps(NORMAL)))

    def forward(self, feats: Tuple[Tensor],
                batch_data_samples: SampleList) -> List[InstanceData]:
        """See :meth:`predict`."""
        return self.predict(feats, batch_data_samples)

    def predict(self,
                feats: Tuple[Tensor],
                batch_data_samples: SampleList,
                test_cfg: OptConfigType = {}) -> List[InstanceData]:
        """Predict the poses of a batch, see :meth:`GroupPoseHead.predict`.

        Args:
            feats (tuple[Tensor]): The images, normalized and padded,
                (B, 3, H, W).
            batch_data_samples (list[:obj:`PoseDataSample`]): With the sizes
                of the images in their metainfo.
            test_cfg (dict): ``score_thr`` is the least score of a pose.
        """
        sizes = [
            sample.metainfo['img_shape'][1::-1]
            for sample in batch_data_samples
        ]
        least = (test_cfg or {}).get('score_thr') or 0
        outputs = self.run(Batch(feats[0].cpu(), torch.tensor(sizes)))
        found = [as_instances(*of_image) for of_image in zip(*outputs)]
        for poses, sample in zip(found, batch_data_samples):
            if 'covariances' in poses:
                score_joints(poses, sample.metainfo, self.codec.sigmas,
                             self.mixture)
        return [poses[poses.bbox_scores >= least] for poses in found]

    def loss(self, *args, **kwargs):
        """Refused.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError('An exported model cannot be trained.')
