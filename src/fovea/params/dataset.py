"""Section `dataset`: which image set, how its labels are written, and what its classes are called."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fovea.params.section import Section

Part = Literal["train", "val", "test"]


class Source(Section):
    """What every layout has: `split` names the part that all its images belong to, null if it gives none."""

    split: str | None


class Folders(Source):
    """One folder per class below `images`; with `split_folders`, one folder per given split above those (true) or in
    each of them ("below").
    """

    layout: Literal["folders"]
    images: str
    split_folders: bool | Literal["below"]

    @model_validator(mode="after")
    def _one_split(self) -> "Folders":
        if self.split_folders and self.split is not None:
            raise ValueError("split: must be null with split_folders, where the folders give it")
        return self


class Pattern(Source):
    """Images below `images`, their label in the file name: the group `label` of the regular expression `pattern`."""

    layout: Literal["pattern"]
    images: str
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _has_label(cls, pattern: str) -> str:
        return _regular_expression(pattern, "label")


NAMED_COLUMNS = (".json", ".jsonl", ".ndjson", ".parquet")


class LabelFile(Source):
    """A file that names images in the folder `images`; in a list of folders each name is looked for in each.

    `extension` is added to names that are written without one ("" if they have it, null to look for the file).
    """

    images: str | Annotated[list[str], Field(min_length=2)]
    extension: str | None

    @property
    def folders(self) -> list[str]:
        return [self.images] if isinstance(self.images, str) else self.images

    @model_validator(mode="after")
    def _different_folders(self) -> "LabelFile":
        if len(set(self.folders)) < len(self.folders):
            raise ValueError("images: a folder stands twice")
        return self


class Table(LabelFile):
    """A CSV, TSV, TXT, XLSX, JSON, JSON-lines or Parquet table. Columns are names, or numbers from 0 if `header` is
    false. A list of label columns is one-hot: the one that holds 1 gives its name as the label.

    `group_column` and `split_column` may be null. `keep` names more columns, such as sex or site, which the manifest
    gets as text under their names.
    """

    layout: Literal["table"]
    file: str
    header: bool
    name_column: str | int
    label_column: str | int | Annotated[list[str | int], Field(min_length=2)]
    group_column: str | int | None
    split_column: str | int | None
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Table":
        if self.split_column is not None and self.split is not None:
            raise ValueError("split: must be null with split_column, which gives it")
        if not self.header and self.file.lower().endswith(NAMED_COLUMNS):
            raise ValueError("header: must be true for JSON and Parquet, whose columns have names")
        for key in ("name_column", "label_column", "group_column", "split_column"):
            if not self.header and _has_name(getattr(self, key)):
                raise ValueError(f"{key}: must be a number from 0, or null where allowed, because header is false")
        if self.keep and not self.header:
            raise ValueError("keep: must be left out, because header is false and the columns have no names")
        if isinstance(self.label_column, list) and len(set(map(str, self.label_column))) < len(self.label_column):
            raise ValueError("label_column: a column stands twice")
        return self


class Lists(LabelFile):
    """Two header-less files of the same length: one name a line, one label a line."""

    layout: Literal["lists"]
    names: str
    labels: str

    @model_validator(mode="after")
    def _without_columns(self) -> "Lists":
        for key in ("names", "labels"):
            if getattr(self, key).lower().endswith(NAMED_COLUMNS):
                raise ValueError(f"{key}: must be a text file or XLSX; JSON and Parquet are read by layout: table")
        return self


class Arrays(Source):
    """A `.npz` with `<split>_images` (n, h, w[, 3]) uint8 and `<split>_labels` (n,) or (n, 1); gives each `<split>`."""

    layout: Literal["arrays"]
    file: Annotated[str, Field(pattern=r"\.npz$")]
    split: None


AnySource = Annotated[Folders | Pattern | Table | Lists | Arrays, Field(discriminator="layout")]


class DatasetParams(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sources: Annotated[list[AnySource], Field(min_length=1)]
    labels: dict[str, str]
    classes: list[str]
    positive: str | None
    group: str | None
    splits: dict[str, Part] | None

    @field_validator("labels", "splits", mode="before")
    @classmethod
    def _keys_as_text(cls, mapping: object) -> object:
        """YAML reads the keys 0 and 1 as numbers; label files hold text."""
        if not isinstance(mapping, dict):
            return mapping
        return {_text(key): _text(value) for key, value in mapping.items()}

    @field_validator("classes", mode="before")
    @classmethod
    def _classes_as_text(cls, classes: object) -> object:
        return [_text(name) for name in classes] if isinstance(classes, list) else classes

    @field_validator("positive", mode="before")
    @classmethod
    def _positive_as_text(cls, positive: object) -> object:
        return None if positive is None else _text(positive)

    @field_validator("group")
    @classmethod
    def _has_group(cls, pattern: str | None) -> str | None:
        return None if pattern is None else _regular_expression(pattern, "group")

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetParams":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a name stands twice")
        if self.positive is not None and self.classes and (len(self.classes) != 2 or self.positive not in self.classes):
            raise ValueError(f"positive: is {self.positive!r}, but must be one of exactly two classes")
        return self


def _has_name(column: object) -> bool:
    return any(isinstance(name, str) for name in (column if isinstance(column, list) else [column]))


def _text(value: object) -> str:
    if isinstance(value, bool):
        raise ValueError("write yes, no, on, off, true and false in quotes: YAML reads them as true or false")
    return str(value)


def _regular_expression(pattern: str, group: str) -> str:
    try:
        names = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    if group not in names:
        raise ValueError(f"needs a named group, (?P<{group}>...)")
    return pattern
