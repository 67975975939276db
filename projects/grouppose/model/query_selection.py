"""From the encoder's memory to instance queries: score every token, keep the
best N, and predict a first pose for each."""
from typing import Dict, List

import torch
from mmengine.model import BaseModule
from mmengine.runner import autocast
from mmpose.models.heads.transformer_heads.transformers.utils import FFN
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PoseQuerySelection(BaseModule):
    """Two-stage query selection.

    Args:
        num_queries (int): Number of instances N. A batch with fewer tokens
            gives one instance a token.
        num_keypoints (int): Number of keypoints K.
        num_classes (int): Number of class logits Q.
        embed_dims (int): Width C.
    """

    def __init__(self, num_queries: int, num_keypoints: int, num_classes: int,
                 embed_dims: int):
        super().__init__()
        self.num_queries = num_queries
        self.num_keypoints = num_keypoints
        self.output = nn.Linear(embed_dims, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        self.class_embed = nn.Linear(embed_dims, num_classes)
        self.pose_embed = FFN(embed_dims, 2 * embed_dims, 2 * num_keypoints, 4)

    def forward(self, memory: Tensor, memory_mask: Tensor, valid_sizes: Tensor,
                spatial_shapes: List[tuple]) -> Dict[str, Tensor]:
        """Select the instances of each image.

        Args:
            memory (Tensor): Encoder output, (B, S, C).
            memory_mask (Tensor): True on padding, bool, (B, S).
            valid_sizes (Tensor): Width and height of the unpadded part of
                each level in tokens, (B, L, 2).
            spatial_shapes (list[tuple[int]]): Height and width of each
                level.

        Returns:
            dict[str, Tensor]:

            - content: features of the selected tokens, detached, (B, N, C)
            - poses: their poses, normalized, detached, (B, N, K, 2)
            - enc_logits: their class logits, (B, N, Q)
            - enc_keypoints: their poses with gradient, (B, N, K, 2)
        """
        anchors, usable = self._token_anchors(memory_mask, valid_sizes,
                                              spatial_shapes)
        tokens = memory.masked_fill(~usable[..., None], 0)
        tokens = self.norm(self.output(tokens))
        # Half precision has too few numbers to rank thousands of tokens by.
        with autocast(device_type=tokens.device.type, enabled=False):
            logits = self.class_embed(tokens.to(self.class_embed.weight.dtype))

        # QUIRK: tokens that are not usable stay in the competition, and
        # the score is the best of all classes, the background one too.
        num_selected = min(self.num_queries, tokens.shape[1])
        selected = logits.max(-1).values.topk(num_selected, dim=1).indices

        def gather(values: Tensor) -> Tensor:
            index = selected[..., None].expand(-1, -1, values.shape[-1])
            return values.gather(1, index)

        tokens, anchors = gather(tokens), gather(anchors)
        offsets = self.pose_embed(tokens)
        offsets = offsets.unflatten(-1, (self.num_keypoints, 2))
        poses = (offsets + anchors[:, :, None]).sigmoid()
        return dict(
            content=tokens.detach(),
            poses=poses.detach(),
            enc_logits=gather(logits),
            enc_keypoints=poses)

    @staticmethod
    def _token_anchors(memory_mask: Tensor, valid_sizes: Tensor,
                       spatial_shapes: List[tuple]):
        """Each token's center as a logit, and whether the token is usable.

        Returns:
            tuple[Tensor]: anchors (B, S, 2), infinite for tokens that are
            not usable, whose poses are therefore exactly 1; usable (B, S).
        """
        centers = []
        for level, (height, width) in enumerate(spatial_shapes):
            y, x = torch.meshgrid(
                torch.arange(height, device=memory_mask.device) + 0.5,
                torch.arange(width, device=memory_mask.device) + 0.5,
                indexing='ij')
            grid = torch.stack([x, y], -1).view(1, -1, 2)
            centers.append(grid / valid_sizes[:, level, None])
        centers = torch.cat(centers, 1)
        inside = ((centers > 0.01) & (centers < 0.99)).all(-1)
        usable = inside & ~memory_mask
        anchors = torch.log(centers / (1 - centers))
        return anchors.masked_fill(~usable[..., None], float('inf')), usable
