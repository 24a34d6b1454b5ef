"""An exported model against the original: ONNX, and ONNX in eight bits, on the validation images of real sets.

    FOVEA_REAL_DATA=<folder of the sets> python -m benchmarks.export [palm | aptos2019 ...] [key=value ...]

A short training each: palm with ResNet-18 at 80 px, aptos2019 with SqueezeNet 1.1 at 112 px; with
`train.weights=<state dict>` from weights. Milliseconds an image are of one process and batches of 16, in turns.

Printed on one of 2 cores of a virtual machine (AMD EPYC with VNNI), other work beside it, in one call for each set,
aptos2019 with the ImageNet features of SqueezeNet 1.1 as `train.weights`:

    threads: 1 on 2 cores; torch 2.15.0+cu132, onnxruntime 1.32.0
    palm, resnet18: n = 60 validation images, 256 training images for the ranges
      torch to ONNX: at most 3.6e-07 of a probability, 6.8e-04 of a distance; target: 1e-4 of a probability: met
      accuracy           0.9333  int8 0.9167
      balanced accuracy  0.9308  int8 0.9152
      log loss           0.2287  int8 0.2294
      unlike             0.0333  int8 0.0333
      int8 changes 1 labels, and a probability by 0.0267 at most, 0.0017 in the mean
      MB                 45.2  int8 11.8
      ms an image        torch 5.50 (1.00 times as fast)  ONNX 3.90 (1.41 times as fast)  int8 1.32 (4.18 times as fast)
    aptos2019, squeezenet1_1: n = 439 validation images, 256 training images for the ranges
      torch to ONNX: at most 1.3e-06 of a probability, 4.3e-04 of a distance; target: 1e-4 of a probability: met
      accuracy           0.7540  int8 0.7631
      balanced accuracy  0.4505  int8 0.4585
      log loss           0.7005  int8 0.7002
      unlike             0.0137  int8 0.0137
      int8 changes 10 labels, and a probability by 0.1517 at most, 0.0081 in the mean
      MB                 4.3  int8 2.2
      ms an image        torch 1.93 (1.00 times as fast)  ONNX 0.97 (2.00 times as fast)  int8 0.80 (2.41 times as fast)
"""

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from benchmarks.real_training import CPU, Built, asked, build, has_set, quiet, sections
from fovea.classifier import onnx as graphs
from fovea.classifier.classifier import Classifier
from fovea.classifier.export import LIMIT, Images, checked, part
from fovea.classifier.int8 import CALIBRATION, measured, speeds, to_int8
from fovea.evaluation.calibration import temperature
from fovea.evaluation.predict import predict
from fovea.evaluation.prediction import Prediction
from fovea.evaluation.unlike import make_reference
from fovea.training.loop import Trainer
from fovea.training.prepare import prepare

SAME = {"augment.crop": "none", "train.loss.class_weights": "none", "train.batch_size": 32}
ROWS: dict[str, dict[str, Any]] = {
    "palm": {**SAME, "augment.image_size": 80, "train.full.epochs": 12},
    "aptos2019": {
        **SAME, "augment.image_size": 112, "train.model": "squeezenet1_1", "train.scaling": "caffe",
        "train.full.epochs": 4, "train.full.lr": 0.0003,
    },
}  # fmt: skip


def trained(built: Built, params: dict[str, Any]) -> Classifier:
    """Train as stages/train.py does, and find what stages/evaluate.py finds for predictions."""
    train, cache = params["train"], built.cache
    parts = prepare(train, cache, CPU)
    Trainer(parts, train, quiet, lambda *_: None).run()
    record = {"model": train.model, "crop": train.crop, **parts.shape, "scaling": train.scaling,
              "loss": train.loss.name, "square": cache.attrs["square"], "classes": cache.attrs["classes"],
              "positive": cache.attrs["positive"]}
    views = params["evaluate"].views
    table = predict(parts.model, record, cache, CPU, views, quiet)
    reference = make_reference(parts.model, record, cache, CPU)
    found = Prediction("", {}, views, temperature(table, record["classes"]), [], reference)
    return Classifier(parts.model.eval(), record, found, CPU)


def compare(name: str, classifier: Classifier, training: Images, validation: Images) -> None:
    whole = graphs.to_onnx(classifier)
    chance, distance = checked(whole, classifier, validation.squares)
    small = to_int8(whole, training.squares)
    loss = measured(classifier.record["loss"], whole, small, *validation)
    sessions = [partial(graphs.run, graphs.open_session(proto)) for proto in (whole, small)]
    times = speeds([classifier.see, *sessions], validation.squares)
    print(f"{name}, {classifier.record['model']}: n = {loss['n']} validation images, {len(training.targets)} training "
          "images for the ranges")
    print(f"  torch to ONNX: at most {chance:.1e} of a probability, {distance:.1e} of a distance; target: 1e-4 of a "
          f"probability: {'met' if chance <= LIMIT else 'NOT met'}")
    for key in loss["before"]:
        print(f"  {key.replace('_', ' '):<18} {loss['before'][key]:.4f}  int8 {loss['after'][key]:.4f}")
    print(f"  int8 changes {loss['labels_changed']} labels, and a probability by {loss['largest_difference']:.4f} at "
          f"most, {loss['mean_difference']:.4f} in the mean")
    print(f"  MB                 {whole.ByteSize() / 1e6:.1f}  int8 {small.ByteSize() / 1e6:.1f}")
    print("  ms an image        " + "  ".join(
        f"{way} {ms:.2f} ({times[0] / ms:.2f} times as fast)" for way, ms in zip(("torch", "ONNX", "int8"), times,
                                                                                 strict=True)), flush=True)


def main() -> None:
    names, changes = asked(sys.argv[1:], ROWS)
    print(f"threads: {torch.get_num_threads()} on {os.cpu_count()} cores; torch {torch.__version__}, onnxruntime "
          f"{onnxruntime.__version__}")
    for name in names:
        if not has_set(name):
            print(f"{name}: skipped, it is not there")
            continue
        params = sections(name, {**ROWS[name], **changes})
        with tempfile.TemporaryDirectory() as folder:
            built = build(name, params, Path(folder), test=False)
            classifier = trained(built, params)
            training, validation = part(built.cache, "train", CALIBRATION), part(built.cache, "val", len(built.cache))
            assert training and validation
            compare(name, classifier, training, validation)


if __name__ == "__main__":
    main()
