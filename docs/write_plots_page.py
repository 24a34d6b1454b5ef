"""Write .dvc/plots.html, the page of `dvc plots`, with the scripts inside that DVC's own page loads from another host.

python docs/write_plots_page.py

Needs npm and a network, and is run only for new versions of Vega. The plots of DVC 3 are of Vega-Lite 5.
"""

import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

PAGE = Path(__file__).resolve().parent.parent / ".dvc/plots.html"
SCRIPTS = {"vega": "5.33.1", "vega-lite": "5.23.0", "vega-embed": "6.29.0"}
POLICY = (  # no other host is asked, whatever stands in a plot; Vega compiles its expressions, hence unsafe-eval
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src 'self' file: data: blob:"
)
HEAD = """<!DOCTYPE html>
<html lang="en">
<!-- Written by docs/write_plots_page.py: the page of `dvc plots show` and `diff`, which opens without network. It
holds, unchanged, from https://www.npmjs.com: {versions}.

{licence}
vega.min.js holds parts of D3 and of what it uses, https://d3js.org, Copyright 2010-2023 Mike Bostock, under the ISC
licence: Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
granted, provided that the above copyright notice and this permission notice appear in all copies. THE SOFTWARE IS
PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES
OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR
CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF
CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS
SOFTWARE.
-->
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Fovea: DVC plots</title>
<style>body {{ font: 14px sans-serif; margin: 1rem; display: flex; flex-wrap: wrap; gap: 1rem; }}
img {{ max-width: 100%; }} table {{ border-spacing: 15px; }}</style>
{{refresh_tag}}
"""
FOOT = """</head>
<body>
{plot_divs}
</body>
</html>
"""


def package(folder: str, name: str, version: str) -> tarfile.TarFile:
    """A package of npm, which compares it with the digest that the registry states."""
    command = ["npm", "pack", "--silent", f"{name}@{version}"]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    return tarfile.open(Path(folder, packed))


def text(archive: tarfile.TarFile, name: str) -> str:
    member = archive.extractfile(f"package/{name}")
    assert member is not None
    return member.read().decode()


def main() -> None:
    with TemporaryDirectory() as folder:
        write({name: package(folder, name, version) for name, version in SCRIPTS.items()})


def write(packages: dict[str, tarfile.TarFile]) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in SCRIPTS.items())
    page = HEAD.format(versions=versions, licence=text(packages["vega-lite"], "LICENSE"), policy=POLICY)
    for name, archive in packages.items():
        script = text(archive, f"build/{name}.min.js").strip()
        assert "</script" not in script and "{plot_divs}" not in script
        page += f"<script>{script}</script>\n"
    PAGE.write_text(page + FOOT, encoding="utf-8")


if __name__ == "__main__":
    main()
