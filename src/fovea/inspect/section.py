"""The section `dataset` as text for params.yaml, each setting of a source with its meaning beside it."""

import json
import re
from typing import Any

from ruamel.yaml.comments import CommentedMap

from fovea.recipes import COMMENT_COLUMN, parse

MEANINGS = {
    "layout": "folders | pattern | table | lists | arrays",
    "file": "CSV, TSV, TXT, XLSX, JSON, JSON-lines or Parquet, or all.zip!labels.csv; for arrays .npz",
    "names": "file of the names, one a line",
    "labels_file": "file of the labels, in the same order",
    "images": 'folder of the images, "" for the set\'s own folder, all.zip!train in an archive'
              "; a table may have a list",
    "split_folders": "true: a folder for each part of the split above the classes; below: in each class",
    "pattern": "searched in the name; the group `label` is the label",
    "header": "false: columns are numbers from 0",
    "name_column": "file name of the image",
    "label_column": "its label; a list of columns: the name of the one that holds 1",
    "group_column": "what must not straddle the split, such as a patient; null if in no column",
    "split_column": "given split; null if in no column",
    "extension": 'added to each name; "" if names have it; null: look for the file',
    "split": "given split of all images of this source; null if none",
}
PLAIN = re.compile(r"[A-Za-z_./][\w./-]*( [\w./-]+)*")
NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off"}  # for YAML these are no text


def section_text(dataset: dict[str, Any], meanings: bool) -> str:
    """`dataset:` as params.yaml has it. With `meanings`, those of a source's keys stand where the key first does; the
    other keys keep the comments that they have in params.yaml.
    """
    lines = ["dataset:"]
    explained = set() if meanings else set(MEANINGS)
    for key, value in dataset.items():
        if key == "sources":
            lines.append("  sources:")
            lines += [line for source in value for line in _source_lines(source, explained)]
        else:
            lines.append(f"  {key}: {_text(value)}")
    return "\n".join(lines) + "\n"


def section(dataset: dict[str, Any]) -> CommentedMap:
    """The same as a document that `fovea.recipes` can merge into params.yaml."""
    return parse(section_text(dataset, meanings=True))


def _source_lines(source: dict[str, Any], explained: set[str]) -> list[str]:
    lines = []
    for position, (key, value) in enumerate(source.items()):
        meaning = "labels_file" if key == "labels" else key
        lines.append(_line(f"    {'- ' if position == 0 else '  '}{key}:", meaning, _text(value), explained))
    return lines


def _line(start: str, meaning: str, value: str, explained: set[str]) -> str:
    line = f"{start} {value}"
    if meaning in explained:
        return line
    explained.add(meaning)
    return f"{line:<{COMMENT_COLUMN - 2}}  # {MEANINGS[meaning]}"


def _text(value: Any) -> str:
    """A value on one line. Text that YAML could take for something else stands in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_TEXT:
        return value
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"  # between these quotes a backslash is one
    return json.dumps(value, ensure_ascii=False)
