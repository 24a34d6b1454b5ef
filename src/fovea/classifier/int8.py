"""A graph with weights and activations in eight bits, and what that costs.

Static quantisation by ONNX Runtime, in pairs of QuantizeLinear and DequantizeLinear. Weights, by channel, get seven of
the eight bits: processors without VNNI add products of two full bytes up in sixteen bits, which overflow, so that the
loss measured here would not be theirs. The range of an activation is the mean over batches of its extremes. With
SqueezeNet on aptos2019 that came closer to the whole graph than the extremes of all images, or percentiles of them,
which ONNX Runtime finds with all activations in memory.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fovea.classifier.onnx import INPUT, Seen, open_session, quiet, run
from fovea.evaluation.metrics import log_losses
from fovea.training.loss import decided
from fovea.training.scores import score

CALIBRATION = 256  # images
BATCH = 16         # of calibration, and of what is timed
ROUNDS = 7         # of timing
# Layers with weights, and what passes eight bits on. Softmax, sums and norms as well made ViT-tiny nine times worse
OPERATIONS = ["Conv", "Gemm", "MatMul", "Relu", "MaxPool", "Concat"]
DOUBLE = 11        # `onnx.TensorProto.DOUBLE`


class Reader:
    """Squares (n, size, size, 3) as the quantizer asks for them."""

    def __init__(self, squares: np.ndarray) -> None:
        self.batches = (squares[first : first + BATCH] for first in range(0, len(squares), BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The inputs of the next batch, None behind the last one."""
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def to_int8(proto: Any, squares: np.ndarray) -> Any:
    """A copy of the graph `proto` of `to_onnx` that computes its logits in eight bits; `squares` uint8 (n, size, size,
    3), of training images, give the ranges."""
    import onnx
    from onnxruntime import quantization

    with TemporaryDirectory() as folder, quiet():
        whole, small = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, whole)
        quantization.quantize_static(
            whole, small, Reader(squares), quantization.QuantFormat.QDQ, OPERATIONS, per_channel=True,
            reduce_range=True, activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8, nodes_to_quantize=before_probabilities(proto.graph),
            extra_options={"CalibMovingAverage": True},
        )  # fmt: skip
        return onnx.load(small)


def before_probabilities(graph: Any) -> list[str]:
    """Names of the nodes that the logits need: what comes before they become float64 for the probabilities."""
    to = next(node for node in _needed(graph, [Seen._fields[0]]) if node.op_type == "Cast"
              and any(each.name == "to" and each.i == DOUBLE for each in node.attribute))
    return [node.name for node in _needed(graph, to.input)]


def _needed(graph: Any, names: Iterable[str]) -> list[Any]:
    """The nodes that the values `names` are computed by, in their order."""
    makers, found, todo = {name: node for node in graph.node for name in node.output}, set(), list(names)
    while todo:
        node = makers.get(todo.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            todo += node.input
    return [node for node in graph.node if node.name in found]


def measured(loss: str, whole: Any, small: Any, squares: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Figures of two graphs on the same images, for JSON: `n`, `before` and `after`, `labels_changed`, and the
    `largest_difference` and `mean_difference` of a probability.

    loss: name of the model's; squares: uint8 (n, size, size, 3); targets: int64 (n,).
    """
    seen = [run(open_session(proto), squares) for proto in (whole, small)]
    labels = [decided(loss, each.probabilities.astype(float)) for each in seen]
    difference = np.abs(seen[1].probabilities - seen[0].probabilities)
    before, after = (_figures(each, label, targets) for each, label in zip(seen, labels, strict=True))
    return {
        "n": len(targets), "before": before, "after": after, "labels_changed": int((labels[0] != labels[1]).sum()),
        "largest_difference": float(difference.max()), "mean_difference": float(difference.mean()),
    }  # fmt: skip


def _figures(seen: Seen, labels: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    chances = seen.probabilities.astype(float)
    found = score(targets, chances, labels)
    return {"accuracy": found["accuracy"], "balanced_accuracy": found["balanced_accuracy"],
            "log_loss": float(log_losses(targets, chances).mean()), "unlike": float(seen.unlike.mean())}


def speeds(ways: list[Callable[[np.ndarray], Any]], squares: np.ndarray) -> list[float]:
    """ms that an image takes in each of some ways: the median of batches of up to `BATCH` squares, in turns."""
    batch = squares[:BATCH]
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, times in zip(ways, taken, strict=True):
            start = time.perf_counter()
            way(batch)
            times.append(time.perf_counter() - start)
    return [1000 * float(np.median(times)) / len(batch) for times in taken]
