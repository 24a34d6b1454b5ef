"""What a prediction rests on: Grad-CAM (Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization", ICCV 2017) by Captum.

The map is as coarse as the layer that it is computed at: 7 x 7 cells of a ResNet at 224 px, 3 x 3 at 96 px.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import simplejpeg
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fovea.cache.read import Cache
from fovea.evaluation.table import class_numbers, confidences
from fovea.tables import write_table
from fovea.training.data import make_rows

BATCH = 16    # images at once: gradients take several times the memory of a prediction
SIDE = 96     # px of a saved heat map at most: it is smooth
QUALITY = 80  # of its JPEG; 1 to 2 kB


def choose_images(predictions: pd.DataFrame, classes: list[str], most: int) -> pd.DataFrame:
    """For each class, by its label, the `most` most confident right test images and as many wrong ones.

    Columns image, label, prediction, p (of the prediction) and kind (right | wrong); in the order of the classes,
    right ones first, the most confident first, then by image.
    """
    test = predictions[predictions["split"] == "test"]
    table = test[["image", "label", "prediction"]].assign(
        p=confidences(test, classes),
        kind=np.where(test["label"] == test["prediction"], "right", "wrong"),
        place=class_numbers(test["label"], classes),
    )
    table = table.sort_values(["place", "kind", "p", "image"], ascending=[True, True, False, True])
    return table.groupby(["place", "kind"]).head(most).drop(columns="place").reset_index(drop=True)


class Layer(NamedTuple):
    """A layer of a model that keeps a map of the image: its name in the model, and the map's cells along a side."""

    name: str
    module: nn.Module
    cells: int


@dataclass(frozen=True)
class Explainer:
    """Grad-CAM of the `model` and `record` of `load_model`, at `layer`, for images of `cache`."""

    model: nn.Module
    record: dict[str, Any]
    layer: Layer
    cache: Cache
    device: torch.device

    def tolerance(self) -> float:
        """px that the evidence may be off a map's peak: half a cell, because the map knows nothing finer."""
        return self.record["size"] / self.layer.cells / 2

    def maps(self, table: pd.DataFrame) -> Iterator[np.ndarray]:
        """For each row of `table` (image, prediction) where in the image the evidence for the prediction lies.

        float32 (size, size) in [0, 1] over the cached image: 1 at the strongest evidence, 0 outside of the centre if
        the model sees that alone, all 0 if nothing speaks for the prediction.
        """
        index, size = self.cache.index, self.cache.attrs["size"]
        chosen = ((index["variant"] == 0) & index["image"].isin(table["image"])).to_numpy()
        rows = make_rows(self.cache, chosen, self.record["crop"], self.record["scaling"], self.device)
        positions = pd.Index(index["image"][chosen]).get_indexer(pd.Index(table["image"]))
        targets = torch.from_numpy(class_numbers(table["prediction"], self.record["classes"])).to(self.device)
        self.model.eval().to(self.device).to(memory_format=torch.channels_last)
        before = (size - rows.crop) // 2
        after = size - rows.crop - before
        for number, inputs in enumerate(rows.in_order(BATCH, positions)):
            batch = targets[number * BATCH : (number + 1) * BATCH]
            maps = grad_cam(self.model, self.layer.module, self.record["loss"], inputs, batch)
            yield from F.pad(maps, (before, after, before, after)).cpu().numpy()


def make_explainer(
    model: nn.Module, record: dict[str, Any], cache: Cache, device: torch.device
) -> Explainer | None:
    """None if the model has no layer for it, as `spatial_layer` says."""
    side = record["size"]
    layer = spatial_layer(model.to(device), torch.zeros(1, 3, side, side, device=device))
    return Explainer(model, record, layer, cache, device) if layer else None


def grad_cam(model: nn.Module, layer: nn.Module, loss: str, inputs: Tensor, targets: Tensor) -> Tensor:
    """Maps (n, s, s) float32 in [0, 1] of inputs (n, 3, s, s) for classes `targets` (n,) int64 of the loss `loss`."""
    from captum.attr import LayerAttribution, LayerGradCam  # takes three seconds

    cam = LayerGradCam(lambda images: class_scores(loss, model(images)), layer)
    coarse = cam.attribute(inputs, targets, relu_attributions=True).detach()
    maps = LayerAttribution.interpolate(coarse, tuple(inputs.shape[2:]), "bilinear")[:, 0].float()
    highest = maps.amax((1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest, 0)


def class_scores(loss: str, logits: Tensor) -> Tensor:
    """Score (n, classes) of each class before softmax or sigmoid, of logits (n, outputs) of the loss `loss`.

    The class's own logit. A single one speaks for class 1 and against class 0. Of grades, number k says that the grade
    is above k: for grade k speaks number k - 1, against it number k.
    """
    if loss == "ordinal" or logits.shape[1] == 1:
        zeros = torch.zeros_like(logits[:, :1])
        return torch.cat([zeros, logits], dim=1) - torch.cat([logits, zeros], dim=1)
    return logits


@torch.no_grad()
def spatial_layer(model: nn.Module, inputs: Tensor) -> Layer | None:
    """The last layer of `model` with a map (n, channels, cells, cells) of more than one cell, before it is pooled.

    Found by a forward pass of `inputs` (n, 3, s, s), because what is left of the image depends on its size. None if
    the last layer that keeps places has no such map: a ViT has tokens (n, places, channels), each of which knows all of
    the image; some nets of timm have the channels last, which Captum would take for a place.
    """
    found: list[tuple[nn.Module, torch.Size]] = []

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not isinstance(module, nn.AdaptiveAvgPool2d):
            found.append((module, output.shape))

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        model.eval()(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    names = {module: name for name, module in model.named_modules()}
    # What lies within a block that gives no map may be one of its branches, through which a part of the evidence goes
    blocks = tuple(f"{names[module]}." for module, shape in found
                   if module is not model and not isinstance(module, nn.Sequential) and not _has_places(shape))
    for module, shape in reversed(found):
        if _has_places(shape) and not names[module].startswith(blocks):
            return Layer(names[module], module, shape[2]) if len(shape) == 4 and shape[2] == shape[3] else None
    return None


def _has_places(shape: torch.Size) -> bool:
    return len(shape) > 2 and shape[2:].numel() > 1


def save_heat_maps(folder: Path, table: pd.DataFrame, cache: Cache, maps: Iterable[np.ndarray] | None) -> None:
    """Write explanations.csv, which is `table` with the column file, and the maps that it names into `folder`.

    They are grey JPEGs of at most `SIDE` px, white at the strongest evidence, to be laid over the whole cached image.
    A file is called after the digest of its image: copies of it share one. Without maps the column is empty.
    """
    originals = cache.index[cache.index["variant"] == 0].set_index("image")["digest"]
    files = [f"{digest}.jpeg" for digest in originals.loc[table["image"]]]
    for name, heat in zip(files, maps or [], strict=maps is not None):
        (folder / name).write_bytes(as_jpeg(heat))
    write_table(folder / "explanations.csv", table.assign(file="" if maps is None else files))


def as_jpeg(heat: np.ndarray) -> bytes:
    """A heat map (s, s) in [0, 1] as a grey JPEG."""
    if len(heat) > SIDE:
        heat = cv2.resize(heat, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = np.rint(255 * heat).astype(np.uint8)[..., None]
    return simplejpeg.encode_jpeg(grey, quality=QUALITY, colorspace="GRAY")
