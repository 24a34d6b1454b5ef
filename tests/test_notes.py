"""What stands in MLflow for people to read: descriptions, use of the machine, the branch."""

import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fovea.tracking import evaluations, provenance, sweeps, system, training_run
from fovea.tracking.notes import NOTE, RULE, plain
from tests.test_tracking import METRICS, SECTIONS, client, curve, experiment, finished, project, repository, start

__all__ = ["experiment", "project"]  # fixtures
PARAMS = SECTIONS["evaluate"]


def note(run_id: str | None) -> str:
    return str(client().get_run(run_id).data.tags.get(NOTE, ""))


def report(run_id: str, text: str, files: Any = None) -> str:
    """The evaluation's run."""
    return evaluations.log_report(run_id, METRICS, PARAMS, files or {}, note=text) or ""


def test_a_run_and_its_evaluation_are_described_with_links_to_the_report_and_the_parent(project: Path) -> None:
    (project / "report.html").write_text("<p>")
    run_id = finished()
    child = report(run_id, "accuracy **0.8**", {"report": ["report.html"]})
    pages = f"#/experiments/{client().get_run(run_id).info.experiment_id}/runs/"
    assert note(run_id) == f"accuracy **0.8**{RULE}[report]({pages}{run_id}/artifacts/report/report.html)"
    assert f"({pages}{run_id}), the parent of this run" in note(child)


def test_a_sweep_is_described_and_linked_by_its_trainings_which_keep_their_words() -> None:
    run_id = finished()
    report(run_id, "one")
    parent = sweeps.log_sweep("tried", [1], [run_id], {}, {"test/accuracy/mean": 0.8}, {}, "all")
    assert note(parent).partition(RULE)[0] == "all"
    assert note(run_id).startswith(f"one{RULE}[tried](#/experiments/")
    report(run_id, "two")
    assert note(run_id).startswith(f"two{RULE}[tried](#/experiments/")


def test_what_somebody_wrote_in_the_ui_stays() -> None:
    run_id = finished()
    report(run_id, "one")
    client().set_tag(run_id, NOTE, "the one for the paper")
    report(run_id, "two")
    assert note(run_id) == "the one for the paper"


def test_a_description_fits_into_what_mlflow_takes() -> None:
    run_id = finished()
    report(run_id, "x" * 20_000)
    assert 1000 < len(note(run_id)) < 8000


@pytest.mark.parametrize("name", ["<img src=http://x/y.png>", "![a](http://x/y.png)", "`a` *b*", "http://x/", "a\n# b"])
def test_names_are_no_markdown(name: str) -> None:
    shown = plain(name)
    assert "<" not in shown and "\n" not in shown
    assert ":" not in shown
    shown = shown.replace("&#58;", "")
    assert all(shown[at - 1] == "\\" for at, sign in enumerate(shown) if sign in "![]()`*#:")


def test_use_of_the_machine_is_logged_under_the_names_of_mlflow_and_not_twice_after_a_kill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system, "SECONDS_TO_FIRST", 0.0)
    monkeypatch.setattr(system, "SECONDS_BETWEEN", 0.05)
    name = "system/cpu_utilization_percentage"
    with pytest.raises(KeyboardInterrupt), start() as first:
        time.sleep(1.3)
        raise KeyboardInterrupt
    before = curve(first.id or "", name)
    with start(resume=first.id):
        time.sleep(2.3)
    after = curve(first.id or "", name)
    assert before == after[: len(before)] and len(after) > len(before) > 0
    assert all(0 <= value <= 100 for _, value in after)
    later = [step for step, _ in after[len(before) :]]
    assert min(later) > max(step for step, _ in before)


def test_a_sample_is_what_the_machine_says() -> None:
    found = system.sample()
    total = psutil.virtual_memory().total / system.MEGABYTE
    assert 0 < found["system/process_memory_usage_megabytes"] < found["system/system_memory_usage_megabytes"] < total


def test_nothing_is_sampled_after_the_end_nor_where_there_is_no_store() -> None:
    with start():
        assert "system metrics" in {thread.name for thread in threading.enumerate()}
    with training_run.TrainingRun():
        assert "system metrics" not in {thread.name for thread in threading.enumerate()}


def test_an_experiment_on_a_detached_head_has_the_branch_of_the_main_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = provenance.git_facts(repository(tmp_path))["git.commit"]
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert provenance.baseline_branch() == {}
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "f" * 40)
    assert provenance.baseline_branch() == {}
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", commit)
    assert provenance.baseline_branch() == {"git.branch": "trunk"}


def test_the_data_set_has_its_counts() -> None:
    with start(counts={"train": 24, "val": 6}) as training:
        pass
    (found,) = client().get_run(training.id).inputs.dataset_inputs
    assert found.dataset.profile == '{"num_rows":30,"train":24,"val":6}'
