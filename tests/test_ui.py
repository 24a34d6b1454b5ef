"""What a user sees: the MLflow UI over a sweep of two trainings, and DVC's plots, in a browser without a network.

A real server and a real browser: about a minute of CPU. Screenshots are left in pytest's temporary folders.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from fovea.files import write_json
from fovea.tracking import runs
from fovea.tracking.sweeps import log_sweep
from tests.browser import Browser, needs_chromium
from tests.miniature_run import HOSTILE, run_report, write_miniature
from tests.project import Project
from tests.servers import free_port

pytestmark = needs_chromium
OF_MLFLOW = (  # errors of its own page
    "/ajax-api/2.0/mlflow/users/current",  # asked of its own server, which says 404
    "ResizeObserver loop completed",       # a table that is laid out again in the next frame
)
WIDTHS = (1400, 700)


class Store(NamedTuple):
    """A server at `address` over the runs of a sweep: its parent, and the trainings, by id."""

    address: str
    parent: str
    trainings: list[str]

    def page(self, run: str, tab: str = "") -> str:
        return f"{self.address}/#/experiments/1/runs/{run}{tab}"


def train(folder: Path, seed: int) -> str:
    """A training as its stage records it, and its report."""
    sections = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    sections["train"]["seed"] = seed
    counts = {"train": 60, "val": 20, "test": 24}
    with runs.start_training(sections, data="data/raw/demo", digest="ab" * 20, device="cpu", counts=counts) as training:
        for epoch in range(1, 6):
            training.log({"epoch/train_loss": 1 / epoch, "epoch/val_loss": 1.2 / epoch}, epoch)
            training.log({"samples/train_loss": 1 / epoch}, 60 * epoch)
            training.log({"system/cpu_utilization_percentage": 90.0 + epoch}, 10 * epoch)
    assert training.id is not None
    write_json(folder / "mlflow_run.json", {"run_id": training.id, "training": ""})
    run_report(folder)
    return training.id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("ui") / "project"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("DVC_ROOT", str(folder))
        patch.chdir(folder)
        write_miniature(folder, classes=list(HOSTILE), absent="absent")
        trainings = [train(folder, seed) for seed in range(2)]
        parent = log_sweep("tried", [1], trainings, {}, {"test/accuracy/mean": 0.8}, {}, "**2 trainings**")
    assert parent is not None
    with serving(folder) as address:
        yield Store(address, parent, trainings)


class serving:  # noqa: N801  # a context manager, used as a function
    """An MLflow server on the loopback, over the store in a folder; gives its address."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self._port = port or free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
                   "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # 2 processes instead of 15
        self._log = folder / "server.log"
        with self._log.open("w") as log:
            self._server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log,
                                            start_new_session=True)

    def __enter__(self) -> str:
        address, end = f"http://127.0.0.1:{self._port}", time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=10).close()
                return address
            except OSError:
                alive = self._server.poll() is None and time.monotonic() < end
                assert alive, self._log.read_text(encoding="utf-8")
                time.sleep(0.2)

    def __exit__(self, *error: object) -> None:
        os.killpg(self._server.pid, signal.SIGTERM)
        self._server.wait(60)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Whatever a test opens in it: no error in the console, no request to another host."""
    with Browser(tmp_path / "profile") as browser:
        yield browser
        browser.text()  # reads what has arrived meanwhile
        assert browser.other_hosts() == []
        assert [error for error in browser.errors if not any(known in error for known in OF_MLFLOW)] == []


def shoot(browser: Browser, folder: Path, name: str) -> None:
    for width in WIDTHS:
        browser.screenshot(folder / f"{name}-{width}.png", width)


def test_the_sweep_is_one_line_of_the_run_list_that_leads_to_its_trainings(
    store: Store, browser: Browser, tmp_path: Path
) -> None:
    browser.open(f"{store.address}/#/experiments/1?workflowType=machine_learning")
    browser.wait_for_text("tried", "5 matching runs")
    shoot(browser, tmp_path, "list")
    browser.click("tried")
    browser.wait_for_text("Child runs", "2 trainings", "demo-")
    shoot(browser, tmp_path, "sweep")


def test_a_run_says_what_it_is_and_its_report_opens_on_a_click(
    store: Store, browser: Browser, tmp_path: Path
) -> None:
    browser.open(store.page(store.trainings[0]))
    browser.wait_for_text("Balanced accuracy", "8 reasons for caution", "fovea.warnings", "the parent of this run",
                          "Parent run", "demo (abababab", "test/balanced_accuracy")
    assert "<script>alert(1)</script> from" in browser.text()  # the name of a class, as text
    assert "\\" not in browser.text().partition("reasons for caution")[2].partition("the parent of")[0]
    shoot(browser, tmp_path, "run")
    browser.open(store.page(store.trainings[0], "/artifacts/report/report.html"))
    browser.wait_for_text("report/report.html")
    browser.wait_for("document.querySelector('iframe') !== null")
    shoot(browser, tmp_path, "report")


def test_curves_are_in_sections_that_say_what_their_steps_are(
    store: Store, browser: Browser, tmp_path: Path
) -> None:
    browser.open(store.page(store.trainings[0], "/model-metrics"))
    browser.wait_for_text("epoch", "samples", "test", "val_loss")
    shoot(browser, tmp_path, "curves")
    text = browser.text()
    assert text.index("\nepoch\n") < text.index("\nsamples\n") < text.index("\ntest\n")
    browser.open(store.page(store.trainings[0], "/system-metrics"))
    browser.wait_for_text("cpu_utilization_percentage")
    shoot(browser, tmp_path, "system")


def test_the_page_of_dvc_plots_opens_without_network(browser: Browser, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    write_miniature(tmp_path / "miniature", classes=["mild", "severe"])  # DVC's page breaks at a class "</script>"
    for path in (tmp_path / "miniature/reports").rglob("*.csv"):
        target = project.folder / "reports" / path.relative_to(tmp_path / "miniature/reports")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    page = project.run("dvc plots show").stdout.strip()
    browser.open(page)
    plots = len(yaml.safe_load(project.text("dvc.yaml"))["plots"])
    browser.wait_for(f"document.querySelectorAll('.vega-embed canvas').length === {plots}")
    assert browser.errors == []
    shoot(browser, tmp_path, "plots")
