"""Results that can be registered, without a pipeline: the files that the stages leave, of a small network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from fovea.cache.read import Cache
from fovea.evaluation.metrics import score_parts
from fovea.evaluation.operating import operating_points
from fovea.evaluation.prediction import Prediction, digest_of, points_of, save_prediction
from fovea.evaluation.table import write_predictions
from fovea.evaluation.unlike import make_reference
from fovea.files import write_json
from fovea.training.model import build_model, save_model
from tests.classifiers import DATA
from tests.import_closure import ROOT
from tests.servers import Server
from tests.small import write_cache

CLASSES = ["a", "b", "c"]
COMMANDS = [line.strip() for line in (ROOT / "docs/serving.md").read_text("utf-8").splitlines() if line[:4] == "    "]


def predicted(images: pd.DataFrame, right: float, seed: int = 0) -> pd.DataFrame:
    """Predictions of the held images, of which a share `right` is right; which ones, their content decides."""
    rows = images[images["split"] != "train"].reset_index(drop=True)
    luck = np.array([np.random.default_rng([seed, *digest.encode()]).random() for digest in rows["digest"]])
    target = rows["label"].map(CLASSES.index).to_numpy()
    said = np.where(luck < right, target, (target + 1) % len(CLASSES))
    table = rows[["image", "split", "label"]].assign(prediction=np.array(CLASSES, object)[said])
    chances = np.full((len(rows), len(CLASSES)), 0.15)
    chances[np.arange(len(rows)), said] = 0.7
    return table.assign(**{f"p_{name}": chances[:, number] for number, name in enumerate(CLASSES)})


def held_images(count: int = 240) -> pd.DataFrame:
    """A manifest with its split, two images of a patient."""
    number = np.arange(count)
    return pd.DataFrame({
        "image": [f"{i:03d}.png" for i in number], "digest": [f"{i:040x}" for i in number],
        "label": np.array(CLASSES, object)[number // 2 % 3], "group": [f"patient {i // 2}" for i in number],
        "split": np.where(number % 8 < 6, "test", "val"), "given_split": None,
    })  # fmt: skip


def write_result(
    folder: Path, images: pd.DataFrame, table: pd.DataFrame, run: dict[str, Any], seed: int = 0,
    network: str = "squeezenet1_1", size: int = 32,
) -> None:
    """A workspace after `dvc repro`, with a network of random weights that has not made `table`."""
    folder_of = folder / "cache"
    cache = Cache(folder_of) if folder_of.exists() else write_cache(folder_of, size=size)
    write_model(folder / "models", cache, table, images, seed, network)
    for name in ("data", "reports"):
        (folder / name).mkdir(exist_ok=True)
    images.drop(columns="split").to_parquet(folder / "data/manifest.parquet")
    images[["image", "split"]].to_parquet(folder / "data/split.parquet")
    write_predictions(folder / "reports/predictions.csv", table)
    write_json(folder / "reports/metrics.json", score_parts(table, CLASSES, None))
    write_json(folder / "mlflow_run.json", run)
    names = ["data/manifest.parquet", "models/model.pt", "models/prediction.pt", "reports/predictions.csv"]
    outs = [{"path": name, "md5": digest_of(folder / name)} for name in names]
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"all": {"cmd": "", "outs": outs}}}))


def write_model(
    folder: Path, cache: Cache, table: pd.DataFrame, images: pd.DataFrame, seed: int, network: str
) -> None:
    """model.pt of a random network and the prediction.pt that belongs to it."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"outputs": 3, "hidden": 0, "dropout": 0.0, "size": cache.attrs["size"], "stem": "standard"}
    model = build_model(network, *shape.values())[0].eval()
    record = {"model": network, **shape, "crop": None, "scaling": "unit", "loss": "cross_entropy",
              "square": cache.attrs["square"], "classes": CLASSES, "positive": None}
    save_model(folder / "model.pt", model, record)
    points = operating_points(table, CLASSES, None, images.set_index("image")["group"], {"sensitivity": [0.5]})
    reference = make_reference(model, record, cache, torch.device("cpu"))
    found = Prediction(digest_of(folder / "model.pt"), DATA, 2, 1.5, points_of(points), reference)
    save_prediction(folder / "prediction.pt", found)


def serving(folder: Path, port: int, environment: Mapping[str, str]) -> Server:
    """The server of `fovea@champion` in the store of the project `folder`, by the lines of docs/serving.md."""
    store, limit, serve = (next(line for line in COMMANDS if line.startswith(first))
                           for first in ("export", "ulimit", "uv run mlflow"))
    command = f"{store}\n{limit}\nexec {serve.removeprefix('uv run ').replace('5001', str(port))}"
    return Server(["bash", "-c", command], port, folder, "serving", environment=environment)
