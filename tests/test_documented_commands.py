"""Every command of the README and of docs/ is run by a test: what can be run as it stands there is run here.

A command is a line of an indented block or of a ```bash block, and `uv run ...` in the text. They are run page after
page, the README first, as one user's way from the demo to her own images, in one project with small settings. What
tests/test_walkthrough.py runs is left to it. A new command is run here without further ado; one that cannot be is added
to ELSEWHERE, with the test that runs it with other values, or, if there is none, to NOWHERE with the reason.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests

from tests.import_closure import ROOT
from tests.miniatures import write_eyes
from tests.project import SMALL, STAGES, Project
from tests.servers import Server, free_port
from tests.test_walkthrough import README, REGISTRY
from tests.walkthrough import Line, person, run

PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")))
BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$|((?:^    [^\n]+\n)+)")  # a fence and its language, or indented lines
INSTALLING = "python3 -m venv .uv && .uv/bin/pip install -q uv && "  # from PyPI: .ci/run does it before all tests
MLFLOW_UI = "uv run mlflow ui --backend-store-uri sqlite:///mlflow.db"
SMALL_DEMO = "demo: {patients: 40, seed: 49, min_size: 60, max_size: 90}\nmachine: {workers: 1}\n"
CLUSTER = "needs several machines, or GPUs"
AS_ROOT = "installs a service as root"
CONTAINERS = "starts containers; tests/test_deploy.py looks into the file, tests/team.py runs the same servers"
FROM_PYPI = "installs from PyPI; .ci/run installs the group `dev`, which has all extras"
ALL_TESTS = "runs all tests"

ELSEWHERE = {  # a command: the test that runs it with values of its own, and the words of it that stand there
    "uv run dvc metrics show": ("test_pipeline.py", "dvc metrics show"),
    "uv run dvc metrics diff": ("test_pipeline.py", "dvc metrics diff"),
    "uv run dvc plots show": ("test_pipeline.py", "dvc plots show"),
    "uv run python stages/train.py": ("test_no_validation.py", "python stages/train.py"),
    "uv run dvc pull data/raw/<name>": ("test_pipeline.py", "dvc pull -q data/raw/"),
    'uv run fovea predict ~/new/scan.jpg "~/new/**/*.png" ~/new/more.zip --out found.parquet':
        ("test_predict_images.py", "predict"),
    "uv run fovea predict ~/new --at sensitivity=0.9": ("test_predict_images.py", "sensitivity=0.9"),
    "uv run fovea predict ~/new --explain": ("test_predict_images.py", "--explain"),
    "uv run fovea doctor": ("test_doctor.py", "doctor"),
    "uv run fovea promote workspace": ("test_promote.py", "promote"),
    "uv run fovea sweep try --seeds 3 --folds 5 -S train.full.lr=0.003":
        ("test_sweep_run.py", "fovea sweep try --seeds"),
    "uv run fovea sweep recipes/retinopathy.yaml": ("test_sweep_recipe.py", "fovea sweep recipes/retinopathy.yaml"),
    "uv run dvc exp apply try-s0-f0": ("test_sweep_run.py", "dvc exp apply"),
    "uv run fovea prune": ("test_prune_project.py", "fovea prune"),
    "uv run dvc exp run --queue -n grid -S train.seed=0,1,2 -S train.full.lr=0.001,0.003":
        ("test_queue.py", "dvc exp run --queue -n"),
    "uv run dvc queue start -j 2": ("project.py", "dvc queue start -j"),
    "uv run dvc queue status": ("project.py", "dvc queue status"),
    "uv run dvc queue logs NAME": ("test_queue.py", "dvc queue logs"),
    "for recipe in retinopathy skin; do\nuv run fovea recipe $recipe\nuv run dvc exp run --queue -n $recipe "
    "-S split.folds=5 -S split.fold=0,1,2,3,4 -S train.seed=0,1\ndone": ("test_queue.py", "dvc exp run --queue -n"),
    "uv run fovea compare retinopathy-resnet18 retinopathy-resnet18-scratch retinopathy-resnet50":
        ("test_compare.py", "fovea compare"),
    "uv run dvc pull --all-commits": ("test_compare.py", "dvc pull -q --all-commits"),
    "uv run dvc repro --force ingest": ("test_kill.py", "dvc repro --force"),
    "uv run dvc repro augment": ("test_kill.py", "dvc repro augment"),
    "uv run dvc fetch --all-branches": ("test_sync.py", "dvc fetch -q --all-branches"),
    "uv run dvc remote add -d storage /mnt/team/fovea": ("test_pipeline.py", "dvc remote add -q -d storage"),
    "uv run dvc remote add -d storage s3://dvc-storage/fovea":
        ("test_team_storage.py", "dvc remote add -q -d storage s3://dvc-storage/fovea"),
    "uv run dvc remote modify storage endpointurl http://127.0.0.1:8333":
        ("test_team_storage.py", "dvc remote modify -q storage endpointurl"),
    "uv run dvc remote modify --local storage access_key_id ...":
        ("test_team_storage.py", "dvc remote modify -q --local storage"),
    "uv run dvc remote modify --local storage secret_access_key ...":
        ("test_team_storage.py", "dvc remote modify -q --local storage"),
    "git push && uv run fovea push": ("test_team_storage.py", "fovea push"),
    "git pull && uv run dvc pull": ("test_team_storage.py", "dvc pull -q"),
    "uv run dvc repro --pull": ("test_team_storage.py", "dvc repro --pull"),
    "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000": ("team.py", "MLFLOW_TRACKING_URI"),
    "export MLFLOW_TRACKING_USERNAME=ada": ("team.py", "MLFLOW_TRACKING_USERNAME"),
    "export MLFLOW_TRACKING_PASSWORD=...": ("team.py", "MLFLOW_TRACKING_PASSWORD"),
    "uv run python -m tests.import_closure": ("test_dvc_yaml.py", "tests.import_closure"),
    "uv run dvc gc -w -A --all-experiments": ("test_prune_project.py", "dvc gc -w"),
    "uv run dvc exp remove NAME": ("test_prune_project.py", "dvc exp remove"),
    "uv run dvc exp run -n wider -S augment.image_size=192": ("test_sync.py", "dvc exp run -n"),
    "uv run dvc exp show": ("test_pipeline.py", "dvc exp show"),
    "uv run fovea compare main wider": ("test_compare.py", "fovea compare"),
    "uv run fovea lr-find": ("test_lr_find.py", "lr-find"),
    "uv run fovea sync": ("test_sync.py", "fovea sync"),
    "uv run fovea export-predictions predictions.csv": ("test_recipes_run.py", "fovea export-predictions"),
    "uv run fovea push": ("test_team_storage.py", "fovea push"),
    "uv run fovea promote wider": ("test_promote.py", "uv run fovea promote"),
    "uv run fovea promote wider --margin 0.02 --by auroc_macro": ("test_promote.py", "uv run fovea promote"),
    'uv run fovea promote main --force "wider misses the new camera"': ("test_promote.py", "uv run fovea promote"),
    "export MLFLOW_TRACKING_URI=sqlite:///mlflow.db": ("registered.py", "export"),
    "ulimit -d 6000000": ("registered.py", "ulimit"),
    "uv run mlflow models serve -m models:/fovea@champion --env-manager local -p 5001":
        ("registered.py", "uv run mlflow"),
    """printf '{"dataframe_records": [{"image": "%s"}]}' "$(base64 < eye.jpg)" | tr -d '\\n' > request.json""":
        ("test_serving.py", "printf"),
    "curl -s -d @request.json -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations":
        ("test_serving.py", "curl"),
}
NOWHERE = {  # a command: why no test here runs it
    f"{INSTALLING}.uv/bin/uv run pytest": ALL_TESTS,
    "uv sync --extra ray": FROM_PYPI,
    "ray start --head": CLUSTER + "; tests/test_engine_ray.py starts nodes on one",
    "RAY_ADDRESS=HEAD:6379 uv run dvc repro": CLUSTER,
    "cd deploy": CONTAINERS,
    "cp team.env.example .env && chmod 600 .env": CONTAINERS,
    "docker compose up -d": CONTAINERS,
    'for bucket in mlflow dvc-storage; do echo "s3.bucket.create -name $bucket"; done | docker compose exec -T storage '
    "weed shell": CONTAINERS,
    "python3 -m venv /opt/mlflow && /opt/mlflow/bin/pip install -r deploy/requirements.txt": AS_ROOT,
    "install -D -m 600 deploy/team.env.example /etc/fovea/team.env": AS_ROOT,
    "install -m 644 deploy/auth.ini /etc/fovea/auth.ini": AS_ROOT,
    "install -m 644 deploy/mlflow.service /etc/systemd/system/mlflow.service": AS_ROOT,
    "systemctl enable --now mlflow": AS_ROOT,
    "ssh -N -L 5000:127.0.0.1:5000 -L 8333:127.0.0.1:8333 server": CLUSTER,
    "SLURM": CLUSTER,
    "uv run dvc exp pull REMOTE NAME": "needs a git server to which somebody has sent experiments of DVC",
}


class Command(NamedTuple):
    page: str
    heading: str
    text: str       # without its comment; the lines of a loop are joined
    in_block: bool  # not in running text


def commands() -> list[Command]:
    return [command for page in PAGES for command in commands_of(page)]


def commands_of(page: str) -> Iterator[Command]:
    """Those of a page in the order in which they stand there."""
    heading = ""
    for part in re.split(r"^(?=#+ )", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = part.partition("\n")[0]
        for language, body, block in BLOCK.findall(part):
            if block or language == "bash":
                yield from (Command(page, heading, text, True) for text in lines_of(body or block))
        for text in re.findall(r"`((?:[A-Z_]+=\S+ )*uv\s+run\s+\w[^`]+)`", BLOCK.sub("", part)):
            yield Command(page, heading, " ".join(text.split()), False)


def lines_of(block: str) -> Iterator[str]:
    """Its commands: a line each, but for loops over several lines; a script for SLURM is one."""
    if "#SBATCH" in block:
        yield "SLURM"
        return
    for text in re.findall(r"(?ms)^for [^\n]*do$.*?^done$|^[^\n]+$", re.sub(r"(?m)^ +|\s+# .*$", "", block)):
        yield text.strip()


def is_beginning(text: str, mention: str) -> bool:
    """Whether `mention` is the beginning of the command `text`, its NAME and <name> being anything."""
    words = [r"\S+" if word.isupper() else re.sub(r"<\w+>", r"[^/ ]+", re.escape(word)) for word in mention.split()]
    return re.match(" ".join(words) + "( |$)", text) is not None


def walked() -> list[str]:
    """What is run here: each command once that no table has and that is no mention of a longer one."""
    every, left = commands(), {(page, heading) for page, heading, _ in (README, REGISTRY)}
    texts = {command.text for command in every}
    return list(dict.fromkeys(
        text for page, heading, text, in_block in every
        if (page, heading) not in left and text not in ELSEWHERE and text not in NOWHERE
        and (in_block or not any(is_beginning(longer, text) for longer in texts - {text}))))


class Walk(NamedTuple):
    project: Project
    lines: dict[str, Line]  # by the command as it is documented
    shown: dict[str, str]   # by the UI of MLflow: experiments by their id


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("documented")
    clone = Project.create(folder / "fovea")
    clone.run("fovea recipe demo")
    clone.set_params({key: SMALL[key] for key in SMALL if key.startswith(("augment.", "train.", "evaluate."))})
    (clone.folder / "demo/params.yaml").write_text(SMALL_DEMO)
    clone.commit("Settings that take seconds")
    home, team = folder / "home", folder / "team"
    team.mkdir()
    project = person(clone.folder, home)
    (clone.folder / ".uv/bin").mkdir(parents=True)
    (clone.folder / ".uv/bin/uv").symlink_to(home / "bin/uv")
    write_eyes(home / "photos", range(12))
    write_eyes(home / "new", range(20, 21))
    lines, shown, params = {}, {}, clone.folder / "params.yaml"
    for text in walked():
        if text == MLFLOW_UI:
            shown = experiments_shown(project)
            continue
        before = params.read_bytes()
        command = text.removeprefix(INSTALLING).replace("<name>", "photos").replace("ADDRESS", f"{team}/dvc")
        lines[text] = run(command, project, team)
        if "fovea recipe" in text:
            params.write_bytes(before)  # a recipe takes hours
    return Walk(project, lines, shown)


def experiments_shown(project: Project) -> dict[str, str]:
    """The experiments of MLflow by their id, as the server of its UI has them."""
    port = free_port()
    own = {"MLFLOW_PORT": str(port), "MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with Server(["bash", "-c", MLFLOW_UI], port, project.folder, ".git/ui", environment=project.environment | own):
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search"
        found = requests.post(address, json={"max_results": 10}, timeout=60).json()["experiments"]
    return {one["experiment_id"]: one["name"] for one in found}


def test_a_command_that_another_test_runs_stands_there() -> None:
    for text, (name, words) in ELSEWHERE.items():
        assert words in (ROOT / "tests" / name).read_text(encoding="utf-8"), (text, name)
        assert all(word in text for word in words.split() if word != "-q"), (text, words)


def test_the_tables_hold_nothing_that_the_pages_no_longer_have() -> None:
    assert {*ELSEWHERE, *NOWHERE, MLFLOW_UI} - {command.text for command in commands()} == set()
    assert not ELSEWHERE.keys() & NOWHERE.keys()


def test_the_first_line_runs_the_whole_pipeline_on_images_that_it_draws(walk: Walk) -> None:
    said = walk.lines[f"{INSTALLING}.uv/bin/uv run dvc repro"].said
    assert re.findall(r"Running stage '(?:.*:)?(\w+)'", said) == ["draw", *STAGES]


def test_from_a_folder_of_images_to_a_report_it_takes_three_lines(walk: Walk) -> None:
    assert "a folder for each class" in walk.lines["uv run fovea inspect ~/photos"].said
    assert re.findall(r"Running stage '(\w+)'", walk.lines["uv run dvc repro"].said) == list(STAGES)
    assert (walk.project.folder / "reports/report.html").exists()


def test_new_images_are_predicted_with_the_model_of_that_run(walk: Walk) -> None:
    rows = walk.project.text("predicted.csv").splitlines()
    assert len(rows) == 1 + 6 and "exudates/120_left.jpg" in rows[1]


def test_an_exported_model_is_checked_on_its_validation_images(walk: Walk) -> None:
    """`evaluate` notes which cache its figures are of, so that `export` knows it again."""
    assert re.search(r"on \d+ validation images: ", walk.lines["uv run fovea export classifier.onnx --int8"].said)


def test_the_ui_has_the_experiment_under_the_number_that_the_readme_links(walk: Walk) -> None:
    assert walk.shown["1"] == "fovea"
    assert "/#/experiments/1?" in (ROOT / "README.md").read_text(encoding="utf-8")
