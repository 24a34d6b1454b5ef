"""The schemas of all sections, so that a mistake anywhere in params.yaml shows before the first stage has run.

A check of spelling and ranges changes no result: this module is exempt from the dependencies in dvc.yaml.
"""

from fovea.params.augment import AugmentParams
from fovea.params.dataset import DatasetParams
from fovea.params.evaluate import EvaluateParams
from fovea.params.ingest import IngestParams
from fovea.params.machine import MachineParams
from fovea.params.report import ReportParams
from fovea.params.section import Section
from fovea.params.split import SplitParams
from fovea.params.train import TrainParams

SCHEMAS: dict[str, type[Section]] = {
    "dataset": DatasetParams,
    "ingest": IngestParams,
    "split": SplitParams,
    "augment": AugmentParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "report": ReportParams,
    "machine": MachineParams,
}
