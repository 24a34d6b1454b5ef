"""A classifier as an ONNX graph: from squares on, what `Classifier.see` does, in one file that explains itself."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fovea.classifier.classifier import Classifier
from fovea.errors import UserError
from fovea.evaluation.predict import view
from fovea.evaluation.unlike import NEIGHBOURS, SMALL, kept_features
from fovea.training.forward import INFERENCE_BATCH
from fovea.training.loss import probabilities
from fovea.training.model import first_line
from fovea.training.scaling import Scaling

LARGEST = 2**31  # bytes of an ONNX file, which is one message of protobuf
INPUT = "squares"


class Seen(NamedTuple):
    """What a graph says of n images: its outputs, in this order, by these names."""

    probabilities: np.ndarray  # float32 (n, classes)
    calibrated: np.ndarray     # float32 (n, classes)
    distance: np.ndarray       # float32 (n,), to the training images; above 1 is unlike them, NaN unknown
    unlike: np.ndarray         # bool (n,)


class Graph(nn.Module):
    """The outputs of `Seen` for squares uint8 (n, size, size, 3), in torch alone."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier, self.model = classifier, classifier.model
        self.scaling = Scaling(classifier.record["scaling"], classifier.device)
        self.register_buffer("features", torch.from_numpy(classifier.prediction.reference.features))
        self.register_buffer("pixels", torch.from_numpy(classifier.prediction.reference.pixels))

    def forward(self, squares: Tensor) -> tuple[Tensor, ...]:
        record, prediction = self.classifier.record, self.classifier.prediction
        side = record["size"]
        first = (squares.shape[1] - side) // 2
        inputs = self.scaling(squares[:, first : first + side, first : first + side].permute(0, 3, 1, 2))
        views = torch.cat([view(inputs, number) for number in range(prediction.views)])
        with kept_features(self.model) as kept:
            logits = self.model(views)
        each = probabilities(record["loss"], logits)  # float64: a temperature makes small ones large
        chances = each.unflatten(0, (prediction.views, -1)).mean(0)
        distance = self._distance(kept[0].unflatten(0, (prediction.views, -1))[0], squares)
        return chances.float(), _scaled(chances, prediction.temperature).float(), distance.float(), distance > 1

    def _distance(self, features: Tensor, squares: Tensor) -> Tensor:
        """As `Reference.distances`."""
        limits = self.classifier.prediction.reference.limits or (float("nan"), float("nan"))
        known: Any = (self.features, self.pixels)
        both = zip(known, (nn.functional.normalize(features), _shrunk(squares)), limits, strict=True)
        return torch.stack([_nearest(each, new) / limit for each, new, limit in both]).amax(0)


def _nearest(known: Tensor, new: Tensor) -> Tensor:
    """As `evaluation.unlike.nearest`."""
    known, new = known.double(), new.double()
    squares = (new**2).sum(1, keepdim=True) + (known**2).sum(1) - 2 * new @ known.T
    smallest = torch.topk(squares, min(NEIGHBOURS, len(known)), largest=False).values
    return torch.sqrt(smallest[:, -1].clamp(min=0))


def _shrunk(squares: Tensor) -> Tensor:
    """As `evaluation.unlike.shrunk`, but where a mean of pixels lies between two levels."""
    side = squares.shape[1]
    covered = (np.arange(SMALL + 1)[:, None] * side / SMALL - np.arange(side)).clip(0, 1)  # of a pixel, up to an edge
    shares = torch.from_numpy(np.diff(covered, axis=0) * SMALL / side).float()             # (SMALL, side)
    means = torch.einsum("ih,nhwc,jw->nijc", shares, squares.float(), shares)
    return means.round().flatten(1) / 255


def _scaled(chances: Tensor, temperature: float | None) -> Tensor:
    """As `evaluation.calibration.scaled`."""
    if temperature is None:
        return chances
    return torch.softmax(torch.log(chances.clamp(min=np.finfo(np.float64).tiny)) / temperature, dim=1)


def to_onnx(classifier: Classifier) -> Any:
    """The classifier, on the CPU, as an `onnx.ModelProto` for any number of squares; the same one gives the same bytes.

    Raises UserError if the extra is not installed, the graph would be too large for one file, or torch can't export
    the model.
    """
    require_onnx()
    if sum(value.nbytes for value in classifier.model.state_dict().values()) >= 0.98 * LARGEST:
        raise UserError(f"{classifier.record['model']}: an ONNX file can't have its 2 GB or more; export it as .pt")
    size = classifier.record["square"]["image_size"]
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    try:
        with quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                Graph(classifier).eval(), (example,), dynamo=True, verbose=False, input_names=[INPUT],
                output_names=list(Seen._fields), dynamic_shapes={INPUT: {0: torch.export.Dim("n")}},
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        cause: Any = error
        while cause.__cause__:
            cause = cause.__cause__
        raise UserError(f"{classifier.record['model']}: torch can't export it to ONNX ({first_line(cause)}); "
                        "export it as .pt") from None
    return described(program.model_proto, classifier)


def described(proto: Any, classifier: Classifier) -> Any:
    """`proto` with `metadata` instead of the lines of code that torch notes, paths of this machine, at each node."""
    for part in (proto.graph.node, proto.graph.value_info, proto.graph.input, proto.graph.output,
                 proto.graph.initializer, [proto.graph]):
        for each in part:
            del each.metadata_props[:]
    write_metadata(proto, metadata(classifier))
    return proto


def metadata(classifier: Classifier) -> dict[str, Any]:
    """What whoever has the file alone must know to use it, as plain values."""
    record, prediction = classifier.record, classifier.prediction
    return {
        "input": "RGB levels 0 to 255, cropped, resized and normalised as `square` says; the graph does all else",
        "square": record["square"],
        "classes": record["classes"],
        "positive": record["positive"],
        "operating_points": [point._asdict() for point in prediction.points],  # of `probabilities`
        "temperature": prediction.temperature,
        "views": prediction.views,
        "scaling": record["scaling"],
        "loss": record["loss"],
        "model": record["model"],
        "model_md5": prediction.model,
        "data": prediction.data,
    }


def write_metadata(proto: Any, values: dict[str, Any]) -> None:
    """As all the `metadata_props` of `proto`: text as it is, other values as JSON."""
    del proto.metadata_props[:]
    for key, value in values.items():
        proto.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))


def open_session(proto: Any) -> Any:
    """An `onnxruntime.InferenceSession` on as many threads of the CPU as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(session: Any, squares: np.ndarray) -> Seen:
    """The outputs for squares uint8 (n, size, size, 3), n above 0, in batches."""
    parts = [session.run(list(Seen._fields), {INPUT: squares[first : first + INFERENCE_BATCH]})
             for first in range(0, len(squares), INFERENCE_BATCH)]
    return Seen(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def require_onnx() -> None:
    """Raises UserError if the extra `onnx` is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"an .onnx file needs {error.name}, which is not installed: uv sync --extra onnx") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporter and quantizer say of their own progress, of deprecations, and of graphs that fail."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
