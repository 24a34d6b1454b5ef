"""`machine.engine: ray`: the same bytes as in threads here, also when a node is killed in the middle of the work."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import psutil
import pytest

from fovea import engine
from fovea.cache import on_ray, plan
from fovea.engine import cluster, files_here
from fovea.errors import UserError
from fovea.ingest import engines
from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from tests.cache_sets import Place, draw_eye, encode_png, places, write_png, write_set
from tests.import_closure import ROOT
from tests.ingest_sets import FOLDERS, SET, TABLE
from tests.ray_nodes import BUCKET, Nodes, changed, s3_server

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not import this file


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_server() as client:
        yield client


@pytest.fixture(scope="module")
def running(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Connected once, because the workers of each connection have to import torch."""
    with changed(DVC_ROOT=str(tmp_path_factory.mktemp("root"))), Nodes.start() as nodes, cluster(0):
        yield nodes


@pytest.fixture
def nodes(running: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Three nodes, small batches and small shards."""
    running.complete()
    monkeypatch.setattr(engines, "AT_ONCE", 2)
    monkeypatch.setattr(on_ray, "IMAGES_AT_ONCE", 1)
    monkeypatch.setattr(plan, "SMALLEST", 4 * 16 * 16 * 3)
    return running


def killing(nodes: Nodes, module: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Kill a node when the first result has come; returns what says whether that has happened."""
    killed = threading.Event()

    def track(items: Iterable[Any], *rest: Any, **more: Any) -> Iterator[Any]:
        for item in items:
            yield item
            if not killed.is_set():
                killed.set()
                nodes.kill()

    monkeypatch.setattr(f"{module}.track", track)
    return killed.is_set


def dataset(*sources: dict[str, Any]) -> DatasetParams:
    return DatasetParams.model_validate({**SET, "sources": list(sources)})


def take_in(root: Path, params: DatasetParams, store: Path, which: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    return build_manifest(root, params, 10**7, 2, store, which)


def test_ray_is_asked_for_by_name_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"machine.engine: ray .* not installed: uv sync --extra ray"), cluster(0):
        pass


def test_an_address_where_no_ray_is_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(UserError, match=r"RAY_ADDRESS: no Ray at 127.0.0.1:9 .*Connection refused"), cluster(0):
        pass


def test_ingest_over_ray_is_the_same_though_a_node_is_killed(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "set"
    for number in range(30):
        write_png(root / f"pictures/{number % 2}/{number}.png", draw_eye(number, 600, 800))
    (root / "pictures/0/broken.jpg").write_bytes(b"no image")
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "packed.zip", "pictures/"], cwd=root, check=True)
    params = dataset({**FOLDERS, "images": "pictures"}, {**FOLDERS, "images": "packed.zip!pictures"})
    manifest, rejected = take_in(root, params, tmp_path / "one", "local")
    killed = killing(nodes, "fovea.ingest.examine", monkeypatch)
    again, refused = take_in(root, params, tmp_path / "other", "ray")
    assert killed() and len(again) == 60 and len(refused) == 2
    pd.testing.assert_frame_equal(again, manifest)
    pd.testing.assert_frame_equal(refused, rejected)


def test_augment_over_ray_is_the_same_though_a_node_is_killed(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = places(tmp_path)
    manifest, split = write_set(here.raw, count=40)
    local = here.build(manifest, split)
    killed = killing(nodes, "fovea.cache.build", monkeypatch)
    assert there.build(manifest, split, engine="ray") == local
    assert killed() and there.contents() == here.contents()


def test_squares_that_are_known_go_to_the_workers(nodes: Nodes, tmp_path: Path) -> None:
    here, there = places(tmp_path)
    manifest, split = write_set(here.raw)
    for place, which in ((here, "local"), (there, "ray")):
        place.build(manifest, split, engine=which)
        place.cache.rename(place.folder / "before")
    for path in (tmp_path / "raw/images").iterdir():
        path.unlink()  # nobody can decode them again
    built = [place.build(manifest, split, engine=which, seed=1) for place, which in ((here, "local"), (there, "ray"))]
    assert built[0] == built[1] and built[0].rendered == 14
    assert there.contents() == here.contents()


def test_an_error_on_a_worker_is_the_line_that_it_is_here_and_what_was_rendered_is_kept(
    nodes: Nodes, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    manifest, split = write_set(place.raw, count=20)
    write_png(place.raw / "images/9.png", draw_eye(99))  # the last by name
    with pytest.raises(UserError, match=r"images/9.png: changed since ingest; run dvc repro$"):
        place.build(manifest, split, engine="ray")
    assert place.recorded() > 0


def test_a_lost_worker_is_replaced_and_results_stay_in_order(nodes: Nodes, tmp_path: Path) -> None:
    def dies_once(folder: Path, number: int) -> int:
        if number == 3 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    with cluster(0) as ray:
        found = list(ray.map(dies_once, tmp_path, ((n, n) for n in range(20)), threading.Event()))
    assert (tmp_path / "died").exists()
    assert found == [(number, number**2) for number in range(20)]


def test_a_batch_that_kills_every_worker_ends_with_one_line(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RETRIES", 1)

    def dies(setting: None, number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with cluster(0) as ray, pytest.raises(UserError, match=r"machine.engine: a batch was lost .* 2 times"):
        list(ray.map(dies, None, [(0, 0)], threading.Event()))


def test_no_more_batches_are_under_way_than_the_cores_can_use(nodes: Nodes) -> None:
    asked = 0

    def batches() -> Iterator[tuple[int, int]]:
        nonlocal asked
        for number in range(100):
            asked += 1
            yield number, number

    with cluster(0) as ray:
        results = ray.map(lambda setting, number: number, None, batches(), threading.Event())
        for taken, _ in enumerate(results, 1):
            assert asked <= taken + engine.AHEAD * 3 + 1


def test_a_build_that_is_stopped_does_not_wait_for_a_cluster_that_has_no_core_free(nodes: Nodes) -> None:
    stop = threading.Event()

    def waits(setting: None, number: int) -> int:
        for _ in range(100):  # one long sleep could not be cancelled; one that begins just then is not, and goes on
            time.sleep(0.1)
        return number

    with cluster(0) as ray:
        threading.Timer(1, stop.set).start()
        assert list(ray.map(waits, None, ((n, n) for n in range(100)), stop)) == []


def test_images_at_a_url_are_read_by_the_workers(nodes: Nodes, s3: Any, tmp_path: Path) -> None:
    labels, root = ["image,level"], tmp_path / "raw"
    for number in range(12):
        s3.put_object(Bucket=BUCKET, Key=f"eyes/{number}.png", Body=encode_png(draw_eye(number)))
        labels.append(f"{number}.png,{number % 2}")
    s3.put_object(Bucket=BUCKET, Key="eyes/broken.png", Body=b"no image")
    root.mkdir()
    (root / "labels.csv").write_text("\n".join([*labels, "broken.png,1", "missing.png,0"]) + "\n")
    params = dataset({**TABLE, "images": f"s3://{BUCKET}/eyes"})
    manifest, rejected = take_in(root, params, tmp_path / "one", "local")
    again, refused = take_in(root, params, tmp_path / "other", "ray")
    assert len(manifest) == 12
    assert rejected["reason"].tolist() == ["not an image", "no such file"]
    pd.testing.assert_frame_equal(again, manifest)
    pd.testing.assert_frame_equal(refused, rejected)

    here, there = places(tmp_path)
    split = pd.DataFrame({"image": manifest["image"], "split": ["train"] * 8 + ["val", "test"] * 2})
    assert here.build(manifest, split) == there.build(manifest, split, engine="ray")
    assert here.contents() == there.contents()


def test_a_worker_with_other_code_is_refused(tmp_path: Path) -> None:
    origin = engines._origin()
    origin["libraries"]["pillow"] = "1.0"
    with pytest.raises(UserError, match=r"machine.engine: pillow is not the same on the node .*, here 1.0\)"):
        engines.look_at_all(engines.Setting(tmp_path, 10**6, origin), [])


def test_a_worker_without_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"has no folder {tmp_path}/absent; mount it there .* name the images by URL"):
        files_here(tmp_path / "absent", ["a.jpg"])
    assert files_here(tmp_path / "absent", ["s3://bucket/a.jpg"])


ALONE = """
import json, os, signal, threading
import psutil
from fovea.engine import cluster
from fovea.errors import report_user_errors
report_user_errors()
handler = signal.getsignal(signal.SIGTERM)
with cluster(1) as ray:
    assert list(ray.map(lambda setting, number: number, None, [(1, 1)], threading.Event())) == [(1, 1)]
    assert signal.getsignal(signal.SIGTERM) is handler
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    ports = [port for one in ours for port in one.net_connections() if port.status == "LISTEN"]
    print(json.dumps({"addresses": sorted({port.laddr.ip for port in ports}), "processes": [one.pid for one in ours],
                      "reports": os.environ["RAY_USAGE_STATS_ENABLED"]}))
"""


def test_a_ray_of_our_own_listens_on_loopback_alone_and_ends_with_us() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    printed = subprocess.run([sys.executable, "-c", ALONE], env=environment | {"PYTHONPATH": path}, check=True,
                             capture_output=True, text=True).stdout  # fmt: skip
    said = json.loads(printed.splitlines()[-1])
    assert {address.removeprefix("::ffff:") for address in said["addresses"]} == {"127.0.0.1"}
    assert said["reports"] == "0"
    assert not [one for one in said["processes"] if psutil.pid_exists(one)]
