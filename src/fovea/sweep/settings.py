"""Settings of params.yaml as `dvc exp run -S` takes them, in the grammar of Hydra's overrides."""

import json
from collections.abc import Iterator
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString


def settings_between(now: dict[str, Any], wanted: dict[str, Any], above: str = "") -> Iterator[str]:
    """`key=value`, `+key=value` or `~key` for each key that must change for `now` to become `wanted`."""
    for key in sorted(now.keys() - wanted.keys()):
        yield f"~{above}{key}"
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            yield from settings_between(now[key], value, f"{above}{key}.")
        elif key not in now:
            yield f"+{above}{key}={_text(value)}"
        elif value != now[key] or type(value) is not type(now[key]):  # 1 is True for Python
            yield f"{above}{key}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(QuotedString(value, Quote.single).with_quotes())
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return json.dumps(value)  # null, true, false and numbers read alike
