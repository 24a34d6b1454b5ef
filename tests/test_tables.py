"""Tables that a spreadsheet may open: no cell is a formula, and every text comes back as it was."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fovea.evaluation.table import read_predictions, write_predictions
from fovea.tables import plain_text, read_table, safe_cell, write_table

LAW = settings(max_examples=100, deadline=None)
AWKWARD = st.text(st.sampled_from("'=+-@\t\r\n\",;a\N{SNOWMAN}"), max_size=6) | st.text(max_size=8)
UNICODE = AWKWARD.filter(lambda text: text.encode("utf-8", "replace").decode() == text and "\0" not in text)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_a_text_that_a_spreadsheet_would_compute_gets_a_quote(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["a.jpg", "", "1=2", "'tis.jpg", "images/-a.jpg"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


@LAW
@given(UNICODE)
@example("'=a")
def test_every_text_comes_back_and_no_cell_is_a_formula(text: str) -> None:
    assert plain_text(safe_cell(text)) == text
    assert not safe_cell(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@LAW
@given(rows=st.lists(st.tuples(UNICODE, st.floats(-1, 1)), max_size=5))
def test_a_written_table_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "table.csv"
    write_table(path, pd.DataFrame(rows, columns=["image", "margin"]).astype({"image": object, "margin": float}))
    back = read_table(path, text=("image",))
    assert back["image"].tolist() == [text for text, _ in rows]
    assert back["margin"].tolist() == pytest.approx([number for _, number in rows], abs=1e-8)


@LAW
@given(st.lists(UNICODE, max_size=5))
def test_predictions_of_images_with_any_name_come_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "predictions.csv"
    table = pd.DataFrame({"image": names, "split": "test", "label": "NA", "prediction": "0", "p_0": 1.0}, dtype=object)
    write_predictions(path, table.astype({"p_0": float}))
    assert read_predictions(path)[["image", "label"]].to_numpy().tolist() == [[name, "NA"] for name in names]


def test_what_is_missing_is_an_empty_cell(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", pd.DataFrame({"image": ["a", "b"], "split": ["test", None]}))
    assert read_table(tmp_path / "t.csv")["split"].tolist() == ["test", ""]


def test_a_name_that_is_not_utf8_is_written_with_its_bytes() -> None:
    assert safe_cell("caf\udce9.jpg") == "caf\\udce9.jpg"
