"""How classes are spread over the parts that the image set gives, and over its groups."""

from typing import Any

import pandas as pd


def balance(manifest: pd.DataFrame) -> dict[str, Any]:
    """`given_split`: images of each class in each given part; `groups`: how many, the largest, those of one class.

    Both of all accepted images, whatever is dropped later. A key is missing if the set gives no parts or no groups.
    """
    found: dict[str, Any] = {}
    classes = list(manifest.attrs["classes"])
    given = manifest[manifest["given_split"].notna()]
    if len(given):
        table = pd.crosstab(given["given_split"], given["label"]).reindex(columns=classes, fill_value=0)
        found["given_split"] = {str(part): {name: int(row[name]) for name in classes} for part, row in table.iterrows()}
    grouped = manifest[manifest["group"].notna()].groupby("group")["label"]
    if len(grouped):
        found["groups"] = {"count": len(grouped), "largest": int(grouped.size().max()),
                           "of_one_class": int((grouped.nunique() == 1).sum())}  # fmt: skip
    return found
