"""What `fovea prune` keeps for whom, kind by kind."""

import fcntl
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from fovea.cache import plan
from fovea.cache.build import Built, build_cache
from fovea.cache.keys import SQUARE_CODE, VARIANT_CODE, square_settings
from fovea.errors import UserError
from fovea.ingest.archives import archive_digest
from fovea.prune.command import remove
from fovea.prune.found import Found, size_of
from fovea.prune.needs import WORKSPACE, Revision, Stage, read_revisions, users
from fovea.prune.others import find_archives, find_databases
from fovea.prune.rows import find_rows
from fovea.raw import digest
from fovea.revisions import current_revisions, read_tracked
from fovea.store import open_database, share, unshared
from tests.cache_sets import augment_params, draw_eye, tables, write_png
from tests.project import Project

ROW = 16 * 16 * 3


def augment(outs: dict[str, str], code: dict[str, str] | None = None, **changes: Any) -> Stage:
    return Stage(augment_params(**changes).model_dump(mode="json"), code or {**SQUARE_CODE, **VARIANT_CODE}, outs)


class Version(NamedTuple):
    """Images by the seed that they are drawn from, and changes of the parameters."""

    images: dict[str, int]
    changes: dict[str, Any]


class Store:
    """A store of rows into which versions of a set are built; shards have 16 rows at most."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, folder / "rows"
        self.indexes: dict[str, pd.DataFrame] = {}
        self.versions: dict[str, Version] = {}

    def build(self, name: str, version: Version) -> Built:
        raw, cache = self.folder / "raw", self.folder / "cache"
        for image, seed in version.images.items():
            write_png(raw / image, draw_eye(seed))
        digests = [digest((raw / image).read_bytes()) for image in version.images]
        targets = [seed % 2 for seed in version.images.values()]
        manifest, split = tables(list(version.images), digests, targets, ["train"] * len(targets))
        shutil.rmtree(cache, ignore_errors=True)
        built = build_cache(cache, raw, manifest, split, augment_params(**version.changes), 2, self.rows)
        self.versions[name], self.indexes[name] = version, pd.read_parquet(cache / "index.parquet")
        shutil.rmtree(cache)
        return built

    def revision(self, name: str) -> Revision:
        return Revision(name, {"augment": augment({"data/cache": name}, **self.versions[name].changes)}, frozenset())

    def find(self, *names: str) -> list[Found]:
        revisions = [self.revision(name) for name in names]
        return list(find_rows(self.rows, revisions, lambda stage: self.indexes.get(stage.outs["data/cache"])))

    def prune(self, *names: str) -> None:
        remove(path for found in self.find(*names) if not found.needed_by for path in found.paths)

    def copy(self, folder: Path) -> "Store":
        shutil.copytree(self.folder, folder)
        other = Store(folder)
        other.indexes, other.versions = self.indexes, self.versions
        return other

    def shards(self) -> set[str]:
        return {path.stem for path in self.rows.glob("*/*.npy")}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(plan, "SMALLEST", 16 * ROW)
    return Store(tmp_path / "store")


def images(*seeds: int) -> dict[str, int]:
    return {f"{seed:02d}.png": seed for seed in seeds}


def draw_version(draws: random.Random) -> Version:
    changes: dict[str, Any] = draws.choice([{}, {}, {"variants": 1}, {"seed": 1}, {"crop": "centre"}])
    return Version(images(*draws.sample(range(10), draws.randint(1, 8))), changes)


@pytest.mark.parametrize("seed", range(12))
def test_no_history_makes_a_kept_version_render_more_than_without_prune(
    store: Store, tmp_path: Path, seed: int
) -> None:
    """Even where files of the store are lost, and where shards were begun and not finished."""
    draws = random.Random(seed)
    for name in "abcd":
        store.build(name, draw_version(draws))
    for path in draws.sample(sorted(store.rows.glob("*/*.npy")), draws.randint(0, 3)):
        if draws.random() < 0.5:
            path.unlink()
        else:
            path.rename(path.with_suffix(".part")).chmod(0o644)
    kept = draws.sample("abcd", 2)
    pruned = store.copy(tmp_path / "pruned")
    pruned.prune(*kept)
    for number, name in enumerate(kept):
        for one in (store, pruned):
            one.copy(tmp_path / f"{one.folder.name}-{number}")
        rendered = [Store(tmp_path / f"{folder}-{number}").build(name, store.versions[name]).rendered
                    for folder in ("store", "pruned")]
        assert rendered[0] == rendered[1]


def test_shards_of_no_revision_are_freed(store: Store) -> None:
    store.build("a", Version(images(*range(8)), {}))
    needed = store.shards()
    store.build("b", Version(images(*range(6), 20), {"seed": 1}))
    store.build("c", Version(images(*range(8)), {"image_size": 17}))
    store.prune("a")
    assert store.shards() == needed
    assert [path.name for path in store.rows.iterdir() if path.is_dir()] == [square_settings(augment_params())]
    assert len(list(store.rows.glob("*/variants-*.json"))) == 1
    store.prune()
    assert [path.name for path in store.rows.iterdir()] == ["lock"]


def test_a_shard_is_kept_for_the_one_row_that_is_nowhere_else(store: Store) -> None:
    store.build("a", Version(images(1, 2, 3, 4), {}))
    own = store.shards()
    store.build("b", Version(images(0, 3), {}))
    for name in own:
        next(store.rows.glob(f"*/{name}.npy")).unlink()
    store.prune("a")
    assert store.build("a", store.versions["a"]).rendered == 3 * 3


def test_a_shard_that_was_begun_is_kept_for_who_goes_on_with_it(store: Store) -> None:
    store.build("a", Version(images(*range(4)), {}))
    store.build("b", Version(images(*range(10, 14)), {}))
    for path in list(store.rows.glob("*/*.npy")):
        path.rename(path.with_suffix(".part")).chmod(0o644)
    store.prune("a")
    assert store.copy(store.folder.parent / "other").build("b", store.versions["b"]).rendered == 12
    assert store.build("a", store.versions["a"]).rendered == 0


def test_rows_are_known_by_the_code_that_their_revision_had(store: Store) -> None:
    store.build("a", Version(images(1, 2), {}))
    edited = {**SQUARE_CODE, **VARIANT_CODE, "src/fovea/cache/circle.py": "0" * 32}
    revision = Revision("a", {"augment": augment({"data/cache": "a"}, edited)}, frozenset())
    assert [found.needed_by for found in find_rows(store.rows, [revision], lambda _: store.indexes["a"])] == [[]]
    more = {**SQUARE_CODE, **VARIANT_CODE, "src/fovea/cache/another.py": "0" * 32}
    revision = Revision("a", {"augment": augment({"data/cache": "a"}, more)}, frozenset())
    assert ["a"] in [found.needed_by for found in find_rows(store.rows, [revision], lambda _: store.indexes["a"])]


def test_a_revision_is_understood_whose_parameters_were_of_another_schema(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("git init -q -b main")
    (tmp_path / "params.yaml").write_text("augment: {size: 24}")
    stage = {"params": {"params.yaml": {"augment": {"image_size": 16, "since_dropped": 1}}}, "deps": [], "outs": []}
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"augment": stage}}))
    project.commit("Of an earlier Fovea")
    (tmp_path / "dvc.lock").unlink()
    found = users({"params": {"image_size": 16, "since_dropped": 1}}, "augment", read_revisions(tmp_path))
    assert [one.name for one in found] == ["main"]
    (tmp_path / "dvc.lock").write_text("<<<<<<< HEAD")
    with pytest.raises(UserError, match=r"workspace: its dvc\.lock or reports/ingest\.json cannot be read"):
        read_revisions(tmp_path)


def test_a_revision_whose_index_is_not_here_is_named(store: Store) -> None:
    store.build("a", Version(images(1, 2), {}))
    del store.indexes["a"]
    assert [(found.needed_by, found.note) for found in store.find("a")] == [([], "a not in DVC's cache here")]


def test_what_other_code_found_is_kept_for_the_revision_that_has_it(tmp_path: Path) -> None:
    for digit in "123":
        open_database(tmp_path / "ingest", "facts", {"src/fovea/decode.py": digit}, "facts (digest)").close()
    (tmp_path / "ingest/facts-00000000.db").write_bytes(b"of unknown origin")
    revisions = [Revision(f"v{digit}", {"ingest": Stage({}, {"src/fovea/decode.py": digit, "more.py": "0"}, {})},
                          frozenset()) for digit in "13"]
    found = list(find_databases(tmp_path / "ingest", "ingest", "", revisions))
    assert sorted(one.needed_by for one in found) == [[], [], ["v1"], ["v3"]]
    assert sum(len(one.paths) for one in found) == 7


def test_archives_are_kept_that_a_revision_or_the_set_refers_to(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "below").mkdir(parents=True)
    (raw / "below/images.tar.gz").write_bytes(b"any bytes")
    here = archive_digest(raw / "below/images.tar.gz")
    for name in (f"{here}-1", "1" * 40 + "-1", "2" * 40 + "-1", f".{here}-1.begun"):
        (tmp_path / "archives" / name).mkdir(parents=True)
    revisions = [Revision("v1", {}, frozenset(["1" * 40]))]
    found = {one.paths[0].name: one.needed_by for one in find_archives(tmp_path / "archives", raw, revisions)}
    assert found == {f"{here}-1": [WORKSPACE], "1" * 40 + "-1": ["v1"], "2" * 40 + "-1": [], f".{here}-1.begun": []}


def test_blocks_on_the_disk_are_counted_and_those_that_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/own").write_bytes(b"1" * 5000)
    (tmp_path / "a/linked").write_bytes(b"1" * 9000)
    os.link(tmp_path / "a/linked", tmp_path / "link")
    with (tmp_path / "a/hole").open("wb") as file:
        file.truncate(10**9)
    assert size_of([tmp_path / "a"]) == (8192, 12288)


def test_revisions_are_branches_tags_stashes_and_a_detached_head(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("git init -q -b main")
    (tmp_path / "file").write_text("1")
    project.commit("1")
    project.run("git tag -a -m 1 v1")
    project.run("git update-ref refs/remotes/origin/theirs main")
    project.run("git update-ref refs/exps/exec/EXEC_HEAD main")
    (tmp_path / "file").write_text("2")
    project.run("git stash -q")
    assert [name.split()[0] for name, _ in current_revisions(tmp_path)] == ["main", "v1", "stash"]
    project.run("git checkout -q --detach")
    assert next(current_revisions(tmp_path))[0] == "HEAD"


def test_what_is_not_utf8_in_a_revision_is_spelled_out(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.run("git init -q -b main")
    (tmp_path / "dvc.lock").write_bytes(b"gr\xfcn \xc3\xa9")
    project.commit("Latin-1, then UTF-8")
    assert read_tracked(tmp_path, "main", "dvc.lock") == "gr\\xfcn é"


def test_who_uses_the_store_keeps_prune_out_and_prune_keeps_others_out(tmp_path: Path) -> None:
    with unshared(tmp_path), (tmp_path / "lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    share(tmp_path)
    with pytest.raises(UserError, match=rf"\(process {os.getpid()}\) is running"), unshared(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "\n", "12", "augment\n"])
def test_who_uses_the_store_keeps_prune_out_even_if_its_name_was_not_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(UserError, match="is running; wait until it ends"), unshared(tmp_path):
            pass
