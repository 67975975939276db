"""ED-Pose to evaluate and measure: the network is MMPose's, and what keeps it
from running is put right around it."""
from typing import Dict, List, Tuple

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from mmpose.models.heads import EDPoseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from mmpose.utils.typing import OptConfigType, OptSampleList, SampleList
from torch import Tensor, nn

from ..model.deformable_attention import DeformableAttention

NO_TRAINING = ('MMPose has no losses for ED-Pose: it cannot be trained here. '
               'Evaluate a checkpoint with tools/test.py, or train one with '
               'the program of its authors.')


@MODELS.register_module()
class EDPoseInferenceHead(EDPoseHead):
    """MMPose's head of `ED-Pose <https://arxiv.org/abs/2302.01593>`_, for
    inference only.

    Layers and names of the weights are MMPose's. This is what is wrong in
    MMPose 1.3.2, how it shows, and what is done here instead:

    - ``EDPoseLabel.decode`` keeps the best (query, class) pairs and forgets
      the class: logits that do not stand for people come out as people. It
      also takes ``input_size``, which is (width, height), for (height,
      width): with any other pipeline than that of MMPose's config, which has
      it the wrong way round, too, poses are stretched. Here
      :class:`OKSKeypointCodec` decodes, which counts as the official program
      of ED-Pose does.
    - No ``bbox_scores`` are predicted, and MMPose takes all people for
      equally certain wherever it asks for them. Here they are.
    - ``init_weights`` raises a TypeError: 'FFN' object is not subscriptable.
      Here it draws weights to measure the model with.
    - ``forward`` fails without data samples, and with it every program that
      counts FLOPs. Here nothing is padding then.
    - Flip tests and training are refused by assertions that never fail: an
      UnboundLocalError, or losses that are None. Here they raise.
    - The mask of the attention between people and keypoints is filled row by
      row, in thousands of operations an image. Here it takes a few.
    - The output head is not told how many queries and layers there are, so
      that any number of queries but 900 fails an assertion. Here it is.

    Args:
        decoder (dict): Config of MMPose's ``EDPoseDecoder``; the number of
            keypoints is filled in.
        out_head (dict): Config of ``EDPoseOutHead``; its sizes are filled
            in.
        data_decoder (dict): Config of the codec, with the metainfo of the
            data set.
        num_queries (int): Number of boxes that the first decoder layers
            refine. Defaults to 900.
        fast_attention (bool): Compute deformable attention as Group Pose
            does, see :class:`DeformableAttention`, with the same weights and
            results. Defaults to False: as in MMPose.
        kwargs: Other arguments of MMPose's head.
    """

    def __init__(self,
                 decoder: ConfigDict,
                 out_head: ConfigDict,
                 data_decoder: ConfigDict,
                 num_queries: int = 900,
                 fast_attention: bool = False,
                 **kwargs):
        codec = KEYPOINT_CODECS.build(data_decoder)
        super().__init__(
            num_queries=num_queries,
            num_feature_levels=decoder['num_feature_levels'],
            num_keypoints=codec.num_keypoints,
            as_two_stage=True,
            decoder=decoder,
            out_head=dict(
                out_head,
                num_queries=num_queries,
                num_pred_layer=decoder['num_layers']),
            **kwargs)
        self.codec = codec
        if fast_attention:
            for layer in self.encoder.layers:
                layer.self_attn = DeformableAttention(**layer.self_attn_cfg)
            for layer in self.decoder.layers:
                layer.cross_attn = DeformableAttention(**layer.cross_attn_cfg)

    def init_weights(self) -> None:
        """Draw weights to measure the model with.

        Matrices from Xavier's uniform distribution, but zero where boxes and
        poses are refined, which start at the proposals then. Class scores
        keep the 0.01 that MMPose starts them at.
        """
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.normal_(self.level_embed)
        for embed in (*self.out_head.bbox_embed, *self.out_head.pose_embed,
                      *self.out_head.pose_hw_embed, self.enc_out_bbox_embed):
            nn.init.zeros_(embed.layers[-1].weight)
            nn.init.zeros_(embed.layers[-1].bias)
        self._is_init = True

    def forward_encoder(self,
                        img_feats: Tuple[Tensor, ...],
                        batch_data_samples: OptSampleList = None) -> Dict:
        """Let the tokens of all levels attend to each other.

        Args:
            img_feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
            batch_data_samples (list[:obj:`PoseDataSample`], optional):
                Their metainfo tells which part of the maps is padding.
                Without them nothing is.

        Returns:
            dict: Arguments of ``forward_decoder``.

        Raises:
            NotImplementedError: In training mode.
        """
        if self.training:
            raise NotImplementedError(NO_TRAINING)
        if batch_data_samples is None:
            shape = tuple(img_feats[0].shape[-2:])
            sample = PoseDataSample(
                metainfo=dict(img_shape=shape, batch_input_shape=shape))
            batch_data_samples = [sample] * len(img_feats[0])
        return super().forward_encoder(img_feats, batch_data_samples)

    def prepare_for_denosing(self, targets: SampleList,
                             device: torch.device) -> tuple:
        """Say which queries attend to each other.

        Args:
            targets (list[:obj:`PoseDataSample`]): Not used.
            device (torch.device): Where the mask is needed.

        Returns:
            tuple: What MMPose's method returns in inference: the fourth
            entry is the mask, True where a query does not see another, bool,
            (T, T), the others are None. Queries are the box and then the
            keypoints of each person. They see each other within a person,
            and boxes see boxes.
        """
        length = 1 + self.num_keypoints
        queries = torch.arange(self.num_group * length, device=device)
        people, boxes = queries // length, queries % length == 0
        seen = people[:, None] == people
        seen |= boxes[:, None] & boxes
        return None, None, None, ~seen, None

    def predict(self,
                feats: Tuple[Tensor, ...],
                batch_data_samples: SampleList,
                test_cfg: OptConfigType = {}) -> List[InstanceData]:
        """Predict the poses of a batch.

        Args:
            feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
            batch_data_samples (list[:obj:`PoseDataSample`]): With the sizes
                of the images in their metainfo.
            test_cfg (dict): The model's test config: ``score_thr`` is the
                least score of a pose.

        Returns:
            list[InstanceData]: numpy arrays for each image: keypoints in
            pixels of the input image (n, K, 2), keypoint_scores (n, K) and
            bbox_scores (n, ), best first, and labels (n, ).

        Raises:
            NotImplementedError: If ``flip_test`` or ``multiscale_test`` is
                on.
        """
        for option in ('flip_test', 'multiscale_test'):
            if test_cfg.get(option):
                raise NotImplementedError(
                    f'EDPoseInferenceHead does not support {option}. Remove '
                    'it from model.test_cfg.')
        logits, _, outputs = self.forward(feats, batch_data_samples)
        # The coordinates, and then constants.
        keypoints = outputs[..., :2 * self.num_keypoints]
        keypoints = keypoints.unflatten(-1, (self.num_keypoints, 2))

        predictions = []
        for sample, *output in zip(batch_data_samples, logits, keypoints):
            height, width = sample.metainfo['img_shape'][:2]
            poses, keypoint_scores, scores, labels = self.codec.decode(
                *output, (width, height))
            instances = InstanceData(
                keypoints=poses,
                keypoint_scores=keypoint_scores,
                bbox_scores=scores,
                labels=labels)
            predictions.append(
                instances[scores >= test_cfg.get('score_thr', 0.0)])
        return predictions

    def loss(self, *args, **kwargs) -> None:
        """Refuse to train.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(NO_TRAINING)
