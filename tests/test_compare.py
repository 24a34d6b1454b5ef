"""What `fovea compare` says of real DVC experiments, and how its page is in a browser."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from fovea.cli import app
from fovea.compare.command import read_side
from fovea.compare.difference import difference
from fovea.compare.side import Side, read_named
from fovea.errors import UserError
from fovea.evaluation.table import read_predictions
from fovea.tracking import evaluations, runs
from tests.browser import Browser, needs_chromium
from tests.compared_results import CLASSES, ODD, cached, held_by, make_project
from tests.project import Project

PREDICTIONS = "reports/predictions.csv"


class Compared(NamedTuple):
    """A project, and what `fovea compare v1 higher ODD main` prints and writes."""

    project: Project
    printed: str
    page: Path


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp("compared") / "project"
    folder.mkdir()
    project = make_project(folder)
    page = folder.with_name("page.html")
    printed = project.run(f"fovea compare v1 higher {ODD} main --out {page}").stdout
    return Compared(project, printed, page)


@pytest.fixture
def project(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The same project, from within; its tracked files are put back afterwards."""
    monkeypatch.chdir(compared.project.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield compared.project
    compared.project.run("git checkout -q -f main")


def told(*names: str) -> str:
    """What `fovea compare` prints, without its line breaks."""
    result = CliRunner().invoke(app, ["compare", *names])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_parameters_that_differ_are_shown_with_the_value_of_each(compared: Compared) -> None:
    rows = [re.split(r"\s{2,}", line.strip()) for line in compared.printed.splitlines()]
    assert ["augment.image_size", "96", "96", "48"] in rows and ["train.full.lr", "0.001", "0.01", "0.005"] in rows
    assert "Parameters that differ: 2" in compared.printed and "train.seed" not in compared.printed


def test_the_terminal_needs_a_hundred_columns_and_no_more(compared: Compared) -> None:
    assert max(map(len, compared.printed.splitlines())) <= 100


def test_figures_are_those_of_the_rows_that_both_test_parts_share(compared: Compared, project: Project) -> None:
    """Of the second version two images are renamed and stay the same images, one is another picture under its name."""
    old, new = (read_predictions(io.BytesIO(held_by(project, revision, PREDICTIONS))) for revision in ("v1", "main"))
    old, new = (table[table["split"] == "test"].set_index("image") for table in (old, new))
    new = new.rename(index={"=renamed.jpg": "007-0.jpg", "again.jpg": "014-0.jpg"}).drop("006-0.jpg")
    shared = sorted({*old.index, *new.index} - ({*old.index} ^ {*new.index}) - {"003-0.jpg"})
    found = difference(read_named(project.folder, "v1"), read_named(project.folder, "main"))
    assert found.paired is not None
    assert found.paired["rows"] == {"compared": len(shared), "only_one": 2, "only_other": 3, "other_label": 1}
    right = [np.mean((table["label"] == table["prediction"])[shared]) for table in (new, old)]
    accuracy = found.paired["figures"]["accuracy"]
    assert [accuracy["one"], accuracy["other"]] == pytest.approx(right)
    assert "on the 36 test images that both have (6 others are left out)" in " ".join(compared.printed.split())


def test_a_difference_has_its_paired_interval_and_the_sensitivity_of_each_class(project: Project) -> None:
    found = difference(read_named(project.folder, "v1"), read_named(project.folder, "higher")).paired
    assert found is not None
    low, high = found["figures"]["balanced_accuracy"]["interval"]
    assert low < found["figures"]["balanced_accuracy"]["difference"] < high
    tables = [read_predictions(io.BytesIO(held_by(project, revision, PREDICTIONS)))
              for revision in (project.experiments()["higher"], "v1")]
    for name in CLASSES:
        mine = [table[(table["split"] == "test") & (table["label"] == name)] for table in tables]
        shares = [np.mean(rows["prediction"] == name) for rows in mine]
        assert [found["sensitivity"][name][side] for side in ("one", "other")] == pytest.approx(shares)


def test_images_that_came_went_or_changed_are_told_between_versions_of_the_set(compared: Compared) -> None:
    images = compared.printed.partition("Images of main against v1")[2].partition("Test figures")[0]
    counts = re.findall(r"^  (\w[\w ,]*?)\s+(\d+) ", images, re.MULTILINE)
    assert counts == [("added", "1"), ("removed", "1"), ("relabelled", "1"), ("same name, other content", "1"),
                      ("renamed", "2"), ("moved between parts", "1")]
    assert "Images of higher against v1: the same, with the same labels and parts" in compared.printed


def test_names_that_all_shift_hide_no_shared_image(project: Project) -> None:
    """As the numbers in an array file do: each name then stands for the image after it."""
    side = read_named(project.folder, "v1")
    assert side.predictions is not None and side.images is not None
    names = sorted(side.images.images["image"])
    shifted = dict(zip(names, [*names[1:], "last.jpg"], strict=True))
    images, predictions = (table.assign(image=table["image"].map(shifted))
                           for table in (side.images.images, side.predictions))
    found = difference(side, replace(side, predictions=predictions, images=replace(side.images, images=images))).paired
    assert found is not None and found["rows"] == difference(side, side).paired["rows"]  # type: ignore[index]
    assert found["figures"]["log_loss"]["difference"] == 0


def test_patients_are_resampled_whole_whichever_version_knows_them(project: Project) -> None:
    first, other = (read_named(project.folder, name) for name in ("v1", "higher"))
    assert first.images is not None
    unknown = replace(first, images=replace(first.images, images=first.images.images.assign(group=None)))
    assert difference(unknown, other).paired == difference(first, other).paired
    assert difference(unknown, replace(other, images=unknown.images)).paired != difference(first, other).paired


def test_each_has_its_own_figures_as_evaluate_left_them(compared: Compared, project: Project) -> None:
    metrics = json.loads(project.run("git show main:reports/metrics.json").stdout)["test"]
    own = compared.printed.partition("each on its own test part")[2].partition("Against v1")[0]
    assert f"{metrics['balanced_accuracy']:.3f} (" in own and re.search(rf"images +40 +{metrics['n']}\b", own)


def test_the_page_is_ignored_by_git(project: Project) -> None:
    assert told("v1", "v1").endswith("reports/compare.html")
    assert (project.folder / "reports/compare.html").is_file()
    assert project.run("git status --porcelain").stdout == ""


def test_a_run_is_found_by_the_revision_that_holds_it(project: Project) -> None:
    run_id = json.loads(project.run(f"git show {project.experiments()['higher']}:mlflow_run.json").stdout)["run_id"]
    side, same = read_side(project.folder, run_id), read_side(project.folder, "higher")
    assert (side.name, side.what) == (f"run {run_id[:8]}", same.what) and side.lock == same.lock
    own = json.loads(project.text("mlflow_run.json"))["run_id"]
    assert "in the workspace" in read_side(project.folder, own).what
    project.run("git checkout -q v1")
    assert "Second version" in read_side(project.folder, own).what


def record(folder: Path, params: dict[str, Any], recorded: Side, token: str = "") -> str:
    """A training and its evaluation in MLflow, as the stages log them, of which no revision is left."""
    with runs.start_training(params, data="data/raw/small", digest="ab" * 20, device="cpu", token=token) as training:
        pass
    (folder / "metrics.json").write_text(json.dumps({"test": recorded.metrics}))
    (folder / "intervals.json").write_text(json.dumps({"test": recorded.intervals}))
    assert recorded.predictions is not None
    recorded.predictions.to_csv(folder / "predictions.csv", index=False)
    files = {"evaluation": [folder / name for name in ("metrics.json", "intervals.json", "predictions.csv")]}
    assert evaluations.log_evaluation(training.id, {"test": recorded.metrics}, params["evaluate"], files)
    return str(training.id)


def test_a_run_that_no_revision_holds_is_read_from_mlflow(project: Project, tmp_path: Path) -> None:
    base = read_side(project.folder, "v1")
    params = project.params()
    params["train"]["full"]["lr"] = 0.5
    run_id = record(tmp_path, params, base)
    printed = told("v1", run_id)
    assert "no revision holds it" in printed and "MLflow keeps no list of its images" in printed
    assert "test images are matched by name alone" in printed and "on the 40 test images that both have" in printed
    parameters = printed.partition("Parameters that differ: ")[2].partition("Code")[0]
    assert "train.full.lr 0.001 0.5" in parameters and "machine." not in parameters
    assert f"run {run_id[:8]}: not known" in printed
    with pytest.raises(UserError, match=r"no revision holds this MLflow run, and .* has no such run"):
        read_side(project.folder, "f" * 32)


def test_a_run_that_sync_made_is_found_by_the_training_that_a_revision_holds(project: Project, tmp_path: Path) -> None:
    project.run("git checkout -q v1")
    (project.folder / "mlflow_run.json").write_text('{"run_id": null, "training": "made-later"}')
    project.run("git commit -qam Offline")
    run_id = record(tmp_path, project.params(), read_side(project.folder, "v1"), "made-later")
    project.run("git tag offline")
    project.run("git checkout -q v1")
    side = read_side(project.folder, run_id)
    project.run("git tag -d offline")
    assert side.what.endswith("Offline") and side.images is not None


def test_figures_that_are_not_of_the_lock_beside_them_are_said(project: Project) -> None:
    project.run("git checkout -q v1")
    (project.folder / "reports/metrics.json").write_text('{"test": {"n": 1}}')
    project.run("git commit -qam Mixed")
    said = "note: HEAD: reports/metrics.json is not what dvc.lock speaks of, so parameters and figures may not belong"
    assert said in told("v1", "HEAD")


def test_what_is_missing_on_this_machine_is_said_with_the_command_that_gets_it(project: Project) -> None:
    project.run("dvc push -q -A")
    lock = project.run("git show v1:dvc.lock").stdout
    digest = re.findall(rf"path: {PREDICTIONS}\n +hash: md5\n +md5: (\w+)", lock)[0]
    cached(project, digest).unlink()
    printed = told("main", "v1")
    assert f"v1: its {PREDICTIONS} is not in DVC's cache on this machine" in printed
    assert "removed 1" in printed and "Against main" not in printed
    assert "`uv run dvc pull --all-commits` gets it" in printed
    project.run("dvc pull -q --all-commits")
    assert "Against main on the test images that both have" in told("main", "v1")


def test_a_workspace_that_has_gone_on_since_its_result_is_said(project: Project) -> None:
    assert "note:" not in told("v1", "workspace")
    project.set_params({"train.full.lr": 0.2, "report.title": "Other"})
    printed = told("v1", "workspace")
    assert "note: workspace: params.yaml has changed since this result was made (train.full.lr); dvc repro" in printed
    assert "Parameters that differ: none" in printed


def test_a_rate_that_pyyaml_takes_for_text_is_still_the_same_number(project: Project) -> None:
    text = project.text("params.yaml")
    assert " lr: 0.001 " in text
    (project.folder / "params.yaml").write_text(text.replace(" lr: 0.001 ", " lr: 1e-3 "), encoding="utf-8")
    assert "note:" not in told("v1", "workspace")


@pytest.mark.parametrize(("names", "message"), [
    ("v1", "compare: only v1 is named"),
    ("v1 nothing", "nothing: no branch, tag, commit or experiment has that name"),
    ("v1 HEAD~9", "HEAD~9: no branch"),
    ("empty v1", "empty: no finished run: it has no dvc.lock"),
])  # fmt: skip
def test_what_cannot_be_compared_is_one_line(project: Project, names: str, message: str) -> None:
    tree = project.run("git mktree").stdout.strip()
    project.run("git tag -f empty " + project.run(f"git commit-tree -m x {tree}").stdout.strip())
    done = CliRunner().invoke(app, ["compare", *names.split()])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {message}")


def test_test_parts_that_share_no_image_are_not_compared(project: Project) -> None:
    side = read_named(project.folder, "v1")
    assert side.predictions is not None and side.images is not None
    table = side.predictions.assign(image="other " + side.predictions["image"])
    other = Side("other", "", side.lock, side.metrics, side.intervals, table, None, None)
    found = difference(side, other)
    assert found.paired is None
    assert found.unpaired == "the test parts, of 40 and 40 images, share none with the same label"


def test_an_experiment_is_that_of_the_current_commit_where_several_have_its_name(project: Project) -> None:
    commit = project.run(f"git rev-parse {project.experiments()[ODD]}").stdout.strip()
    head = project.run("git rev-parse HEAD").stdout.strip()
    same = f"refs/exps/{head[:2]}/{head[2:]}/higher"
    project.run(f"git update-ref {same} {commit}")
    assert read_named(project.folder, "higher").lock.parameters["train.full.lr"] == "0.005"
    project.run("git checkout -q --detach main~1")
    assert read_named(project.folder, "higher").lock.parameters["train.full.lr"] == "0.01"
    project.run("git checkout -q --orphan elsewhere")
    with pytest.raises(LookupError, match="2 experiments have that name; give one of"):
        read_named(project.folder, "higher")
    project.run(f"git update-ref -d {same}")


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def test_names_of_classes_and_experiments_are_text(compared: Compared) -> None:
    page = compared.page.read_text(encoding="utf-8")
    tags = Tags(page).tags
    assert "b" not in tags and "img" not in tags and tags.count("script") == 2  # a chart's values, and ours
    assert "&lt;b&gt;mild&lt;/b&gt;" in page and "&lt;img&gt;&amp;co" in page


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_from_disk_at_every_width(compared: Compared, tmp_path: Path, scheme: str) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(compared.page.as_uri())
        browser.wait_for_text("On the same test images", ODD, "Sensitivity of <b>mild</b>")
        for width in (1280, 390):
            browser.screenshot(tmp_path / f"{scheme}-{width}.png", width)
            assert browser.value("document.documentElement.scrollWidth") <= width
        paper = browser.value("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(254, 254, 254)") == (scheme == "light")
        read_with_keys(browser)
        assert browser.errors == [] and browser.other_hosts() == []


def read_with_keys(browser: Browser) -> None:
    """By Tab alone through the links and tables to the chart, whose values the arrows read."""
    reached = set()
    for _ in range(40):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(browser.value("document.activeElement.className || document.activeElement.tagName"))
        if "chart" in reached:
            break
    assert {"A", "scroll", "chart"} <= reached
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight",
                 windowsVirtualKeyCode=39)
    assert re.fullmatch(r"v1: epoch 1, balanced accuracy 0\.\d+",
                        browser.value("document.activeElement.querySelector('output').textContent"))
