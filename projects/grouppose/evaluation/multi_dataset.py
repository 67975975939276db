"""Evaluation of several data sets in one run, each by its own metric."""
from typing import Any, Dict, Optional, Sequence, Union

from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from mmpose.evaluation.evaluators import MultiDatasetEvaluator
from mmpose.registry import DATASETS, EVALUATORS

from ..data.metainfo import load_metainfo


@EVALUATORS.register_module(name='MultiDatasetEvaluator', force=True)
class PoseMultiDatasetEvaluator(MultiDatasetEvaluator):
    """MMPose's ``MultiDatasetEvaluator`` for data sets with any metainfo.

    MMPose looks for the metainfo of a data set in its class. Where the config
    has one, for instance that of ``PoseImageDataset``, it is taken from there.
    Samples go to the metric of the data set whose ``dataset_name`` they have.
    It is registered in the place of MMPose's, whose configs it also serves.

    Args:
        metrics (Sequence[dict | BaseMetric]): A metric for each data set,
            with different values of ``prefix``.
        datasets (Sequence[dict]): Configs of the data sets, as in the data
            loader.

    Raises:
        ValueError: If a metric has no data set of its own, or a sample none
            of the data sets; the message names them and the remedy.
    """

    def __init__(self, metrics: Sequence[Union[dict, BaseMetric]],
                 datasets: Sequence[dict]):
        # Not that of MMPose, which reads the metainfo of classes.
        super(MultiDatasetEvaluator, self).__init__(metrics)
        if len(self.metrics) != len(datasets):
            raise ValueError(
                f'MultiDatasetEvaluator: {len(self.metrics)} `metrics` for '
                f'{len(datasets)} `datasets`. Give one for each.')
        prefixes = [metric.prefix for metric in self.metrics]
        if len(set(prefixes)) < len(prefixes):
            raise ValueError(
                f'MultiDatasetEvaluator: the prefixes of `metrics` are '
                f'{prefixes}, so that results would have the same names. Give '
                'each metric a `prefix` of its own.')
        self.metrics_dict: Dict[str, BaseMetric] = {}
        for metric, dataset in zip(self.metrics, datasets):
            metric.dataset_meta = load_metainfo(find_metainfo(dataset))
            name = metric.dataset_meta['dataset_name']
            if name in self.metrics_dict:
                raise ValueError(
                    'MultiDatasetEvaluator: the metainfo of two `datasets` '
                    f'has the `dataset_name` {name!r}, by which images are '
                    'told apart. Give one of them a copy of its metainfo with '
                    'another name.')
            self.metrics_dict[name] = metric

    def process(self,
                data_samples: Sequence[BaseDataElement],
                data_batch: Optional[Any] = None) -> None:
        """Pass a batch to the metrics of its data sets.

        Args:
            data_samples (Sequence[BaseDataElement]): Predictions.
            data_batch (dict): The batch of the data loader.
        """
        for sample in data_samples:
            name = sample.get('dataset_name')
            if name is None:
                raise ValueError(
                    'MultiDatasetEvaluator: samples do not say which data set '
                    "they belong to. Add 'dataset_name' to meta_keys of "
                    'PackPoseInputs in the pipeline.')
            if name not in self.metrics_dict:
                raise ValueError(
                    f'MultiDatasetEvaluator: no metric for {name!r}, only for '
                    f'{list(self.metrics_dict)}. Add the data set to '
                    '`datasets`.')
        super().process(data_samples, data_batch)


def find_metainfo(dataset: ConfigDict) -> dict:
    """Metainfo of a data set, from its config or else its class."""
    while not dataset.get('metainfo') and 'dataset' in dataset:
        dataset = dataset['dataset']  # in a wrapper
    return dataset.get('metainfo') or DATASETS.get(dataset['type']).METAINFO
