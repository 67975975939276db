"""The head: encoder, query selection and decoder in their order, then the
criterion in training or the codec in prediction."""
from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.config import ConfigDict
from mmengine.model import ModuleDict, initialize
from mmengine.runner import autocast
from mmengine.structures import InstanceData
from mmpose.models.heads import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from mmpose.utils.typing import (Features, OptConfigType, OptSampleList,
                                 SampleList)
from torch import Tensor, nn

from .flip_test import predict_both_ways
from .joint_scores import joint_fields, predict_joints, score_joints
from .matcher import build_named
from .queries import MAIN, OutputSet, OutputSets, Queries
from .targets import PoseTargets, check_labels, stack_targets
from .tokens import Tokens, flatten_maps, padding_masks


@MODELS.register_module()
class GroupPoseHead(BaseHead):
    """Head of `Group Pose <https://arxiv.org/abs/2308.07313>`_ and of methods
    with the same decoder.

    It takes the maps of a neck and predicts N poses of K keypoints with a
    class score each, in four steps, each done by a registered part:

    1. :meth:`pre_transformer`: the maps become one sequence of tokens
    2. :meth:`forward_encoder`: tokens attend to each other
    3. :meth:`pre_decoder`: the best tokens become queries
    4. :meth:`forward_decoder`: queries become poses, layer by layer

    K and the OKS sigmas come from the codec.

    Args:
        decoder (dict): Config of the decoder; ``num_keypoints`` and
            ``num_classes`` are filled in.
        data_decoder (dict): Config of the codec that turns outputs into
            poses, the one that encodes the targets in the pipeline.
        criterion (dict, optional): Config of the training criterion, see
            :class:`SetCriterion`. Without one, the head cannot be trained.
        encoder (dict, optional): Config of the encoder. Without one the
            maps of the neck are the memory.
        positional_encoding (dict, optional): Config of the positional
            encoding of maps. It is called with a mask (B, H, W), True on
            padding; a learned embedding of the level is added to its result.
            Defaults to none, without an embedding of the level either.
        num_queries (int): Number of instances N. Defaults to 100.
        num_classes (int): Number of class logits Q. Defaults to 2, as in
            official checkpoints, of which the codec's ``person_label``
            stands for people; with ``classes`` in the codec's metainfo their
            number.
        query_selection (dict): Config of the query selection; its sizes are
            filled in. Defaults to :class:`PoseQuerySelection`.
        training_queries (dict[str, dict]): Configs of query groups that
            exist in training only, by name of the group. Each is a
            module in ``MODELS`` that is built with ``num_keypoints``,
            ``num_classes`` and ``embed_dims`` and called as
            ``part(queries, memory, targets)``; it returns a
            :class:`QueryGroup` or a list of them. Defaults to none.
        init_cfg (dict or list[dict], optional): Config of MMEngine's
            ``initialize``, which runs at the end of :meth:`init_weights`.
        moved: Arguments of version 0.1, which are refused.

    Raises:
        TypeError: If the config is of version 0.1.
        ValueError: If there are no queries, the codec has classes that the
            head has not, or widths or levels of the parts differ.
    """

    def __init__(self,
                 decoder: ConfigDict,
                 data_decoder: ConfigDict,
                 criterion: OptConfigType = None,
                 encoder: OptConfigType = None,
                 positional_encoding: OptConfigType = None,
                 num_queries: int = 100,
                 num_classes: int = 2,
                 query_selection: ConfigDict = dict(type='PoseQuerySelection'),
                 training_queries: Optional[Dict[str, ConfigDict]] = None,
                 init_cfg: OptConfigType = None,
                 **moved):
        if moved:
            names = ', '.join(map(repr, moved))
            remedy = ' Matcher and losses are in model.head.criterion since ' \
                'version 0.2, see CHANGELOG.md.'
            of_old = moved.keys() <= {
                'matcher', 'loss_cls', 'loss_kpt', 'loss_oks'
            }
            raise TypeError(f'GroupPoseHead: there is no argument {names}.' +
                            remedy * of_old)
        if not isinstance(num_queries, int) or num_queries < 1:
            raise ValueError('GroupPoseHead: num_queries must be a positive '
                             f'integer, not {num_queries!r}.')
        super().__init__(init_cfg)
        self.num_queries = num_queries
        self.num_classes = num_classes
        self.codec = KEYPOINT_CODECS.build(data_decoder)
        self._check_classes()
        self.register_buffer(
            'sigmas', torch.from_numpy(self.codec.sigmas), persistent=False)
        self._labels_checked = False

        sizes = dict(
            num_keypoints=self.codec.num_keypoints, num_classes=num_classes)
        self.decoder = build_named(MODELS, dict(decoder, **sizes),
                                   'model.head.decoder')
        self.encoder = encoder and build_named(MODELS, encoder,
                                               'model.head.encoder')
        sizes['embed_dims'] = self.decoder.embed_dims
        self.positional_encoding = None
        if positional_encoding is not None:
            self.positional_encoding = build_named(
                MODELS, positional_encoding, 'model.head.positional_encoding')
            self.level_embed = nn.Parameter(
                torch.empty(self.decoder.num_levels, self.decoder.embed_dims))
        self._check_sizes()
        self.query_selection = build_named(
            MODELS, dict(query_selection, num_queries=num_queries, **sizes),
            'model.head.query_selection')
        self.training_queries = ModuleDict({
            name:
            build_named(MODELS, dict(part, **sizes),
                        f'model.head.training_queries.{name}')
            for name, part in (training_queries or {}).items()
            if part is not None
        })
        self.criterion = criterion and build_named(MODELS, criterion,
                                                   'model.head.criterion')
        self.init_weights()

    def _check_classes(self) -> None:
        """Refuse to have too few class logits."""
        codec = self.codec
        if codec.first_label + len(codec.classes) <= self.num_classes:
            return
        if len(codec.classes) > 1:
            raise ValueError(
                f'GroupPoseHead: num_classes={self.num_classes}, but the '
                f'metainfo of the codec has {len(codec.classes)} `classes`. '
                'Make num_classes of model.head their number.')
        raise ValueError(
            f'GroupPoseHead: num_classes={self.num_classes}, but the codec '
            f'gives people the label {codec.first_label}. Raise num_classes '
            'or lower person_label of the codec.')

    def _check_sizes(self) -> None:
        """Refuse parts that do not fit together."""
        stated = {}
        if self.encoder is not None:
            stated['encoder'] = (self.encoder.embed_dims,
                                 self.encoder.num_levels)
        half = getattr(self.positional_encoding, 'num_pos_feats', None)
        if half is not None:
            stated['positional_encoding'] = (2 * half, self.decoder.num_levels)
        own = self.decoder.embed_dims, self.decoder.num_levels
        for part, found in stated.items():
            for size, value, wanted in zip(('width', 'number of levels'),
                                           found, own):
                if value != wanted:
                    raise ValueError(
                        f'GroupPoseHead: the {size} of {part} is {value}, '
                        f'but that of decoder is {wanted}. Make them the '
                        'same.')

    def init_weights(self) -> None:
        """Initialize every part by its own method, then by ``init_cfg``."""
        for part in self.children():
            if hasattr(part, 'init_weights'):
                part.init_weights()
        if self.positional_encoding is not None:
            nn.init.normal_(self.level_embed)
        if self.init_cfg:
            initialize(self, self.init_cfg)
        self._is_init = True

    def switch_to_deploy(self) -> None:
        """Drop what only training needs: its queries and the criterion."""
        self.training_queries = ModuleDict()
        self.criterion = None

    def forward(self,
                feats: Sequence[Tensor],
                batch_data_samples: OptSampleList = None) -> OutputSets:
        """Run the four steps on the maps of a batch.

        Args:
            feats (Sequence[Tensor]): L maps, (B, C, H_l, W_l).
            batch_data_samples (list[:obj:`PoseDataSample`], optional):
                Their metainfo tells which part of the maps is padding.
                Defaults to no padding.

        Returns:
            OutputSets: See :meth:`run_steps`.
        """
        return self.run_steps(feats, padding_masks(feats,
                                                   batch_data_samples))[0]

    def run_steps(
            self,
            feats: Sequence[Tensor],
            masks: Optional[Sequence[Tensor]] = None,
            targets: Optional[PoseTargets] = None
    ) -> Tuple[OutputSets, Queries]:
        """Run the four steps in their order.

        Args:
            feats (Sequence[Tensor]): L maps, (B, C, H_l, W_l).
            masks (Sequence[Tensor], optional): True on padding, bool,
                (B, H_l, W_l). Defaults to no padding.
            targets (PoseTargets, optional): The people of the batch, in
                training.

        Returns:
            tuple: The output sets by name, in the dtype of the weights, and
            the queries. An output set is a dict with class ``logits``
            (B, N, Q), normalized ``keypoints`` (B, N, K, 2) and whatever else
            the parts predict. Their names are:

            - ``last``: of the last decoder layer
            - ``d0``, ``d1``, ...: of the layers before it, in training
            - ``enc``: of the query selection, in training
            - ``GROUP.last``, ``GROUP.d0``, ..., ``GROUP.enc``: of the query
              groups that exist in training only
        """
        memory = self.forward_encoder(self.pre_transformer(feats, masks))
        queries = self.pre_decoder(memory, targets)
        return self.forward_decoder(memory, queries), queries

    def pre_transformer(self,
                        feats: Sequence[Tensor],
                        masks: Optional[Sequence[Tensor]] = None) -> Tokens:
        """Flatten the maps into one sequence of tokens.

        For arguments and shapes see :meth:`run_steps`.

        Returns:
            Tokens: With the features of the neck.

        Raises:
            ValueError: If there are more or fewer maps than levels.
        """
        if len(feats) != self.decoder.num_levels:
            raise ValueError(
                f'GroupPoseHead got {len(feats)} feature maps, but the '
                f'decoder is built for {self.decoder.num_levels} levels. Set '
                'num_outs of the neck and num_levels of the attentions to '
                'the same number.')
        return flatten_maps(feats, masks, self.sigmas.dtype)

    def forward_encoder(self, tokens: Tokens) -> Tokens:
        """Encode the tokens; without an encoder they stay as they are.

        Returns:
            Tokens: The memory.
        """
        if self.encoder is None:
            return tokens
        positions = None
        if self.positional_encoding is not None:
            positions = torch.cat([
                self.positional_encoding(mask).flatten(2).transpose(1, 2) +
                embed for mask, embed in zip(tokens.masks(), self.level_embed)
            ], 1)
        return tokens.with_features(self.encoder(tokens, positions))

    def pre_decoder(self,
                    memory: Tokens,
                    targets: Optional[PoseTargets] = None) -> Queries:
        """Select the instances, and add the query groups for training.

        Args:
            memory (Tokens): The encoder's output.
            targets (PoseTargets, optional): The people of the batch, in
                training.

        Returns:
            Queries: All groups of queries.
        """
        selected = self.query_selection(memory)
        main = self.decoder.initial_queries(selected.content, selected.poses)
        if not self.training:
            return Queries({MAIN: main})
        queries = Queries({MAIN: main}, dict(enc=selected.outputs),
                          self.query_selection, self.decoder.initial_queries)
        if targets is not None:
            for name, part in self.training_queries.items():
                queries.add(name, part(queries, memory, targets))
        return queries

    def forward_decoder(self, memory: Tokens, queries: Queries) -> OutputSets:
        """Turn queries into poses.

        Args:
            memory (Tokens): The encoder's output.
            queries (Queries): All groups of queries.

        Returns:
            OutputSets: See :meth:`run_steps`.
        """
        outputs = queries.name_sets(self.decoder(queries, memory))
        dtype = self.sigmas.dtype
        return {
            name: {
                key: value.to(dtype)
                for key, value in values.items()
            }
            for name, values in outputs.items()
        }

    def refine(self,
               memory: Tokens,
               poses: Tensor,
               fixed: Optional[Tensor] = None) -> OutputSet:
        """Run the decoder on given poses instead of those that it finds.

        Each person is refined by itself: the result does not depend on who
        else is given.

        Args:
            memory (Tokens): The encoder's output, of B images.
            poses (Tensor): Normalized, of any number N of people per image,
                (B, N, K, 2).
            fixed (Tensor, optional): True for keypoints that stay exactly
                where they are, bool, (B, N, K). Defaults to none.

        Returns:
            OutputSet: Of the last layer, see :meth:`run_steps`.
        """
        if not poses.shape[1]:  # nothing to attend with
            logits = poses.new_zeros(len(poses), 0, self.num_classes)
            return dict(logits=logits, keypoints=poses)
        content = self.query_selection.content_of(memory, poses)
        group = self.decoder.initial_queries(content, poses, fixed)
        others = ~torch.eye(
            poses.shape[1], dtype=torch.bool, device=poses.device)
        queries = Queries({MAIN: replace(group, mask=others)})
        return self.forward_decoder(memory, queries)['last']

    def loss(self,
             feats: Tuple[Tensor, ...],
             batch_data_samples: SampleList,
             train_cfg: OptConfigType = {}) -> Dict[str, Tensor]:
        """Compute the losses of a batch, see :class:`SetCriterion`.

        Args:
            feats (tuple[Tensor]): L maps, (B, C, H_l, W_l).
            batch_data_samples (list[:obj:`PoseDataSample`]): With the
                codec's targets.
            train_cfg (dict): Not used.

        Returns:
            dict[str, Tensor]: Weighted losses, and the mean OKS of matched
            pairs, which is no loss.

        Raises:
            ValueError: If the head has no criterion, or the targets are not
                those of its keypoints and classes.
        """
        if self.criterion is None:
            raise ValueError('GroupPoseHead: model.head.criterion is missing, '
                             'which training needs.')
        targets = stack_targets(batch_data_samples, self.sigmas)
        if not self._labels_checked and any(targets.counts):
            check_labels(targets, self.num_classes)
            self._labels_checked = True
        outputs, queries = self.run_steps(
            feats, padding_masks(feats, batch_data_samples), targets)
        # Mixed precision ends here.
        with autocast(device_type=self.sigmas.device.type, enabled=False):
            return self.criterion(outputs, targets, queries.groups)

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
            list[InstanceData]: One per image, with numpy arrays: keypoints
            in pixels of the input image (n, K, 2), keypoint_scores (n, K),
            bbox_scores (n, ) and the labels of the codec's classes (n, ),
            best first. With :class:`JointScores`, the scores of keypoints are
            the OKS that each is expected to have times the probability that
            it is labeled, and there are also labeled_probabilities and
            visible_probabilities (n, K), and covariances in square pixels of
            the original image, to which MMPose brings the keypoints later,
            (n, K, 2, 2).

        Raises:
            NotImplementedError: If ``multiscale_test`` is on.
            ValueError: If a transform has changed the size of an image
                without a word, or a flip test does not know which keypoints
                trade places.
        """
        if test_cfg.get('multiscale_test'):
            raise NotImplementedError(
                'GroupPoseHead does not support multiscale_test. Remove it '
                'from model.test_cfg.')
        for sample in batch_data_samples:
            _check_input_size(sample.metainfo)
        if test_cfg.get('flip_test'):
            described = self.codec.metainfo or {}
            predictions = predict_both_ways(self._predict_poses, feats,
                                            batch_data_samples, self.sigmas,
                                            described.get('flip_indices'))
        else:
            predictions = self._predict_poses(feats, batch_data_samples)
        for instances, sample in zip(predictions, batch_data_samples):
            self.score_joints(instances, sample)
        if test_cfg.get('score_thr'):
            predictions = [
                instances[instances.bbox_scores >= test_cfg['score_thr']]
                for instances in predictions
            ]
        return predictions

    def _predict_poses(self, feats: Tuple[Tensor, ...],
                       batch_data_samples: SampleList) -> List[InstanceData]:
        """What :meth:`predict` returns, without its options."""
        return self.decode(
            self.forward(feats, batch_data_samples)['last'],
            batch_data_samples)

    def decode(self, outputs: OutputSet,
               batch_data_samples: SampleList) -> List[InstanceData]:
        """Turn an output set into the poses of a batch.

        Args:
            outputs (OutputSet): Of the last layer.
            batch_data_samples (list[:obj:`PoseDataSample`]): With the sizes
                of the images in their metainfo.

        Returns:
            list[InstanceData]: See :meth:`predict`; joints are not scored
            yet, see :meth:`score_joints`.
        """
        predictions = []
        for sample, *of_image in zip(batch_data_samples,
                                     *self.decoded(outputs)):
            height, width = sample.metainfo['img_shape'][:2]
            logits, keypoints, *joints = of_image
            poses, keypoint_scores, scores, labels, *found = \
                self.codec.decode(logits, keypoints, (width, height), *joints)
            predictions.append(
                InstanceData(
                    keypoints=poses,
                    keypoint_scores=keypoint_scores,
                    bbox_scores=scores,
                    labels=labels,
                    **(joint_fields(*found) if found else {})))
        return predictions

    def score_joints(self, instances: InstanceData,
                     sample: PoseDataSample) -> None:
        """Score the joints of the decoded instances of an image, in place,
        where the model predicts what that needs, see :class:`JointScores`."""
        if 'covariances' in instances:
            score_joints(instances, sample.metainfo, self.codec.sigmas,
                         self.decoder.joint_scores.mixture.tolist())

    def decoded(self, outputs: OutputSet) -> Tuple[Tensor, ...]:
        """What the codec decodes: class logits, keypoints and, where they are
        predicted, joints, see :func:`predict_joints`, by which the logits are
        weighted on request."""
        logits, keypoints = outputs['logits'], outputs['keypoints']
        if 'joints' not in outputs:
            return logits, keypoints
        joints, part = outputs['joints'], self.decoder.joint_scores
        if part.reweight:
            logits = part.reweigh(logits, joints)
        return logits, keypoints, predict_joints(joints, keypoints,
                                                 self.sigmas)


def _check_input_size(meta: dict) -> None:
    """Refuse an image by whose size poses would be placed wrongly."""
    shape, size = tuple(meta['img_shape'][:2]), meta.get('input_size')
    if size is not None and tuple(int(side) for side in size) != shape[::-1]:
        raise ValueError(
            f'{meta.get("img_path")}: `input_size` is {tuple(size)}, but the '
            f'image has {shape[1]} x {shape[0]} pixels (`img_shape`). Use '
            'transforms that keep both, such as PoseResize, in the test '
            'pipeline.')
