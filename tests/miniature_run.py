"""A run through the pipeline in miniature, written by the stages' contracts, as it is before `report`."""

import json
import os
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fovea.cache.read import Cache
from fovea.evaluation.bootstrap import part_intervals
from fovea.evaluation.calibration import calibration, reliability
from fovea.evaluation.curves import write_plot, write_plots
from fovea.evaluation.decision import decision_curve
from fovea.evaluation.explain import choose_images, save_heat_maps
from fovea.evaluation.metrics import score_parts
from fovea.evaluation.operating import operating_points
from fovea.evaluation.subgroups import subgroups
from fovea.evaluation.suspicious import suspicious_labels
from fovea.files import write_json
from fovea.report.audit import DUPLICATES
from fovea.tables import write_table

REPOSITORY = Path(__file__).parent.parent
HOSTILE = ("<script>alert(1)</script>", "\"quoted\" & 'named'", "{{ 7 * 7 }}", "$\\frac{$", "absent")
SIZE, PER_PART = 32, {"train": 12, "val": 4, "test": 6}


def images_of(
    classes: list[str], absent: str | None, per_part: Mapping[str, int] = PER_PART, suffix: str = ""
) -> pd.DataFrame:
    """One row per image; names hold quotes and tags, some are formulas. `absent` has no image in the test part."""
    rows = [(f"{'=' * (target == 1)}{target} {label[:6]}/{part} {number} <b>\"it's\"{suffix}.jpg", label, target, part)
            for target, label in enumerate(classes) for part, count in per_part.items() for number in range(count)
            if not (part == "test" and label == absent)]
    return pd.DataFrame(rows, columns=["image", "label", "target", "split"])


def write_cache(folder: Path, images: pd.DataFrame, name: str, classes: list[str], positive: str | None,
                side: int = SIZE) -> None:
    """Ramps of any colour; larger ones than usual are noise."""
    rng = np.random.default_rng(0)
    originals, variants = images.assign(variant=0), images[images["split"] == "train"].assign(variant=1)
    index = pd.concat([originals, variants]).sort_values(["image", "variant"], ignore_index=True)
    count = len(index)
    index = index.assign(digest=[f"{number:040x}" for number in range(count)], group=None, shard=0, row=range(count))
    index.attrs = {"name": name, "classes": classes, "positive": positive, "digest": "0", "size": side}
    index.attrs["shards"] = ["0.npy"]
    ramp = np.linspace(40, 215, side)[None, :, None, None] + rng.normal(0, 20, (count, 1, 1, 3))
    folder.mkdir(parents=True)
    pixels = np.broadcast_to(ramp.clip(0, 255), (count, side, side, 3)).astype(np.uint8)
    if side != SIZE:
        coarse = rng.integers(0, 255, (count, side // 4, side // 4, 3), dtype=np.uint8)
        pixels = coarse.repeat(4, axis=1).repeat(4, axis=2)
    np.save(folder / "0.npy", pixels)
    index.to_parquet(folder / "index.parquet")


def predict(images: pd.DataFrame, classes: list[str], sure: bool = False) -> pd.DataFrame:
    """Predictions that are right more often than not, or `sure`: always, with high probability."""
    rows = images[images["split"] != "train"].reset_index(drop=True)
    raw = np.random.default_rng(2).random((len(rows), len(classes))) + 0.7 * np.eye(len(classes))[rows["target"]]
    chances = raw**3 / (raw**3).sum(axis=1, keepdims=True)
    if sure:
        chances = 0.99 * np.eye(len(classes))[rows["target"]] + 0.01 / len(classes)
    else:
        chances[::7] = np.roll(np.eye(len(classes))[rows["target"][::7]], 1, axis=1)  # sure of another class
    table = rows[["image", "split", "label"]].assign(prediction=np.array(classes, dtype=object)[chances.argmax(1)])
    return table.assign(**{f"p_{name}": chances[:, number] for number, name in enumerate(classes)})


def write_history(reports: Path, epochs: int, validated: bool) -> None:
    epoch = np.arange(1, epochs + 1)
    val = {"loss": 1.5 - 0.05 * epoch, "accuracy": 0.3 + 0.03 * epoch, "balanced_accuracy": 0.28 + 0.03 * epoch,
           "auroc": 0.5 + 0.02 * epoch, "kappa": 0.04 * epoch}
    table = pd.DataFrame({"epoch": epoch, "phase": np.where(epoch <= 3, "frozen", "full"), "samples": 60 * epoch,
                          "lr": 0.001, "train_loss": 1.6 * 0.9**epoch, "train_accuracy": 1 - 0.8 * 0.92**epoch})
    table = table.assign(**{f"val_{name}": values if validated else np.nan for name, values in val.items()})
    table.to_csv(reports / "history.csv", index=False)
    step = np.arange(10, 10 + 10 * 40, 10)
    loss = 1.6 * np.exp(-step / 300) + np.random.default_rng(1).normal(0, 0.08, 40)
    pd.DataFrame({"step": step, "epoch": 1 + step // 50, "samples": 16 * step, "lr": 0.001, "loss": loss}).to_csv(
        reports / "steps.csv", index=False)


def audited(images: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """An audit that found something of everything, by the contract of reports/audit.json; some images were dropped."""
    names, given = images["image"].tolist(), images["split"].tolist()
    groups = [
        {"images": [names[0], "gone/<b>copy</b>.jpg"], "labels": classes[:2], "parts": ["train", None],
         "kind": "identical pixels", "conflict": True, "leak": False},
        {"images": [names[1], names[20]], "labels": [classes[0]] * 2, "parts": [given[1], given[20]],
         "kind": "identical files", "conflict": False, "leak": True},
        {"images": names[2:9], "labels": [classes[0]] * 7, "parts": given[2:9], "kind": "near", "conflict": False,
         "leak": False},
    ]  # fmt: skip
    size = {"feature": "image size", "classes": classes[1], "auroc": 0.998, "low": 0.9513, "high": 1.0, "n": 128,
            "flagged": True, "sentence": f"image size alone separates {classes[0]} from {classes[1]}: AUROC 1.00 "
            "(0.95-1.00); a model may learn it"}  # fmt: skip
    name = {"feature": "number 1 of the file name", "classes": classes[0], "auroc": 0.57, "low": 0.51, "high": 0.63,
            "n": 128, "flagged": False, "sentence": "number 1 of the file name tells a from b: too weak for a warning"}
    none: dict[str, Any] = {"count": 0, "images": []}
    return {
        "warnings": ["2 groups of identical images have different labels", size["sentence"]],
        "duplicates": {"identical_files": 1, "identical_conflicts": 0,
                       "identical_pixels": 1, "near": 1, "images": 11, "conflicts": 1, "leaks": 1,
                       "too_large": [{"images": 40, "first": names[3]}], "groups": groups,
                       "dropped": {"duplicates": 0, "conflicts": 2, "leaks": 1}},
        "groups_across_parts": {"count": 1, "groups": ["patient <i>7</i>"]},
        "shortcuts": [size, name],
        "trivial_baseline": [
            {"feature": feature, "auroc": auroc, "low": auroc - 0.05, "high": auroc + 0.04, "n": 128}
            for feature, auroc in (("mean colour", 0.71), ("border", 0.66), ("8 x 8 thumbnail", 0.83))
        ],
        "quality": {"dark": {"count": 9, "images": names[4:13]}, "bright": none, "off_centre": none, "saturated": none,
                    "blurred": {"count": 1, "images": ["gone/<b>copy</b>.jpg"]}},
        "balance": {"given_split": {part: dict.fromkeys(classes, 22) for part in ("train", "test")},
                    "groups": {"count": 31, "largest": 4, "of_one_class": 28}},
    }  # fmt: skip


def clean_audit(audit: dict[str, Any]) -> dict[str, Any]:
    """The same, with nothing found."""
    none: dict[str, Any] = {"count": 0, "images": []}
    counts = dict.fromkeys(DUPLICATES, 0)
    return audit | {
        "warnings": [], "shortcuts": [], "trivial_baseline": [], "balance": {},
        "duplicates": {**counts, "too_large": [], "groups": [],
                       "dropped": dict.fromkeys(("duplicates", "conflicts", "leaks"), 0)},
        "groups_across_parts": {"count": 0, "groups": []}, "quality": dict.fromkeys(audit["quality"], none),
    }  # fmt: skip


def write_summaries(folder: Path, images: pd.DataFrame, classes: list[str], positive: str | None) -> None:
    reports, counts = folder / "reports", images.groupby(["split", "label"]).size()
    by_part = {part: {name: int(counts.get((part, name), 0)) for name in classes} for part in PER_PART}
    totals = {part: sum(row.values()) for part, row in by_part.items()}
    write_json(reports / "ingest.json", {
        "images": len(images), "rejected": 2, "classes": dict.fromkeys(classes, 22), "groups": 31,
        "formats": {"jpeg": len(images)}, "several_frames": 1, "given": {}, "width": [400, 1600], "height": [300, 1200],
        "reasons": {"not an image": 1, "label is empty": 1}})
    pd.DataFrame({"image": ["x<img src=x>.jpg", "NA"], "reason": ["not an image", "label is empty"]}).to_csv(
        reports / "rejected.csv", index=False)
    write_json(reports / "split.json", by_part | {"images": totals, "groups": {"train": 20, "val": 5, "test": 6}})
    write_json(reports / "audit.json", audited(images, classes))
    write_json(reports / "augment.json", {"images": len(images), "rows": len(images) + totals["train"],
                                          "variants": 1, "size": SIZE, "uncropped": 8,
                                          "uncropped_images": sorted(images["image"])[:8]})
    write_json(folder / "mlflow_run.json", {"run_id": None, "training": ""})
    write_json(folder / "models" / "model.json", {
        "model": "resnet18", "weights": "none", "classes": classes, "positive": positive, "head": {"hidden": 0},
        "loss": "cross_entropy", "scaling": "imagenet", "size": SIZE, "crop": None, "parameters": 11179077,
        "best": {"phase": "full", "epoch": 9, "balanced_accuracy": 0.55}, "best_metric": "balanced_accuracy",
        "device": "cpu", "seconds": 61.2, "images_per_second": 148.0, "versions": {"python": "3.11", "torch": "2.13"},
        "machine": {"device": "auto", "workers": 0}})


def write_miniature(folder: Path, classes: list[str], positive: str | None = None, absent: str | None = None,
                    name: str = "demo", validated: bool = True, per_part: Mapping[str, int] = PER_PART,
                    suffix: str = "", side: int = SIZE, sure: bool = False) -> None:
    """A workspace as it is before `report`: params.yaml, dvc.yaml, reports/, models/, data/cache/."""
    images = images_of(classes, absent, per_part, suffix)
    (folder / "reports").mkdir(parents=True)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"] |= {"name": name, "classes": classes, "positive": positive}
    params["report"]["title"] = "Grades <i>of</i> {{ 7 * 7 }} miniature"
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (folder / "dvc.yaml").write_text("stages:\n  train:\n    cmd: python stages/train.py\n", encoding="utf-8")
    write_cache(folder / "data" / "cache", images, name, classes, positive, side)
    write_summaries(folder, images, classes, positive)
    write_history(folder / "reports", 12, validated)
    predictions = predict(images, classes, sure)
    predictions = predictions if validated else predictions[predictions["split"] == "test"]
    predictions.to_csv(folder / "reports" / "predictions.csv", index=False)
    write_evaluation(folder, images, predictions, classes, positive)


def write_manifest(folder: Path, images: pd.DataFrame) -> pd.DataFrame:
    """Two images of a patient, of two cameras."""
    count = np.arange(len(images))
    manifest = images[["image", "label"]].assign(group=[f"patient {number // 2}" for number in count],
                                                 camera=np.where(count % 3, "one", "<b>other</b>"), width=400 + count)
    manifest.to_parquet(folder / "data" / "manifest.parquet")
    return manifest


def write_evaluation(
    folder: Path, images: pd.DataFrame, predictions: pd.DataFrame, classes: list[str], positive: str | None
) -> None:
    """What the stage `evaluate` leaves, with heat maps that are bright in a corner."""
    reports, manifest = folder / "reports", write_manifest(folder, images)
    groups, test = manifest.set_index("image")["group"], predictions[predictions["split"] == "test"]
    write_json(reports / "metrics.json", score_parts(predictions, classes, positive))
    write_json(reports / "intervals.json", part_intervals(predictions, classes, positive, groups))
    calibrated = calibration(predictions, classes, groups)
    write_json(reports / "calibration.json", calibrated)
    points = operating_points(predictions, classes, positive, groups, {"sensitivity": [0.9], "specificity": [0.95]})
    write_table(reports / "operating_points.csv", points)
    write_table(reports / "subgroups.csv", subgroups(test, classes, positive, manifest, ["camera", "width"]))
    write_table(reports / "suspicious_labels.csv", suspicious_labels(predictions, classes))
    write_plots(reports / "plots", predictions, classes, 500)
    write_plot(reports / "plots" / "reliability.csv", reliability(test, classes, 1.0))
    write_plot(reports / "plots" / "reliability_scaled.csv", reliability(test, classes, calibrated["temperature"]))
    write_plot(reports / "plots" / "decision.csv", decision_curve(test, classes, positive))
    chosen = choose_images(predictions, classes, 2)
    heat = np.outer(np.linspace(1, 0, SIZE), np.linspace(1, 0, SIZE)).astype(np.float32)
    (reports / "explanations").mkdir()
    save_heat_maps(reports / "explanations", chosen, Cache(folder / "data" / "cache"), [heat] * len(chosen))
    rate = {"n": 20, "hits": 5, "share": 0.25, "low": 0.09, "high": 0.49, "area": 0.2, "elsewhere": 0.3}
    write_json(reports / "explanations.json", {"layer": {"name": "layer4", "cells": 3},
                                               "pointing": {"tolerance": 5.3, "right": rate, "wrong": rate}})


def report_of(folder: Path, clean: bool = False, **options: Any) -> str:
    """Run the stage on a miniature; the page it wrote. `clean`: of images in which nothing was found."""
    write_miniature(folder, **options)
    if clean:
        audit = folder / "reports" / "audit.json"
        write_json(audit, clean_audit(json.loads(audit.read_text(encoding="utf-8"))))
        augment = folder / "reports" / "augment.json"
        counts = json.loads(augment.read_text(encoding="utf-8"))
        write_json(augment, counts | {"uncropped": 0, "uncropped_images": []})
    return run_report(folder)


def run_report(folder: Path) -> str:
    before = Path.cwd()
    os.chdir(folder)
    try:
        runpy.run_path(str(REPOSITORY / "stages" / "report.py"))
    finally:
        os.chdir(before)
    return (folder / "reports" / "report.html").read_text(encoding="utf-8")
