"""`fovea predict`: images in, a table out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from fovea.classifier.classifier import Classifier, load_classifier
from fovea.classifier.explain import explain
from fovea.classifier.images import list_images
from fovea.classifier.predict import predict as predict_images
from fovea.errors import UserError
from fovea.files import replacing
from fovea.progress import track
from fovea.tables import as_utf8, printable, write_table
from fovea.training.device import choose_device

FORMATS = (".csv", ".parquet")
SHOWN = 3  # reasons


def predict(
    paths: list[str], model: str, out: Path, at: str | None, explained: bool, device: str, workers: int
) -> None:
    """Write the table `out`, `<out>_rejected.csv` beside it, and with `explained` the folder `<out>_explained`.

    Raises UserError if no image could be used, and as `load_classifier` and `list_images` do.
    """
    if out.suffix.lower() not in FORMATS:
        raise UserError(f"--out {out}: must end with {' or '.join(FORMATS)}")
    classifier = find_classifier(model, device)
    point = classifier.point(at) if at else None
    with unpacked_for_now():
        images = list_images(paths)
        run = partial(predict_images, classifier, images, workers, point, partial(track, count=len))
        if explained:
            with replacing(out.with_name(f"{out.stem}_explained")) as folder:
                folder.mkdir()
                table, rejected = run(partial(explain, classifier, folder))
        else:
            table, rejected = run()
    list_of_rejected = out.with_name(f"{out.stem}_rejected.csv")
    write_table(list_of_rejected, rejected)
    for image, reason in rejected.head(SHOWN).itertuples(index=False):
        print(f"rejected: {printable(image)}: {reason}")
    if table.empty:
        raise UserError(f"none of {len(rejected)} images could be used; {list_of_rejected} says why")
    write_predicted(out, table)
    print(f"{out}: {len(table)} images, {int(table['unlike'].sum())} unlike the training images"
          f"{f', labels at {point}' if point else ''}")
    if len(rejected):
        print(f"{list_of_rejected}: {len(rejected)} images that could not be used")


@contextmanager
def unpacked_for_now() -> Iterator[None]:
    """Archives are unpacked into a folder that ends with the block: nobody asked for copies of these photographs."""
    before = os.environ.get("DVC_ROOT")
    with TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder  # where the store is
        try:
            yield
        finally:
            del os.environ["DVC_ROOT"]
            os.environ.update({} if before is None else {"DVC_ROOT": before})


def find_classifier(model: str, device: str) -> Classifier:
    """The classifier of a file, or of the registry by `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""
    chosen = choose_device(device)
    if not model.startswith("models:/"):
        return load_classifier(model, chosen)
    from fovea.tracking.registry import fetch_model  # imports MLflow

    with TemporaryDirectory() as folder:
        return load_classifier(fetch_model(model, Path(folder)), chosen)


def write_predicted(out: Path, table: pd.DataFrame) -> None:
    """Write a table as the suffix of `out` says, whole or not at all."""
    if out.suffix.lower() == ".csv":
        write_table(out, table)
        return
    text: Any = table.select_dtypes("object").columns
    with replacing(out) as temporary:
        table.assign(**{name: table[name].map(as_utf8) for name in text}).to_parquet(temporary, index=False)
