"""A hook that looks before a run whether its parts fit each other."""
import logging
from typing import Iterator, Optional

from mmengine.evaluator import DumpResults, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from torch import nn

from ..checkpoints.fit import check_classes
from ..codec import OKSKeypointCodec


@HOOKS.register_module()
class FitCheckHook(Hook):
    """Check before a run that model, data and evaluators fit each other.

    Training images with more people than the model has queries are warned
    of: of such an image, it can learn only as many people as it has queries.
    Training data of other classes are refused, and evaluators that would
    compare other keypoints or classes than the model predicts, see
    :func:`check_evaluators`.

    Raises:
        ValueError: Before a run, if data or an evaluator do not fit.
    """

    def before_train(self, runner: Runner) -> None:
        """Check training data, and the evaluators of validation."""
        model = _unwrapped(runner.model)
        num_queries = getattr(getattr(model, 'head', None), 'num_queries', 0)
        if num_queries:
            _warn_of_crowds(runner.train_dataloader.dataset, num_queries)
        codec = _find_codec(model)
        if codec is not None:
            for part in _find_parts(runner.train_dataloader.dataset):
                check_classes(codec, part.metainfo)
        if runner.val_loop is not None:
            check_evaluators(model, runner.val_loop.evaluator)

    def before_val(self, runner: Runner) -> None:
        """Check the evaluators of validation."""
        check_evaluators(_unwrapped(runner.model), runner.val_loop.evaluator)

    def before_test(self, runner: Runner) -> None:
        """Check the evaluators of a test."""
        check_evaluators(_unwrapped(runner.model), runner.test_loop.evaluator)


def check_evaluators(model: nn.Module, evaluator: Evaluator) -> None:
    """Refuse evaluators of other keypoints or classes than a model predicts.

    Predicted keypoints, converted by ``pred_converter`` of ``CocoMetric``,
    must be as many as annotated ones, converted by ``gt_converter``.

    Args:
        model (nn.Module): The model.
        evaluator (Evaluator): With the metainfo of its data set.

    Raises:
        ValueError: If their numbers, or the classes, differ, or
            ``pred_converter`` takes a keypoint that the model does not
            predict.
    """
    codec = _find_codec(model)
    if codec is None:
        return
    for metric in evaluator.metrics:
        described = (metric.dataset_meta or {}).get('num_keypoints')
        if described is None or isinstance(metric, DumpResults):
            continue
        predicted, suffix = codec.num_keypoints, ''
        converter = getattr(metric, 'pred_converter', None)
        if converter is not None:
            sources = [pair[0] for pair in converter['mapping']]
            if not all(
                    isinstance(i, int) and 0 <= i < predicted
                    for i in sources):
                raise ValueError(
                    '`pred_converter` of the evaluator maps the keypoints '
                    f'{sources}, but the head predicts 0 to {predicted - 1}. '
                    'Each entry of `mapping` is (predicted, annotated).')
            predicted = converter['num_keypoints']
            suffix = ' (after `pred_converter`)'
        # CocoMetric has applied its `gt_converter` to the metainfo.
        if predicted != described:
            raise ValueError(
                f'the head predicts {predicted} keypoints{suffix}, but '
                f'`metainfo` of the data set describes {described}. Give '
                'model.head.data_decoder and the data set the same metainfo, '
                'or convert one to the other by `pred_converter` or '
                '`gt_converter` of the evaluator.')
        if not getattr(metric, 'class_agnostic', False):
            check_classes(codec, metric.dataset_meta)


def _find_codec(model: nn.Module) -> Optional[OKSKeypointCodec]:
    """The codec of a model, if it is one of this project."""
    codec = getattr(getattr(model, 'head', None), 'codec', None)
    return codec if isinstance(codec, OKSKeypointCodec) else None


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model without what several processes put around it."""
    return getattr(model, 'module', model)


def _warn_of_crowds(dataset, num_queries: int) -> None:
    """Warn of images with more people than queries."""
    for part in _find_parts(dataset):
        crowded = part.num_people > num_queries
        if crowded.any():
            print_log(
                f'{", ".join(part.ann_files)}: {crowded.sum()} images show '
                f'more people than the {num_queries} queries of the model, '
                f'up to {part.num_people.max()}. Of each, it learns no more '
                f'than {num_queries}. Raise num_queries of model.head, and '
                'max_per_img of its data_decoder.', 'current', logging.WARNING)


def _find_parts(dataset) -> Iterator:
    """Every :class:`PoseImageDataset` that a training set is made of."""
    if hasattr(dataset, 'num_people'):
        yield dataset
    elif hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from _find_parts(part)
    elif hasattr(dataset, 'dataset'):
        yield from _find_parts(dataset.dataset)
