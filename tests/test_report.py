"""The report of a miniature run, written here by the stages' contracts."""

import html.parser
import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from fovea.evaluation import curves, metrics
from fovea.evaluation.suspicious import suspicious_labels
from fovea.files import write_json
from fovea.report.audit import DUPLICATES, audit_tags
from fovea.tables import write_table

REPOSITORY = Path(__file__).parent.parent
HOSTILE = ("<script>alert(1)</script>", "\"quoted\" & 'named'", "{{ 7 * 7 }}", "$\\frac{$", "absent")
SIZE, PER_PART = 32, {"train": 12, "val": 4, "test": 6}
needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="install Debian's chromium")


def images_of(classes: list[str], absent: str | None) -> pd.DataFrame:
    """One row per image; names hold quotes and tags, some are formulas. `absent` has no image in the test part."""
    rows = [(f"{'=' * (target == 1)}{target} {label[:6]}/{part} {number} <b>\"it's\".jpg", label, target, part)
            for target, label in enumerate(classes) for part, count in PER_PART.items() for number in range(count)
            if not (part == "test" and label == absent)]
    return pd.DataFrame(rows, columns=["image", "label", "target", "split"])


def write_cache(folder: Path, images: pd.DataFrame, name: str, classes: list[str], positive: str | None) -> None:
    rng = np.random.default_rng(0)
    originals, variants = images.assign(variant=0), images[images["split"] == "train"].assign(variant=1)
    index = pd.concat([originals, variants]).sort_values(["image", "variant"], ignore_index=True)
    count = len(index)
    index = index.assign(digest=[f"{number:040x}" for number in range(count)], group=None, shard=0, row=range(count))
    index.attrs = {"name": name, "classes": classes, "positive": positive, "digest": "0", "size": SIZE}
    index.attrs["shards"] = ["0.npy"]
    ramp = np.linspace(40, 215, SIZE)[None, :, None, None] + rng.normal(0, 20, (count, 1, 1, 3))
    folder.mkdir(parents=True)
    pixels = np.broadcast_to(ramp.clip(0, 255), (count, SIZE, SIZE, 3)).astype(np.uint8)
    np.save(folder / "0.npy", pixels)
    index.to_parquet(folder / "index.parquet")


def predict(images: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Predictions that are right more often than not."""
    rows = images[images["split"] != "train"].reset_index(drop=True)
    raw = np.random.default_rng(2).random((len(rows), len(classes))) + 0.7 * np.eye(len(classes))[rows["target"]]
    chances = raw**3 / (raw**3).sum(axis=1, keepdims=True)
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
    write_json(folder / "mlflow_run.json", {"run_id": None})
    write_json(folder / "models" / "model.json", {
        "model": "resnet18", "weights": "none", "classes": classes, "positive": positive, "head": {"hidden": 0},
        "loss": "cross_entropy", "scaling": "imagenet", "size": SIZE, "crop": None, "parameters": 11179077,
        "best": {"phase": "full", "epoch": 9, "balanced_accuracy": 0.55}, "best_metric": "balanced_accuracy",
        "device": "cpu", "seconds": 61.2, "images_per_second": 148.0, "versions": {"python": "3.11", "torch": "2.13"},
        "machine": {"device": "auto", "workers": 0}})


def write_miniature(folder: Path, classes: list[str], positive: str | None = None, absent: str | None = None,
                    name: str = "demo", validated: bool = True) -> None:
    """A workspace as it is before `report`: params.yaml, dvc.yaml, reports/, models/, data/cache/."""
    images = images_of(classes, absent)
    (folder / "reports").mkdir(parents=True)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"] |= {"name": name, "classes": classes, "positive": positive}
    params["report"]["title"] = "Grades <i>of</i> {{ 7 * 7 }} miniature"
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (folder / "dvc.yaml").write_text("stages:\n  train:\n    cmd: python stages/train.py\n", encoding="utf-8")
    write_cache(folder / "data" / "cache", images, name, classes, positive)
    write_summaries(folder, images, classes, positive)
    write_history(folder / "reports", 12, validated)
    predictions = predict(images, classes)
    predictions = predictions if validated else predictions[predictions["split"] == "test"]
    predictions.to_csv(folder / "reports" / "predictions.csv", index=False)
    write_json(folder / "reports" / "metrics.json", metrics.score_parts(predictions, classes, positive))
    write_table(folder / "reports" / "suspicious_labels.csv", suspicious_labels(predictions, classes))
    curves.write_plots(folder / "reports" / "plots", predictions, classes, 500)


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


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose class and file names are markup; one class is absent from the test part."""
    folder = tmp_path_factory.mktemp("hostile")
    report_of(folder, classes=list(HOSTILE), absent="absent")
    return folder


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two classes, one of them positive, trained without validation."""
    folder = tmp_path_factory.mktemp("binary")
    report_of(folder, classes=["healthy", "ill"], positive="ill", name="aptos", validated=False)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    report_of(folder, classes=[f"species {number}" for number in range(25)])
    return folder


def page_of(folder: Path) -> str:
    return (folder / "reports" / "report.html").read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """Every start tag of a page with its attributes, and the text of all elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_of_classes_and_files_are_text_and_never_markup(hostile: Path) -> None:
    page = Elements(page_of(hostile))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "b", "i"}
    assert not [attributes for tag, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert {attributes["src"][:11] for tag, attributes in page.tags if tag == "img"} == {"data:image/"}
    for name in (*HOSTILE, "x<img src=x>.jpg", "Grades <i>of</i> {{ 7 * 7 }} miniature"):
        assert name in page.text


def test_the_page_names_no_address_outside_itself(hostile: Path) -> None:
    page = page_of(hostile)
    addresses = [value for _, attributes in Elements(page).tags for name, value in attributes.items()
                 if name in ("src", "href", "xlink:href", "srcset", "action", "poster")]
    addresses += re.findall(r"url\(([^)]*)\)", page)
    assert addresses
    assert not [address for address in addresses if not re.match(r"[\"']?(data:|#)", address)]
    assert "@import" not in page


def test_ids_are_unique_and_every_reference_has_its_target(hostile: Path) -> None:
    tags = Elements(page_of(hostile)).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [attributes["href"][1:] for _, attributes in tags if attributes.get("href", "").startswith("#")]
    references += re.findall(r"url\(#([^)]*)\)", page_of(hostile))
    assert references and set(references) <= set(ids)


def test_every_image_and_chart_has_a_text_in_its_place(hostile: Path) -> None:
    for tag, attributes in Elements(page_of(hostile)).tags:
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 20


def test_figures_lie_beside_the_page_as_png(hostile: Path) -> None:
    found = {path.name for path in (hostile / "reports" / "figures").iterdir()}
    assert found == {"curves.png", "steps.png", "confusion.png", "confusion_normalised.png", "roc.png",
                     "precision_recall.png"}


def test_the_same_results_give_the_same_bytes(hostile: Path, tmp_path: Path) -> None:
    report_of(tmp_path, classes=list(HOSTILE), absent="absent")
    for one in sorted((hostile / "reports").rglob("*.*")):
        assert (tmp_path / "reports" / one.relative_to(hostile / "reports")).read_bytes() == one.read_bytes(), one.name


def test_the_most_confidently_wrong_come_first(hostile: Path) -> None:
    predictions = pd.read_csv(hostile / "reports" / "predictions.csv")
    test = predictions[predictions["split"] == "test"]
    wrong = test[test["label"] != test["prediction"]]
    confidence = sorted((row[f"p_{row['prediction']}"] for _, row in wrong.iterrows()), reverse=True)[:12]
    shown = re.findall(r"p = ([\d.]+);", page_of(hostile))
    assert shown == [f"{value:.3f}" for value in confidence]


def test_files_with_several_pictures_are_counted(binary: Path) -> None:
    assert "1 file with several pictures, of which the first is used" in page_of(binary)


def test_only_the_demo_is_called_synthetic(hostile: Path, binary: Path) -> None:
    assert "Synthetic images" in page_of(hostile)
    assert "Synthetic" not in page_of(binary)


def test_sensitivity_and_specificity_of_the_positive_class_lead(binary: Path) -> None:
    page = Elements(page_of(binary)).text
    assert page.index("Sensitivity") < page.index("Specificity") < page.index("Balanced accuracy")


def test_a_class_absent_from_the_test_part_is_said_to_be_left_out(hostile: Path) -> None:
    page = Elements(page_of(hostile)).text
    assert "No test image of absent: what needs one is undefined" in page
    assert "nan" not in page.lower()


def test_a_run_without_validation_has_a_report(binary: Path) -> None:
    page = Elements(page_of(binary)).text
    assert "no validation part, so the last of 12 epochs is kept" in page
    assert "nan" not in page.lower()


def test_labels_to_look_at_again_are_shown_with_their_images_worst_first(hostile: Path) -> None:
    found = pd.read_csv(hostile / "reports" / "suspicious_labels.csv")
    worst = yaml.safe_load((hostile / "params.yaml").read_text())["report"]["worst"]
    section = page_of(hostile).split('<section id="labels">')[1].split("</section>")[0]
    shown = [attributes["alt"] for tag, attributes in Elements(section).tags if tag == "img"]
    expected = found.head(worst)
    assert expected["image"].str.startswith("'=").any() and len(shown) == len(expected)
    for text, (_, row) in zip(shown, expected.iterrows(), strict=True):
        name = row["image"].removeprefix("'")
        assert f"image {name}, labelled {row['label']}, suggested {row['suggested']}" in text
    assert f"{len(found)} of " in Elements(section).text


def test_warnings_stand_before_the_first_figure_and_lead_to_what_was_found(hostile: Path) -> None:
    page = page_of(hostile)
    notice = page[page.index('<aside class="notice warnings"') : page.index("</aside>")]
    assert page.index("</aside>") < page.index('class="headline"')
    assert "2 groups of identical images have different labels" in notice and 'href="#data"' in notice
    assert "image size alone separates &lt;script&gt;" in notice


def test_of_many_warnings_the_first_are_on_the_first_screen_and_all_below(tmp_path: Path) -> None:
    write_miniature(tmp_path, classes=["a", "b"])
    audit = json.loads((tmp_path / "reports" / "audit.json").read_text())
    write_json(tmp_path / "reports" / "audit.json", audit | {"warnings": [f"warning {number}" for number in range(9)]})
    page = run_report(tmp_path)
    assert "warning 3" in page[: page.index("</aside>")] and "warning 4" not in page[: page.index("</aside>")]
    assert "And 5 more:" in page and page.count("warning 8") == 1


def test_copies_are_shown_and_what_was_dropped_is_named(hostile: Path) -> None:
    page = Elements(page_of(hostile))
    assert "identical pixels, different labels" in page.text
    assert "identical files, on both sides of the given split" in page.text
    assert "gone/<b>copy</b>.jpg" in page.text and "dropped, so not in the cache" in page.text
    assert "40 images that look like" in page.text and "patient <i>7</i>" in page.text
    shown = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert any(alt.startswith("Image 0 <scrip/train 1 ") for alt in shown)


def test_the_models_figure_stands_below_what_it_must_beat(hostile: Path) -> None:
    page = page_of(hostile)
    table = page[page.index("What a model must beat") : page.index("Photographs unlike the others")]
    auroc = json.loads((hostile / "reports" / "metrics.json").read_text())["test"]["auroc_macro"]
    assert table.index("8 x 8 thumbnail") < table.index("this model, test part") < table.index(f"<td>{auroc:.2f}</td>")


def test_images_in_which_nothing_was_found_have_a_report_that_says_so(tmp_path: Path) -> None:
    page = Elements(report_of(tmp_path, clean=True, classes=["a", "b"])).text
    for line in ("No warning: nothing was found", "No picture is there twice.", "Nothing: the files are alike",
                 "None is much darker", "The circle of the photograph was found in all 44 images."):
        assert line in page
    assert "warnings about these images" not in page and "What a model must beat" not in page


def test_shortcuts_that_were_not_looked_for_are_said_to_be_so(tmp_path: Path) -> None:
    write_miniature(tmp_path, classes=["a", "b"])
    audit = json.loads((tmp_path / "reports" / "audit.json").read_text())
    write_json(tmp_path / "reports" / "audit.json", audit | {"shortcuts": []})
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("shortcuts: warn", "shortcuts: 'off'"))
    assert "Not looked for (split.shortcuts: off)." in Elements(run_report(tmp_path)).text


def test_the_run_is_tagged_with_its_strong_shortcuts() -> None:
    audit = audited(images_of(["a", "b"], None), ["a", "b"])
    assert audit_tags(audit, "warn") == {"fovea.shortcuts": "image size (AUROC 1.00)", "fovea.warnings": "2"}
    assert audit_tags(clean_audit(audit), "warn") == {"fovea.shortcuts": "none", "fovea.warnings": "0"}
    assert audit_tags(clean_audit(audit), False)["fovea.shortcuts"] == "off"  # what YAML makes of off


def test_many_classes_have_a_report(many: Path) -> None:
    assert "species 24" in page_of(many)


def drawn_section(folder: Path) -> str:
    return page_of(folder).split('<section id="input">')[1].split("</section>")[0]


def test_what_the_model_gets_is_shown_for_each_class_in_the_first_epochs_of_the_full_phase(hostile: Path) -> None:
    section = Elements(drawn_section(hostile))
    shown = [attributes["alt"] for tag, attributes in section.tags if tag == "img"]
    for name in HOSTILE:
        lines = [[alt for alt in shown if alt.endswith(f" of {name}{variant}, {when}")]
                 for variant in ("", ", variant 1") for when in ("stored", "epoch 4", "epoch 5", "epoch 6")]
        assert [len(line) for line in lines] == [1] * 8, name
    assert not [alt for alt in shown if alt.endswith(("epoch 3", "epoch 7"))]


def test_with_few_classes_more_images_of_each_are_drawn(binary: Path) -> None:
    shown = [attributes["alt"] for tag, attributes in Elements(drawn_section(binary)).tags if tag == "img"]
    assert sum(alt.endswith("of ill, stored") for alt in shown) == 3


def test_of_many_classes_the_first_are_drawn_and_the_others_counted(many: Path) -> None:
    section = drawn_section(many)
    assert "of species 7, stored" in section and "of species 8, stored" not in section
    assert "17 more classes are not shown" in section


def test_images_in_which_the_crop_found_nothing_come_first(hostile: Path) -> None:
    section = drawn_section(hostile)
    names = json.loads((hostile / "reports" / "augment.json").read_text())["uncropped_images"]
    shown = [attributes["alt"] for tag, attributes in Elements(section).tags if tag == "img"]
    assert shown[:6] == [f"Image {name}, stored whole" for name in names[:6]]
    assert "found in 8 of 104 images, which are stored whole. The first 6 are shown." in section


def open_in_chromium(page: Path, profile: Path) -> tuple[str, str]:
    """What the page became, and what the browser said, with no network to reach."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
               "--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom",
               page.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout, ended.stderr


@needs_chromium
def test_a_browser_opens_the_page_from_disk_without_a_network(hostile: Path, tmp_path: Path) -> None:
    shown, said = open_in_chromium(hostile / "reports" / "report.html", tmp_path / "profile")
    headline = json.loads((hostile / "reports" / "metrics.json").read_text())["test"]["balanced_accuracy"]
    assert f"<dd>{headline:.3f}</dd>" in shown
    assert "CONSOLE" not in said


@needs_chromium
def test_a_browser_would_refuse_to_ask_another_host(hostile: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(page_of(hostile).replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">'), encoding="utf-8")
    assert "Content Security Policy" in open_in_chromium(page, tmp_path / "profile")[1]
