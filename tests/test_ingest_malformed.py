"""Malformed and odd files, each made here: which are accepted as what, and which are rejected why."""

import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fovea.decode import decode, read_header, upright
from fovea.ingest.check import check_file
from fovea.ingest.entry import Facts
from tests.ingest_sets import FOLDERS, TABLE, encoded, ingest, reasons_of
from tests.odd_files import BOMBS, CASES, DEEP_BOMBS, JPEG, LARGE, Accepted, Rejected

LIMIT = 10**6  # of pixels


def outcome(result: Facts | str) -> Accepted | Rejected:
    if isinstance(result, str):
        return result
    return Accepted(result.format, result.width, result.height, result.frames)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged EXIF data
@pytest.mark.parametrize("name", CASES)
def test_a_file_is_accepted_as_what_it_is_or_rejected_for_what_it_lacks(tmp_path: Path, name: str) -> None:
    data, expected = CASES[name]
    (tmp_path / "file.jpg").write_bytes(data)
    found = outcome(check_file(tmp_path / "file.jpg", LIMIT))
    if isinstance(expected, Accepted):
        assert found == expected
    else:
        assert isinstance(found, str) and re.search(expected, found), found
        assert "\n" not in found and str(tmp_path) not in found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_what_is_accepted_can_be_decoded_later_at_that_size(tmp_path: Path, name: str) -> None:
    data = CASES[name][0]
    (tmp_path / "file.jpg").write_bytes(data)
    facts = check_file(tmp_path / "file.jpg", LIMIT)
    if isinstance(facts, Facts):
        header = read_header(data)
        assert upright(decode(data, header), header.orientation).shape == (facts.height, facts.width, 3)


@pytest.mark.filterwarnings("ignore")
def test_all_of_them_as_one_set_are_accepted_or_rejected_and_none_is_lost(tmp_path: Path) -> None:
    expected = {}
    for number, (name, (data, outcome_of)) in enumerate(CASES.items()):
        path = tmp_path / "ab"[number % 2] / f"{name.replace('/', ' ')}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        expected[path.relative_to(tmp_path).as_posix()] = outcome_of
    manifest, rejected = ingest(tmp_path, FOLDERS, max_pixels=LIMIT)
    assert len(manifest) + len(rejected) == len(CASES) >= 60
    assert set(manifest["image"]) == {image for image, found in expected.items() if isinstance(found, Accepted)}
    assert set(rejected["image"]) == {image for image, found in expected.items() if not isinstance(found, Accepted)}


MEMORY = """
import re, resource, sys
from pathlib import Path
from fovea.ingest.check import check_file
def peak():  # kB; getrusage would begin with the peak of the process that started this one
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
check_file(Path(sys.argv[1]), 10**6)  # an ordinary file, so that decoders are loaded
before = peak()
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 2**29,) * 2)
result = check_file(Path(sys.argv[2]), 10**6)
print(peak() - before)
print(result)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", [*BOMBS, *DEEP_BOMBS])
def test_a_bomb_takes_no_memory(tmp_path: Path, name: str) -> None:
    """At most 64 MiB more than an ordinary file, in a process that may not have 512 MiB more."""
    (tmp_path / "fine.jpg").write_bytes(LARGE)
    (tmp_path / "bomb.jpg").write_bytes({**BOMBS, **DEEP_BOMBS}[name])
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "fine.jpg"), str(tmp_path / "bomb.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    grown, found = done.stdout.split("\n", 1)
    assert int(grown) < 64 * 1024 and found.strip()


# Names of files

NAMES = {
    "blanks": " a  b .jpg",
    "quotes": "a\"b'c`.jpg",
    "comma and semicolon": "a,b;c.jpg",
    "new line": "a\nb.jpg",
    "carriage return": "a\rb.jpg",
    "tabulator": "a\tb.jpg",
    "formula": "=cmd|' C'!A0.jpg",
    "option": "-rf.jpg",
    "at": "@SUM(A1).jpg",
    "255 bytes": "x" * 251 + ".jpg",
    "emoji": "\N{EYE}\N{VARIATION SELECTOR-16}.jpg",
    "Arabic": "عين.jpg",
    "accent as a character of its own": "e\u0301.jpg",
    "right-to-left override": "a\u202egpj.jpg",
    "backslash": "a\\b.jpg",
    "percent and hash": "a%20b#c?.jpg",
    "archive mark": "a.zip!b.jpg",
    "only a suffix": "x..jpg",
    "upper case": "A.JPG",
}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names or files")


@LINUX
@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name_that_is_text(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        (tmp_path / "set" / folder / "plain.jpg").write_bytes(encoded(ord(folder)))
    (tmp_path / "set/a" / NAMES[name]).write_bytes(JPEG)
    manifest, rejected = ingest(tmp_path / "set", FOLDERS)
    assert rejected.empty and f"a/{NAMES[name]}" in set(manifest["image"])
    manifest.to_parquet(tmp_path / "manifest.parquet")
    assert list(pd.read_parquet(tmp_path / "manifest.parquet")["image"]) == list(manifest["image"])


@LINUX
def test_a_name_that_is_no_text_is_rejected_and_written_down(tmp_path: Path) -> None:
    """As the table of rejected files shows it: with the bytes as they are."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plain.jpg").write_bytes(encoded(ord(folder)))
    Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/caf\xe9 \xff.jpg")).write_bytes(JPEG)
    manifest, rejected = ingest(tmp_path, FOLDERS)
    rejected.to_csv(io.StringIO())
    assert len(manifest) == 2 and list(rejected["reason"]) == ["its name is not UTF-8 text"]


# What is no file

def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket has 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def make_unreadable(path: Path) -> None:
    path.write_bytes(JPEG)
    path.chmod(0)


MAKERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (make_folder, "not a file|cannot be read"),
    "FIFO": (os.mkfifo, "not a file"),
    "socket": (make_socket, "not a file|cannot be read"),
    "link to zeros without end": (lambda path: path.symlink_to("/dev/zero"), "not a file|leads out|not an image"),
    "link to a terminal": (lambda path: path.symlink_to("/dev/tty"), "not a file|leads out|cannot be read"),
    "link to itself": (lambda path: path.symlink_to(path.name), "leads out|to nothing|cannot be read"),
    "link to nothing": (lambda path: path.symlink_to("nothing.jpg"), "to nothing|cannot be read"),
}  # fmt: skip
if os.geteuid() != 0:  # root may read every file
    MAKERS["unreadable file"] = (make_unreadable, "cannot be read")
CHECK = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))  # for zeros without end
from fovea.ingest.check import check_file
print(check_file(Path(sys.argv[1]), 10**6))
"""


@LINUX
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_file_has_a_reason_and_does_not_hold_up_the_check(tmp_path: Path, name: str) -> None:
    make, reason = MAKERS[name]
    make(tmp_path / "x.jpg")
    command = [sys.executable, "-c", CHECK, str(tmp_path / "x.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    assert re.search(reason, done.stdout), done.stdout + done.stderr


@LINUX
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_file_is_rejected_in_a_set(tmp_path: Path, name: str) -> None:
    make, reason = MAKERS[name]
    (tmp_path / "images").mkdir()
    for seed in (0, 1):
        (tmp_path / f"images/{seed}.jpg").write_bytes(encoded(seed))
    make(tmp_path / "images/x.jpg")
    (tmp_path / "labels.csv").write_text("image,level\n0.jpg,0\n1.jpg,1\nx.jpg,1\n")
    manifest, rejected = ingest(tmp_path, TABLE)
    assert len(manifest) == 2 and len(rejected) == 1
    assert re.search(reason, reasons_of(rejected)["images/x.jpg"])
