"""Training targets of a batch: the labels of its data samples, stacked once
per step for matching costs, losses and log."""
from typing import List, NamedTuple, Optional

from mmpose.utils.typing import SampleList
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class PoseTargets(NamedTuple):
    """The people of a batch of B images, padded to T people per image, as
    many as the fullest image has.

    Attributes:
        labels (Tensor): Class of each person, int64, (B, T).
        keypoints (Tensor): Normalized (x, y), float32, (B, T, K, 2).
        visible (Tensor): 1 where a keypoint is labeled, float32, (B, T, K).
        areas (Tensor): Normalized areas, float32, (B, T).
        sigmas (Tensor): OKS sigmas of the keypoints, float32, (K, ).
        counts (list[int]): Number of people of each image; the entries of
            the tensors behind it are padding.
        boxes (Tensor, optional): Normalized center and size of each person's
            box, float32, (B, T, 4), where the pipeline has them.
        seen (Tensor, optional): 1 where a keypoint is labeled and not hidden,
            float32, (B, T, K), where the pipeline tells.
    """
    labels: Tensor
    keypoints: Tensor
    visible: Tensor
    areas: Tensor
    sigmas: Tensor
    counts: List[int]
    boxes: Optional[Tensor] = None
    seen: Optional[Tensor] = None


def stack_targets(batch_data_samples: SampleList,
                  sigmas: Tensor) -> PoseTargets:
    """Stack the training targets of :class:`OKSKeypointCodec` of all images.

    Args:
        batch_data_samples (list[:obj:`PoseDataSample`]): With the codec's
            fields in ``gt_instance_labels``.
        sigmas (Tensor): OKS sigmas, (K, ), on the device of the labels.

    Returns:
        PoseTargets: On the device of ``sigmas``.

    Raises:
        ValueError: If a sample has no encoded labels, or labels of another
            number of keypoints than there are sigmas.
    """
    labels = [sample.gt_instance_labels for sample in batch_data_samples]
    for sample, label in zip(batch_data_samples, labels):
        if 'keypoint_labels' not in label:
            raise ValueError(
                f'{sample.get("img_path")}: the data sample holds no '
                'training targets. Put dict(type="GenerateTarget", '
                'encoder=codec) with the OKSKeypointCodec of the head before '
                'PackPoseInputs in the training pipeline.')
        if label.keypoint_labels.shape[1] != len(sigmas):
            raise ValueError(
                f'{sample.get("img_path")}: {label.keypoint_labels.shape[1]} '
                f'keypoints per person, but the head predicts {len(sigmas)}. '
                'Use the same codec in the pipeline and the head.')

    def stack(field: str) -> Tensor:
        return pad_sequence([label[field] for label in labels],
                            batch_first=True).to(sigmas.device)

    def stack_known(field: str) -> Optional[Tensor]:
        return stack(field) if all(field in label for label in labels) else \
            None

    return PoseTargets(
        labels=stack('labels'),
        keypoints=stack('keypoint_labels'),
        visible=stack('keypoint_weights'),
        areas=stack('area_labels'),
        sigmas=sigmas,
        counts=[len(label.labels) for label in labels],
        boxes=stack_known('box_labels'),
        seen=stack_known('seen_labels'))


def check_labels(targets: PoseTargets, num_classes: int) -> None:
    """Refuse labels that the head has no class for. It reads a value from the
    device and thus waits for it.

    Args:
        targets (PoseTargets): The people of a batch, somebody among them.
        num_classes (int): Number of class logits Q.

    Raises:
        ValueError: If a label is not among them.
    """
    least, largest = targets.labels.aminmax()
    if least < 0 or largest >= num_classes:
        raise ValueError(
            f'The training targets give people the label {int(largest)}, but '
            f'the head has num_classes={num_classes}. Set person_label of '
            'the codec in the training pipeline to that of '
            'model.head.data_decoder, or num_classes to the number of '
            '`classes` in the metainfo.')
