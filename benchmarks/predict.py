"""What `fovea predict` takes for 6-megapixel JPEGs, beside decoding them and the bare forward pass alone.

    python -m benchmarks.predict

Each round takes all three, one after the other: the files to squares by as many threads as there are cores; a ResNet-18
in batches of 64 over tensors that are ready, at as many views; and the whole command but for loading the model and
writing the table. Share: what the first two take together of what the last takes. 1 is the limit.

Printed on 2 cores of a virtual machine with nothing beside it; a tenth goes to reading, scaling and the comparison with
the training images:

  n = 256 JPEGs of 2000 x 3000 px, ResNet-18 at 224 px, 2 cores, 5 rounds; median (least to most)
    decode     4.95 ms an image (4.93 to 5.12)
    forward   14.50 ms an image (14.16 to 14.74)
    predict   21.71 ms an image (20.25 to 23.92)
    share of the limit 0.888 (0.812 to 0.963)
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import torch

from fovea.cache.threads import one_thread_each, ordered_map
from fovea.classifier.classifier import Classifier
from fovea.classifier.images import list_images
from fovea.classifier.predict import predict
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.evaluation.prediction import Prediction
from fovea.evaluation.unlike import Reference
from fovea.training.forward import INFERENCE_BATCH
from fovea.training.model import build_model

IMAGES, DRAWN, SIDE, ROUNDS = 256, 8, 224, 5
HEIGHT, WIDTH = 2000, 3000
SQUARE = {"image_size": SIDE, "crop": "fundus", "fit": "pad", "interpolation": "bicubic", "exact": False,
          "normalise": "none"}  # fmt: skip
CPU = torch.device("cpu")


def write_photographs(folder: Path) -> None:
    """`IMAGES` JPEGs of 2000 x 3000 px, of which `DRAWN` are different."""
    for number in range(DRAWN):
        drawn = draw_photograph(f"{number}_left", number % 5, HEIGHT, 0)[0]
        data = encode_jpeg(cv2.resize(drawn, (WIDTH, HEIGHT)), 90)
        for copy in range(IMAGES // DRAWN):
            (folder / f"{number}-{copy}.jpg").write_bytes(data)


def make_classifier() -> Classifier:
    """An untrained ResNet-18 of five grades: what it predicts costs the same."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"outputs": 5, "hidden": 0, "dropout": 0.0, "size": SIDE, "stem": "standard"}
    model, _ = build_model("resnet18", **shape)
    record = {"model": "resnet18", **shape, "crop": None, "scaling": "imagenet", "loss": "cross_entropy",
              "square": SQUARE, "classes": list("01234")}
    features = torch.nn.functional.normalize(torch.randn(1000, 512)).half().numpy()
    reference = Reference(features, torch.rand(1000, 192).half().numpy(), (1.0, 1.0))
    found = Prediction("", {}, 1, None, [], reference)
    return Classifier(model.eval().to(memory_format=torch.channels_last), record, found, CPU)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    classifier = make_classifier()
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        images = list_images([folder])
        paths = [Path(image.shown) for image in images]
        inputs = torch.rand(INFERENCE_BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)

        def decode() -> None:
            with one_thread_each():
                list(ordered_map(lambda path: classifier.square(path.read_bytes()), paths, os.cpu_count() or 1))

        def forward() -> None:
            with torch.no_grad():
                for _ in range(IMAGES // INFERENCE_BATCH):
                    classifier.model(inputs)

        def whole() -> None:
            predict(classifier, images, 0, None, lambda batches, *_: iter(batches))

        for work in (decode, forward, whole):
            work()
        print(f"n = {IMAGES} JPEGs of 2000 x 3000 px, ResNet-18 at {SIDE} px, {os.cpu_count()} cores, {ROUNDS} rounds; "
              "median (least to most)")
        rounds = [[seconds(work) for work in (decode, forward, whole)] for _ in range(ROUNDS)]
    for name, times in zip(("decode", "forward", "predict"), zip(*rounds, strict=True), strict=True):
        each = sorted(1000 * one / IMAGES for one in times)
        print(f"  {name:<8} {statistics.median(each):6.2f} ms an image ({each[0]:.2f} to {each[-1]:.2f})")
    shares = sorted((one + two) / both for one, two, both in rounds)
    print(f"  share of the limit {statistics.median(shares):.3f} ({shares[0]:.3f} to {shares[-1]:.3f})")


if __name__ == "__main__":
    main()
