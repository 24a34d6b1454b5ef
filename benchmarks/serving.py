"""Requests a second of `mlflow models serve` on a registered model, with one client and with a hundred at once.

    python -m benchmarks.serving

Printed on a virtual machine with 2 cores that had as much other work again and more, which all three lines shared:

    n = 5 rounds of 100 JPEGs of 3000 x 2000 px, 2.2 MB each; resnet18 at 224 px, two views
    2 cores, torch 2.15.0+cu132 on the CPU; images/s: median (range)
    decoding and forward pass alone     5.0 (4.7 to 5.1)
    one client                          3.5 (3.2 to 4.5)
    a hundred at once                   4.4 (4.1 to 5.4)
"""

import base64
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import requests
import torch

from fovea.classifier.classifier import load_classifier
from fovea.promote.command import promote
from fovea.tracking import runs
from tests.registered import held_images, predicted, serving, write_result
from tests.servers import free_port

ROUNDS, CLIENTS = 5, 100
NETWORK, SIZE, SIDES = "resnet18", 224, (3000, 2000)


def photograph(seed: int) -> bytes:
    """A JPEG of 6 megapixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(coarse, SIDES, interpolation=cv2.INTER_CUBIC))[1].tobytes()


def register(folder: Path) -> None:
    (folder / ".dvc").mkdir()
    os.chdir(folder)
    os.environ["DVC_ROOT"] = str(folder)
    sections = {"dataset": {"name": "small"}, "train": {"model": NETWORK}}
    with runs.start_training(sections, data="data/raw/small", digest="0" * 40, device="cpu") as run:
        pass
    images = held_images()
    write_result(folder, images, predicted(images, 0.8), {"run_id": run.id}, 0, NETWORK, SIZE)
    promote("workspace", "fovea", "balanced_accuracy", 0, "")


def rate(ask: Callable[[int], object], threads: int) -> float:
    """Calls a second, of `CLIENTS`."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, range(CLIENTS)))
    return CLIENTS / (time.perf_counter() - began)


def main() -> None:
    photographs = [photograph(seed) for seed in range(CLIENTS)]
    rows = [{"dataframe_records": [{"image": base64.b64encode(file).decode()}]} for file in photographs]
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        register(folder)
        classifier = load_classifier(folder / "models/model.pt", torch.device("cpu"))
        sessions = [requests.Session() for _ in rows]
        found: dict[str, list[float]] = {
            "decoding and forward pass alone": [], "one client": [], "a hundred at once": []}

        def alone(number: int) -> None:
            classifier.see(classifier.square(photographs[number])[None])

        def ask(number: int) -> None:
            answer = sessions[number].post(f"http://127.0.0.1:{port}/invocations", json=rows[number], timeout=120)
            answer.raise_for_status()

        with serving(folder, port, {}):
            for _ in range(ROUNDS):
                for each, call, threads in zip(found, (alone, ask, ask), (1, 1, CLIENTS), strict=True):
                    found[each].append(rate(call, threads))
    megabytes = sum(map(len, photographs)) / CLIENTS / 1e6
    print(f"n = {ROUNDS} rounds of {CLIENTS} JPEGs of {SIDES[0]} x {SIDES[1]} px, {megabytes:.1f} MB each; "
          f"{NETWORK} at {SIZE} px, two views")
    print(f"{os.cpu_count()} cores, torch {torch.__version__} on the CPU; images/s: median (range)")
    for each, rates in found.items():
        print(f"{each:<33}{statistics.median(rates):6.1f} ({min(rates):.1f} to {max(rates):.1f})")


if __name__ == "__main__":
    main()
