"""What pages have in common: their templates, how figures read, and the one script that a browser may run."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fovea.report.content import Figure
from fovea.tracking.notes import plain

TEMPLATES = Path(__file__).parent / "templates"


def environment(autoescape: bool) -> Environment:
    """Names from image sets and experiments are hostile: a page is escaped, `plain` makes them safe in Markdown."""
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=autoescape, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"figure": format_figure, "interval": format_interval, "plain": plain}
    return made


def read_script(*names: str) -> str:
    """Scripts of the templates as one."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def source_hash(script: str) -> str:
    """What lets a browser run this script and no other (Content Security Policy Level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def format_figure(figure: Figure) -> str:
    """Three decimals, a dash for what is undefined."""
    return "\N{EN DASH}" if figure.value is None else f"{figure.value:.3f}"


def format_interval(figure: Figure) -> str:
    """Lower and upper limit with three decimals, nothing where there is no interval."""
    return "" if figure.interval is None else "{:.3f}\N{EN DASH}{:.3f}".format(*figure.interval)
