"""`mlflow models serve` on a registered model, as docs/serving.md starts it: a real server on loopback."""

import ast
import base64
import io
import json
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
import pytest
import requests
import torch
from mlflow.exceptions import MlflowException
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from fovea.classifier.classifier import Classifier, load_classifier
from fovea.classifier.predict import table_of
from fovea.promote.command import example, promote
from fovea.tracking import runs
from fovea.tracking.registry import NEEDED
from fovea.tracking.serving import MOST_BYTES, MOST_IMAGES, Room, Served
from tests import registered
from tests.import_closure import ROOT, import_closure
from tests.registered import COMMANDS, held_images, predicted, write_result
from tests.servers import Server, free_port
from tests.test_dicom import dicom

POINT = "a:sensitivity=0.5"


class Serving(NamedTuple):
    """A server of the first version of a model, and that model."""

    port: int
    process: psutil.Process
    classifier: Classifier
    folder: Path

    def ask(self, *texts: object, **params: str) -> requests.Response:
        rows = [[text] for text in texts]
        return self.post({"dataframe_split": {"columns": ["image"], "data": rows}, "params": params})

    def post(self, request: Any) -> requests.Response:
        return requests.post(f"http://127.0.0.1:{self.port}/invocations", json=request, timeout=120)

    def expected(self, files: list[bytes], at: str = "") -> list[dict[str, Any]]:
        seen = self.classifier.see(np.stack([self.classifier.square(file) for file in files]))
        point = self.classifier.point(at) if at else None
        table = table_of(self.classifier, [""] * len(files), seen, point).drop(columns="image")
        return [dict(row) for _, row in table.iterrows()]

    def peak(self) -> int:
        """The most memory that it has had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().split()
        return int(status[status.index("VmHWM:") + 1]) << 10


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Beside it lies another Fovea, which cannot be imported: the one that was registered must do."""
    folder = tmp_path_factory.mktemp("serving")
    (folder / ".dvc").mkdir()
    (folder / "other/fovea").mkdir(parents=True)
    (folder / "other/fovea/__init__.py").write_text("raise ImportError('another Fovea')")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(folder))
        patch.chdir(folder)
        sections = {"dataset": {"name": "small"}, "train": {"model": "squeezenet1_1"}}
        with runs.start_training(sections, data="data/raw/small", digest="ab" * 20, device="cpu", token="one") as run:
            pass
        images = held_images()
        write_result(folder, images, predicted(images, 0.8), {"run_id": run.id, "training": "one"})
        assert promote("workspace", "fovea", "balanced_accuracy", 0, "")
    port = free_port()
    environment = {"PYTHONPATH": str(folder / "other"), "OMP_NUM_THREADS": "1"}
    with registered.serving(folder, port, environment) as server:
        process = next(each for each in server.processes() if "uvicorn" in " ".join(each.cmdline()[:2]))
        yield Serving(port, process, load_classifier(folder / "models/model.pt", torch.device("cpu")), folder)


def picture(seed: int, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize((96, 64), Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


def text_of(file: bytes) -> str:
    return base64.b64encode(file).decode()


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [{key: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for key, value in row.items()}
            for row in expected] == found


def test_an_answer_is_what_fovea_predict_says_of_each_image(serving: Serving) -> None:
    files = [picture(1), picture(2, "JPEG"), picture(3, "TIFF")]
    assert_same(serving.ask(*map(text_of, files)).json()["predictions"], serving.expected(files))


def test_every_form_of_mlflow_that_holds_images_is_taken(serving: Serving) -> None:
    first, second = (text_of(picture(seed)) for seed in (1, 2))
    expected = serving.ask(first, second).json()
    rows = [{"image": first}, {"image": second}]
    for request in ({"dataframe_records": rows}, {"inputs": rows}, {"inputs": [first, second]}, {"instances": rows}):
        assert serving.post(request).json() == expected


def test_lines_of_base64_may_be_broken(serving: Serving) -> None:
    file = picture(1)
    assert serving.ask(base64.encodebytes(file).decode()).json() == serving.ask(text_of(file)).json()


def test_the_label_is_that_of_the_operating_point_asked_for(serving: Serving) -> None:
    files = [picture(seed) for seed in range(4)]
    found = serving.ask(*map(text_of, files), at=POINT).json()["predictions"]
    assert_same(found, serving.expected(files, POINT))
    assert {row["label"] for row in found} <= {"a", "not a"}


def test_the_lines_of_the_documentation_and_the_example_work(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").write_bytes(base64.b64decode(example()))
    lines = [line for line in COMMANDS if line.startswith(("printf", "curl"))]
    script = "\n".join(lines).replace("5001", str(serving.port))
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert_same(json.loads(done.stdout)["predictions"], serving.expected([base64.b64decode(example())]))


def test_a_hundred_clients_at_once_get_the_answers_to_their_own_images(serving: Serving) -> None:
    files = [picture(seed) for seed in range(100)]
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda file: serving.ask(text_of(file)), files))
    for file, answer in zip(files, answers, strict=True):
        assert_same(answer.json()["predictions"], serving.expected([file]))


GOOD = text_of(picture(0))


@pytest.mark.parametrize(
    ("texts", "params", "reason"),
    [
        ((GOOD, "no base64!"), {}, "image 1: not base64; URLs are not fetched"),
        ((GOOD, GOOD[:-3]), {}, "image 1: not base64"),
        ((text_of(b"no image"),), {}, "image 0: not an image"),
        (("",), {}, "image 0: not an image"),
        ((text_of(picture(0)[:300]),), {}, "image 0: truncated or damaged PNG"),
        ((text_of(picture(0, "JPEG")[:900]),), {}, "image 0: truncated or damaged JPEG"),
        ((GOOD, None), {}, "image 1: not text"),
        ((7,), {}, "image 0: not text"),
        ((), {}, "0 images; a request has 1 to 64"),
        ([GOOD] * (MOST_IMAGES + 1), {}, "65 images; a request has 1 to 64"),
        ((GOOD,), {"at": "sensitivity=0.7"}, "at sensitivity=0.7: no such operating point"),
        ((GOOD,), {"at": "sensitivity=0.5"}, "at sensitivity=0.5: no such operating point, or of several classes"),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_its_reason_alone(
    serving: Serving, texts: tuple[object, ...], params: dict[str, str], reason: str
) -> None:
    answer = serving.ask(*texts, **params)
    assert answer.status_code == 400 and answer.json()["message"].startswith(reason) and len(answer.text) < 400


def test_a_request_has_so_many_bytes_and_no_more(serving: Serving) -> None:
    with pytest.raises(MlflowException, match="96 MiB of images; a request has 64 at most"):
        Served(serving.classifier).predict(pd.DataFrame({"image": ["A" * MOST_BYTES] * 2}))


def test_a_distance_that_is_not_known_is_null(serving: Serving) -> None:
    found = serving.classifier.prediction
    unknown = replace(serving.classifier, prediction=replace(found, reference=found.reference._replace(limits=None)))
    table = Served(unknown).predict(pd.DataFrame({"image": [GOOD]}))
    assert json.loads(json.dumps(table.to_dict(orient="records"), allow_nan=False))[0]["distance"] is None


def test_a_wrong_column_is_said_without_all_that_was_sent(serving: Serving) -> None:
    answer = serving.post({"dataframe_split": {"columns": ["picture"], "data": [["A" * 1_000_000]]}})
    assert answer.status_code == 400 and "missing inputs ['image']" in answer.text and len(answer.text) < 2000


def test_no_url_is_fetched(serving: Serving) -> None:
    port = free_port()
    with Server(["python", "-m", "http.server", str(port), "--bind", "127.0.0.1"], port, serving.folder, "web") as web:
        before = web.log.read_text()
        for url in (f"http://127.0.0.1:{port}/a.png", f"file://{serving.folder}/a.png", "s3://bucket/a.png"):
            answer = serving.ask(url)
            assert answer.status_code == 400 and "URLs are not fetched" in answer.text
        assert web.log.read_text() == before


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int, data: bytes, more: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(screen: int, frame: int) -> bytes:
    sides = struct.pack("<HHBBB", screen, screen, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + sides + b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x02\x02\x4c\x01\x00;"


def tiff(side: int, tile: int, data: bytes) -> bytes:
    """One grey tile, deflated."""
    tags = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile),
            (324, 8 + 2 + 10 * 12 + 4), (325, len(data))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + table + bytes(4) + data


def deflated_dicom(packed: bytes, before: int = 0) -> bytes:
    """The meta information of a file, with so many bytes before the transfer syntax, then whatever that unpacks to."""
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(dicom(np.zeros((8, 8), np.uint8))))
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1." + before * "2")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()[: 144 + struct.unpack("<I", file.getvalue()[140:144])[0]] + packed


def zeros(size: int, form: int = zlib.MAX_WBITS) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, form)
    return b"".join(packer.compress(bytes(1 << 24)) for _ in range(size >> 24)) + packer.flush()


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (lambda: png(30_000, b""), "30000 x 30000 px, more than 50,000,000"),
        (lambda: png(8, b"", chunk(b"zTXt", b"a\0\0" + zeros(1 << 27))), "Decompressed data too large"),
        (lambda: gif(65_535, 8), "65535 x 65535 px, more than 50,000,000"),
        (lambda: gif(8, 65_535), "65535 x 65535 px, more than 50,000,000"),
        (lambda: deflated_dicom(zeros(1 << 27, -zlib.MAX_WBITS)), "a deflated DICOM file"),
        (lambda: deflated_dicom(zeros(1 << 27, -zlib.MAX_WBITS), 5000), "a deflated DICOM file"),
        (lambda: tiff(8, 60_000, zeros(1 << 27)), "cannot be decoded"),
    ],
    ids=["png", "png text", "gif screen", "gif frame", "dicom", "dicom with a long name", "tiff tile"],
)
def test_a_small_file_that_would_be_huge_is_refused_in_little_memory(serving: Serving, bomb: Any, reason: str) -> None:
    file = text_of(bomb())
    Path(f"/proc/{serving.process.pid}/clear_refs").write_text("5")  # the peak counts from here
    before = serving.process.memory_info().rss
    answer = serving.ask(file)
    assert answer.status_code == 400 and reason in answer.json()["message"]
    assert serving.peak() - before < 64 << 20
    assert serving.ask(GOOD).ok


def test_what_mlflow_itself_would_unfold_is_bounded_by_the_limit_of_the_process(serving: Serving) -> None:
    """It makes an array of `instances`, of texts as long as the longest: this one of 16 GB."""
    rows = [{"image": "A" * 4_000_000}, *[{"image": ""}] * 1000]
    answer = serving.post({"instances": rows})
    assert answer.status_code == 400 and serving.peak() < 6_000_000 << 10
    assert serving.ask(GOOD).ok


def test_images_are_decoded_side_by_side_only_as_far_as_there_is_room() -> None:
    room, inside, most, lock = Room(10), 0, 0, threading.Lock()

    def work(amount: int) -> None:
        nonlocal inside, most
        with room.taking(amount):
            with lock:
                inside += amount
                most = max(most, inside)
            time.sleep(0.002)
            with lock:
                inside -= amount

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, [1, 10, 4, 5, 3, 10, 2, 7] * 4))
    assert most == 10 and inside == 0


def test_what_a_version_needs_is_what_its_code_imports() -> None:
    """No more, or it could not be installed where that is not; no less, or it would not start."""
    files = import_closure(ROOT / "src/fovea/tracking/serving.py") | {"src/fovea/tracking/serving.py"}
    imported = {name.partition(".")[0] for file in files for name in _imported(ROOT / file)}
    distributions = packages_distributions()
    found = {distributions[name][0].lower() for name in (imported & distributions.keys()) - {"fovea", "pydantic_core"}}
    assert {name.partition("-tracing")[0] for name in found} == {*NEEDED, "mlflow", "pydicom", "timm"}


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_the_version_lists_what_it_needs_and_holds_no_pickle(serving: Serving) -> None:
    found = next(serving.folder.glob("mlartifacts/*/artifacts/classifier-*"))
    listed = [line.partition("==")[0] for line in (found / "requirements.txt").read_text().splitlines()]
    assert {*NEEDED} < {*listed} and "timm" not in listed
    assert not [path for path in found.rglob("*") if path.suffix in (".pkl", ".pickle")]
    rows = pd.read_parquet(found / "test_rows.parquet")
    assert len(rows) == 180 and (rows["image"].str.len() == 40).all()
