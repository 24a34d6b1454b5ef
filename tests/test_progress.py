"""What is shown while something runs: on a terminal, and in a log."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from types import SimpleNamespace
from typing import Any

import pytest

from fovea import progress
from fovea.progress import TrainingLine, track

TIMES = r"\d\d:\d\d elapsed, (\d\d:\d\d|\?) left, +\S+ images/s"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is due."""
    for name in ("SECONDS_BETWEEN_LINES", "SECONDS_UNTIL_SHOWN", "SECONDS_BETWEEN_VIEWS"):
        monkeypatch.setattr(progress, name, 0.0)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert out == "" and "\r" not in err
    return err.splitlines()


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2, 3], "ingest")) == [1, 2, 3]
    assert lines(capsys) == []


def test_a_line_has_the_count_the_time_taken_and_left_and_the_speed(
    eager: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(track([1, 2], "ingest")) == [1, 2]
    shown = lines(capsys)
    assert any(re.fullmatch(f"ingest: 1/2 images, {TIMES}", line) for line in shown), shown
    assert re.fullmatch(f"ingest: 2/2 images, {TIMES}", shown[-1])


def test_images_are_counted_where_an_item_is_several(eager: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(["abc", "d"], "evaluate", 4, count=len)) == ["abc", "d"]
    shown = lines(capsys)
    assert any(line.startswith("evaluate: 3/4 images") for line in shown), shown
    assert shown[-1].startswith("evaluate: 4/4 images")


def test_nothing_to_do_is_no_error(eager: None) -> None:
    assert list(track([], "augment")) == []


def test_lines_of_a_log_come_the_seldomer_the_longer_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.make_bar("ingest", 10, "images") as bar:
        bar.start_t -= 3600  # as if it had begun an hour ago
        bar.update()
        assert 359 < bar.mininterval < 361


def on_a_terminal(code: str) -> str:
    """What the code writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert child.wait() == 0, written
    return written.decode()


def test_on_a_terminal_one_line_is_written_over_and_its_end_stays() -> None:
    written = on_a_terminal(
        "from fovea import progress\n"
        "progress.SECONDS_UNTIL_SHOWN = progress.SECONDS_BETWEEN_VIEWS = 0\n"
        "for _ in progress.track(range(50), 'ingest'): pass\n"
    )
    assert "ingest: 49/50 images, 00:00 elapsed" in written
    assert written.count("\n") == 1 and "ingest: 50/50 images" in written.rsplit("\r", 2)[-2]


def training(**where: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"phase": "full", "epochs": 0, "seen": 0, "steps": [], "history": [], **where})


def test_the_line_of_a_training_has_epoch_times_speed_and_losses(
    eager: None, capsys: pytest.CaptureFixture[str]
) -> None:
    at = training(epochs=1, steps=[{"loss": 0.51}], history=[{"val_loss": 0.62}])
    line = TrainingLine(lambda: at, {"frozen": 0, "full": 4}, 10)
    for _ in line([1, 2], "full epoch 2/4", 2):
        at.seen += 5
    wanted = rf"train: full epoch 2/4: 15/40 images, {TIMES}, loss 0\.510, val_loss 0\.620"
    shown = lines(capsys)
    assert any(re.fullmatch(wanted, one) for one in shown), shown


def test_speed_and_time_left_are_since_the_phase_began_or_went_on(eager: None) -> None:
    at = training(epochs=2, seen=5)  # gone on with after 25 of 40 images
    line = TrainingLine(lambda: at, {"frozen": 0, "full": 4}, 10)
    for _ in line([1], "full epoch 3/4", 1):
        at.seen = 10
        line._bar.start_t -= 20
    assert re.fullmatch(r"00:2\d elapsed, 00:[34]\d left, +0\.2\d images/s", line.speed())


def test_features_and_validation_show_as_parts_of_the_training(
    eager: None, capsys: pytest.CaptureFixture[str]
) -> None:
    line = TrainingLine(lambda: training(phase="frozen"), {"frozen": 4, "full": 0}, 10)
    assert list(line(iter("ab"), "features", 2)) == ["a", "b"]
    assert any(one.startswith("train: features: 1/2 batches") for one in lines(capsys))


def test_an_epoch_of_which_nothing_is_left_has_a_speed(eager: None) -> None:
    line = TrainingLine(lambda: training(epochs=4), {"frozen": 0, "full": 4}, 10)
    assert list(line([], "full epoch 4/4", 0)) == []
    assert "elapsed" in line.speed()
