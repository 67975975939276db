"""The decoder of DETRPose: poses as one first guess and a distribution of
offsets to it, which every layer sharpens."""
from typing import Optional

from mmengine.model import ModuleList
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.registry import MODELS
from torch import Tensor

from .decoder import GroupPoseDecoder
from .detrpose_layer import Gate
from .distribution import OffsetDistribution
from .initialization import init_pose_embed
from .pose_frame import pose_size
from .queries import OutputSet, OutputSets, Queries, move, with_center
from .tokens import Tokens


@MODELS.register_module()
class DETRPoseDecoder(GroupPoseDecoder):
    """Decoder of `DETRPose <https://arxiv.org/abs/2506.13027>`_.

    After the first layer, a head predicts an initial pose. Every layer adds
    to the logits of a distribution over offsets from it, so that layers
    refine a distribution rather than a point, and to the class score a term
    for what is in the image at the keypoints. Keypoints may lie outside of
    the image.

    Args:
        num_layers (int): Number of layers D.
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        layer_cfg (dict): Arguments of the layers; ``type`` defaults to
            :class:`DETRPoseDecoderLayer`.
        reg_max (int): Number of bins less one. Defaults to 32.
        up (float): See :class:`OffsetDistribution`. Defaults to 0.5.
        reg_scale (int): Likewise. Defaults to 4.
        quality (dict, optional): Arguments of :class:`PoseQuality`, the term
            of the class score; None leaves it out. Defaults to its defaults.
        official_detach (bool): Add the positional term of a layer to what
            its pose head sees of the layer before. QUIRK: the official
            program adds it in place; weights that were trained so need it.
            Defaults to True.
        kwargs: See :class:`GroupPoseDecoder`. For ``relative_offsets``, bins
            are in units of the size of the initial pose.
    """

    full_precision = (*GroupPoseDecoder.full_precision, 'pre_pose_embed',
                      'distribution')

    def __init__(self,
                 num_layers: int,
                 num_keypoints: int,
                 num_classes: int,
                 layer_cfg: dict,
                 reg_max: int = 32,
                 up: float = 0.5,
                 reg_scale: int = 4,
                 quality: Optional[dict] = {},
                 official_detach: bool = True,
                 **kwargs):
        super().__init__(num_layers, num_keypoints, num_classes,
                         dict(dict(type='DETRPoseDecoderLayer'), **layer_cfg),
                         **kwargs)
        self.official_detach = official_detach
        width = self.embed_dims
        self.pre_pose_embed = FFN(width, width, 2, 3)
        self.pose_embeds = ModuleList([
            FFN(width, width, 2 * (reg_max + 1), 3) for _ in range(num_layers)
        ])
        self.distribution = OffsetDistribution(reg_max, up, reg_scale)
        self.add_quality(quality)

    def init_added(self) -> None:
        """Poses start where the query selection puts them."""
        init_pose_embed(self.pre_pose_embed)
        for module in self.modules():
            if isinstance(module, Gate):
                module.init_weights()
        super().init_added()

    def forward(self, queries: Queries, memory: Tokens) -> OutputSets:
        """Refine poses.

        Args:
            queries (Queries): T instances per image.
            memory (Tokens): The encoder's output.

        Returns:
            OutputSets: As in the base class, in training with ``'pre'``, the
            initial pose; and with the logits of the bins, ``corners``
            (B, T, K, 2 * (reg_max + 1)).
        """
        mask, fixed = queries.attention_mask(), queries.fixed
        query, references = queries.content, queries.references
        outputs: OutputSets = {}
        initial = corners = before = None
        for index, layer in enumerate(self.layers):
            query_pos = self.positional_term(references[:, :, 1:], memory)
            if before is not None and self.official_detach:
                before = before + query_pos[:, :, 1:]
            query = layer(
                query,
                query_pos,
                reference_points=self.sampling_frames(references, memory),
                memory=memory,
                attention_mask=mask)
            keypoints = query[:, :, 1:]
            if initial is None:
                initial = self.refine(references[:, :, 1:],
                                      self.pre_pose_embed(keypoints), fixed)
                if self.training:
                    outputs['pre'] = dict(
                        logits=self.class_embeds[0](query[:, :, 0]),
                        keypoints=initial)
                initial = initial.detach()
                unit = pose_size(initial) if self.relative_offsets else 1
            seen = keypoints if before is None else keypoints + before.detach()
            added = self.pose_embeds[index](seen)
            corners = added if corners is None else corners + added
            poses = move(initial, initial + unit * self.distribution(corners),
                         fixed)
            references = with_center(poses.detach())
            before = keypoints
            last = index == len(self.layers) - 1
            if last or self.training:
                outputs['last' if last else f'd{index}'] = self.judge(
                    index, query, poses, corners, memory)
        return outputs

    def judge(self, layer: int, query: Tensor, poses: Tensor, corners: Tensor,
              memory: Tokens) -> OutputSet:
        """The output set of a layer, its class scores with quality."""
        return dict(
            logits=self.score(layer, query, poses, memory),
            keypoints=poses,
            corners=corners,
            **self.predict_more(layer, query))
