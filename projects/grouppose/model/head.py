"""The head that strings the parts of Group Pose together: encoder, query
selection, decoder, and then the criterion or the codec."""
import math
from typing import Dict, List, Tuple

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.config import ConfigDict
from mmengine.model import initialize
from mmengine.runner import autocast
from mmengine.structures import InstanceData
from mmpose.models.heads.transformer_heads.base_transformer_head import \
    TransformerHead
from mmpose.models.heads.transformer_heads.transformers import \
    PositionEmbeddingSineHW
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.utils.typing import (Features, OptConfigType, OptSampleList,
                                 SampleList)
from torch import Tensor, nn

from .deformable_attention import DeformableEncoder
from .flip_test import predict_both_ways
from .losses import SetCriterion
from .targets import stack_targets
from .tokens import level_index, padding_masks, token_centers


@MODELS.register_module()
class GroupPoseHead(TransformerHead):
    """Head of `Group Pose <https://arxiv.org/abs/2308.07313>`_.

    It takes the maps of a neck and predicts N poses of K keypoints with a
    class score each. K and the OKS sigmas come from the codec.

    Args:
        encoder (dict): Arguments of :class:`DeformableEncoder`.
        decoder (dict): Config of the decoder; ``num_keypoints`` and
            ``num_classes`` are filled in.
        positional_encoding (dict): Arguments of MMPose's
            ``PositionEmbeddingSineHW``.
        data_decoder (dict): Config of the codec that turns outputs into
            poses, the one that encodes the targets in the pipeline.
        matcher (dict): Config of the matcher.
        loss_cls (dict): Config of the classification loss.
        loss_kpt (dict): Config of the keypoint loss.
        loss_oks (dict): Config of the OKS loss.
        num_queries (int): Number of instances N. Defaults to 100.
        num_classes (int): Number of class logits Q. Defaults to 2, as in
            official checkpoints, of which the codec's ``person_label``
            stands for people.
        query_selection (dict): Config of the query selection; its sizes are
            filled in. Defaults to :class:`PoseQuerySelection`.
        init_cfg (dict or list[dict], optional): What to do to the weights
            after :meth:`init_weights`, see MMEngine's ``initialize``.

    Raises:
        ValueError: If there are no queries, the codec's person label is not a
            class of the head, or widths or levels of the parts differ.
    """

    default_init_cfg = None

    def __init__(self,
                 encoder: ConfigDict,
                 decoder: ConfigDict,
                 positional_encoding: ConfigDict,
                 data_decoder: ConfigDict,
                 matcher: ConfigDict,
                 loss_cls: ConfigDict,
                 loss_kpt: ConfigDict,
                 loss_oks: ConfigDict,
                 num_queries: int = 100,
                 num_classes: int = 2,
                 query_selection: ConfigDict = dict(type='PoseQuerySelection'),
                 init_cfg: OptConfigType = None):
        if not isinstance(num_queries, int) or num_queries < 1:
            raise ValueError('GroupPoseHead: num_queries must be a positive '
                             f'integer, not {num_queries!r}.')
        super().__init__(
            encoder=encoder,
            decoder=decoder,
            positional_encoding=positional_encoding,
            num_queries=num_queries,
            init_cfg=init_cfg)
        self.codec = KEYPOINT_CODECS.build(data_decoder)
        if self.codec.person_label >= num_classes:
            raise ValueError(
                f'GroupPoseHead: num_classes={num_classes}, but the codec '
                f'gives people the label {self.codec.person_label}. Raise '
                'num_classes or lower person_label of the codec.')
        self.register_buffer(
            'sigmas', torch.from_numpy(self.codec.sigmas), persistent=False)

        self.positional_encoding = PositionEmbeddingSineHW(
            **positional_encoding)
        self.encoder = DeformableEncoder(**encoder)
        embed_dims = self.encoder.embed_dims
        num_levels = self.encoder.layers[0].self_attn.num_levels
        self.level_embed = nn.Parameter(torch.empty(num_levels, embed_dims))
        sizes = dict(
            num_keypoints=self.codec.num_keypoints, num_classes=num_classes)
        self.query_selection = MODELS.build(
            dict(
                query_selection,
                num_queries=num_queries,
                embed_dims=embed_dims,
                **sizes))
        self.decoder = MODELS.build(dict(decoder, **sizes))
        self.criterion = SetCriterion(matcher, loss_cls, loss_kpt, loss_oks)
        self._check_sizes()
        self.init_weights()

    def _check_sizes(self) -> None:
        """Refuse parts that do not fit together."""
        source = 'encoder.layer_cfg.self_attn_cfg'
        width = self.encoder.embed_dims
        if width % 4:
            raise ValueError(f'GroupPoseHead: {source}.embed_dims is {width}, '
                             'but must be a multiple of 4.')
        widths = {
            'encoder.layer_cfg.ffn_cfg.embed_dims':
            self.encoder.layers[0].ffn.embed_dims,
            'decoder.layer_cfg.embed_dims':
            self.decoder.embed_dims,
            '2 * positional_encoding.num_pos_feats':
            2 * self.positional_encoding.num_pos_feats,
        }
        for field, other in widths.items():
            if other != width:
                raise ValueError(
                    f'GroupPoseHead: {field} is {other}, but {source}.'
                    f'embed_dims is {width}. Make them the same.')
        levels = len(self.level_embed)
        if self.decoder.num_levels != levels:
            raise ValueError(
                'GroupPoseHead: decoder.layer_cfg.num_levels is '
                f'{self.decoder.num_levels}, but {source}.num_levels is '
                f'{levels}. Make them the same.')

    def init_weights(self) -> None:
        """Initialize as the official program does.

        Matrices from Xavier's uniform distribution; the last layer of every
        pose head zero, so that poses start where their anchors are; class
        scores start at 0.01. The heads of all decoder layers start equal.
        Last comes what ``init_cfg`` asks for.
        """
        parts = [self.encoder, self.decoder, self.query_selection.output]
        for part in parts:
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention):
                nn.init.zeros_(module.in_proj_bias)
                nn.init.zeros_(module.out_proj.bias)
            elif isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.normal_(self.level_embed)

        class_embeds = [*self.decoder.class_embeds]
        pose_embeds = [*self.decoder.pose_embeds]
        for head in [*class_embeds, self.query_selection.class_embed]:
            head.reset_parameters()
            nn.init.constant_(head.bias, -math.log((1 - 0.01) / 0.01))
        for head in [*pose_embeds, self.query_selection.pose_embed]:
            for layer in head.layers:
                layer.reset_parameters()
            nn.init.zeros_(head.layers[-1].weight)
            nn.init.zeros_(head.layers[-1].bias)
        for first, *others in (class_embeds, pose_embeds):
            for other in others:
                other.load_state_dict(first.state_dict())
        if self.init_cfg:
            initialize(self, self.init_cfg)
        self._is_init = True

    def forward_encoder(self,
                        feats: Tuple[Tensor],
                        batch_data_samples: OptSampleList = None) -> Dict:
        """Let the tokens of all levels attend to each other.

        Args:
            feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
            batch_data_samples (list[:obj:`PoseDataSample`], optional):
                Their metainfo tells which part of the maps is padding.
                Without them nothing is.

        Returns:
            dict: memory (B, S, C), memory_mask (B, S), valid_sizes and
            valid_ratios (B, L, 2), spatial_shapes (list of (H, W)).
        """
        if len(feats) != len(self.level_embed):
            raise ValueError(
                f'GroupPoseHead got {len(feats)} feature maps, but the '
                f'encoder is built for {len(self.level_embed)} levels. Set '
                'num_outs of the neck and num_levels of the attentions to '
                'the same number.')
        return self.encode(feats, padding_masks(feats, batch_data_samples))

    def encode(self, feats: Tuple[Tensor], masks: List[Tensor]) -> Dict:
        """What :meth:`forward_encoder` does, with the padding given.

        Args:
            feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
            masks (list[Tensor]): True on padding, bool, (B, H_l, W_l).

        Returns:
            dict: As :meth:`forward_encoder` returns it.
        """
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in feats], 1)
        positions = torch.cat([
            self.positional_encoding(mask).flatten(2).transpose(1, 2) + embed
            for mask, embed in zip(masks, self.level_embed)
        ], 1)
        memory_mask = torch.cat([mask.flatten(1) for mask in masks], 1)

        # QUIRK: the valid part is read off the first row and column.
        # Mixed precision is for features, not for geometry.
        valid_sizes = torch.stack([
            torch.stack([(~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)], -1)
            for mask in masks
        ], 1).to(self.level_embed.dtype)
        spatial_shapes = [tuple(x.shape[-2:]) for x in feats]
        levels = level_index(spatial_shapes, tokens.device)
        valid_ratios = valid_sizes / levels['spatial_shapes'].flip(-1)
        memory = self.encoder(
            query=tokens,
            query_pos=positions,
            key_padding_mask=memory_mask,
            reference_points=token_centers(spatial_shapes, valid_ratios),
            **levels)
        return dict(
            memory=memory,
            memory_mask=memory_mask,
            valid_sizes=valid_sizes,
            valid_ratios=valid_ratios,
            spatial_shapes=spatial_shapes)

    def forward_decoder(self, memory: Tensor, memory_mask: Tensor,
                        valid_sizes: Tensor, valid_ratios: Tensor,
                        spatial_shapes: List[tuple]) -> Dict:
        """Select instances and refine their poses.

        Args and shapes: see :meth:`forward_encoder`.

        Returns:
            dict: hidden_states and poses, a list entry a decoder layer, see
            :meth:`GroupPoseDecoder.forward`; enc_logits (B, N, Q) and
            enc_keypoints (B, N, K, 2) of the query selection.
        """
        selected = self.query_selection(memory, memory_mask, valid_sizes,
                                        spatial_shapes)
        hidden_states, poses = self.decoder(
            content=selected['content'],
            poses=selected['poses'],
            memory=memory,
            memory_mask=memory_mask,
            valid_ratios=valid_ratios,
            **level_index(spatial_shapes, memory.device))
        return dict(
            hidden_states=hidden_states,
            poses=poses,
            enc_logits=selected['enc_logits'],
            enc_keypoints=selected['enc_keypoints'])

    def forward_out_head(self, batch_data_samples: OptSampleList,
                         hidden_states: List[Tensor], poses: List[Tensor],
                         enc_logits: Tensor,
                         enc_keypoints: Tensor) -> Dict[str, Tensor]:
        """Predict classes and keypoints.

        Returns:
            dict[str, Tensor]: ``logits`` (O, B, N, Q) and ``keypoints``
            (O, B, N, K, 2), normalized, both of the dtype of the weights.
            In training, the O output sets are the decoder's layers and then
            the encoder's proposals; otherwise the last decoder layer alone.
        """
        layers = range(len(hidden_states))
        if not self.training:
            layers = layers[-1:]
        outputs = [
            self.decoder.predict(i, hidden_states[i], poses[i]) for i in layers
        ]
        if self.training:
            outputs.append((enc_logits, enc_keypoints))
        logits, keypoints = zip(*outputs)
        dtype = self.level_embed.dtype
        return dict(
            logits=torch.stack(logits).to(dtype),
            keypoints=torch.stack(keypoints).to(dtype))

    def loss(self,
             feats: Tuple[Tensor],
             batch_data_samples: SampleList,
             train_cfg: OptConfigType = {}) -> Dict[str, Tensor]:
        """Compute the losses of a batch, see :class:`SetCriterion`.

        Args:
            feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
            batch_data_samples (list[:obj:`PoseDataSample`]): With the
                codec's targets.
            train_cfg (dict): Not used.

        Returns:
            dict[str, Tensor]: Weighted losses and the mean OKS.
        """
        targets = stack_targets(batch_data_samples, self.sigmas)
        outputs = self.forward(feats, batch_data_samples)
        # Mixed precision ends here.
        with autocast(device_type=self.sigmas.device.type, enabled=False):
            return self.criterion(outputs['logits'], outputs['keypoints'],
                                  targets)

    def predict(self,
                feats: Features,
                batch_data_samples: SampleList,
                test_cfg: OptConfigType = {}) -> List[InstanceData]:
        """Predict the poses of a batch.

        Options of ``test_cfg``:

        - flip_test (bool): Predict the mirrored batch, too, and average the
          poses on which both agree, see :func:`predict_both_ways`.
        - score_thr (float): Least score of a pose.

        Args:
            feats (tuple[Tensor] | list[tuple[Tensor]]): L maps,
                (B, C, H_l, W_l), and in a flip test those of the mirrored
                batch, too.
            batch_data_samples (list[:obj:`PoseDataSample`]): With the sizes
                of the images in their metainfo.
            test_cfg (dict): The model's test config.

        Returns:
            list[InstanceData]: numpy arrays for each image: keypoints in
            pixels of the input image (n, K, 2), keypoint_scores (n, K) and
            bbox_scores (n, ), best first.

        Raises:
            NotImplementedError: If ``multiscale_test`` is on.
            ValueError: If the data set has another number of keypoints, or
                a flip test does not know which are left and right.
        """
        if test_cfg.get('multiscale_test'):
            raise NotImplementedError(
                'GroupPoseHead does not support multiscale_test. Remove it '
                'from model.test_cfg.')
        if test_cfg.get('flip_test'):
            predictions = predict_both_ways(self._predict_poses, feats,
                                            batch_data_samples, self.sigmas)
        else:
            predictions = self._predict_poses(feats, batch_data_samples)
        if test_cfg.get('score_thr'):
            predictions = [
                instances[instances.bbox_scores >= test_cfg['score_thr']]
                for instances in predictions
            ]
        return predictions

    def _predict_poses(self, feats: Tuple[Tensor],
                       batch_data_samples: SampleList) -> List[InstanceData]:
        """What :meth:`predict` returns, without its options."""
        outputs = self.forward(feats, batch_data_samples)

        predictions = []
        for logits, keypoints, sample in zip(outputs['logits'][-1],
                                             outputs['keypoints'][-1],
                                             batch_data_samples):
            self._check_dataset(sample)
            height, width = sample.metainfo['img_shape']
            poses, keypoint_scores, scores = self.codec.decode(
                logits, keypoints, (width, height))
            predictions.append(
                InstanceData(
                    keypoints=poses,
                    keypoint_scores=keypoint_scores,
                    bbox_scores=scores))
        return predictions

    def _check_dataset(self, sample) -> None:
        """Refuse a data set whose keypoints are not those of the codec."""
        flip_indices = sample.metainfo.get('flip_indices')
        if flip_indices is None:
            return
        if len(flip_indices) != self.codec.num_keypoints:
            raise ValueError(
                f'{sample.metainfo.get("img_path")}: the data set has '
                f'{len(flip_indices)} keypoints, the head predicts '
                f'{self.codec.num_keypoints}. Give the codec the metainfo of '
                'the data set that the model was trained on, and evaluate on '
                'a data set with the same keypoints.')
