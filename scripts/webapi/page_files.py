"""The files of the page at /: which there are, and where the gateway's folder holds them."""

import hashlib
import shutil
from pathlib import Path

from commandline.console import UserError

# What the charts need. Plot's own bundle takes these parts of d3 from a global object, in this
# order; all of d3 would be 41 kB more over the wire. js/plot.js loads them.
LIBRARIES = (
    "d3-array/dist/d3-array.min.js",
    "d3-color/dist/d3-color.min.js",
    "d3-interpolate/dist/d3-interpolate.min.js",
    "d3-format/dist/d3-format.min.js",
    "d3-time/dist/d3-time.min.js",
    "d3-time-format/dist/d3-time-format.min.js",
    "d3-scale/dist/d3-scale.min.js",
    "d3-geo/dist/d3-geo.min.js",
    "d3-path/dist/d3-path.min.js",
    "d3-shape/dist/d3-shape.min.js",
    "d3-selection/dist/d3-selection.min.js",
    "@observablehq/plot/dist/plot.umd.min.js",
)
# The style that Plot puts into each chart, for the Content-Security-Policy. A test in the browser
# tells when another Plot has another one.
CHART_STYLE = "sha256-jSYQUrW7J0b3jPqhZP9C2Xh1PyJKHKXd4s0fpGGKrww="
# This version and those before it: pages that are open still ask for their files.
KEPT_VERSIONS = 3
PLACEHOLDER = "@VERSION@"


def page_files(source: Path, modules: Path) -> dict[str, bytes]:
    """Return the files below /assets/<version>/, by their paths. UserError if one is missing."""
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.suffix in (".js", ".css", ".svg")
    }
    for library in LIBRARIES:
        path = modules / library
        if not path.is_file():
            raise UserError(f"{library} is missing in .local/node", "Install it: make install")
        files[f"lib/{path.name}"] = path.read_bytes()
    return files


def version_of(files: dict[str, bytes]) -> str:
    """Return a name for the contents of these files: other contents have another name."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def write_page_files(directory: Path, source: Path, modules: Path) -> None:
    """Write index.html and the folder of its version, so that no page mixes two versions."""
    files = page_files(source, modules)
    version = version_of(files)
    assets = directory / "assets"
    target = assets / version
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    target.touch()
    text = (source / "index.html").read_text(encoding="utf-8").replace(PLACEHOLDER, version)
    (directory / "index.html").write_text(text, encoding="utf-8")
    older = sorted(assets.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in older[KEPT_VERSIONS:]:
        shutil.rmtree(path)
