"""The version of teloo-analytics: pyproject.toml has it, everything else reads it from there."""

import functools
import tomllib
from pathlib import Path

from commandline.console import UserError

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@functools.cache
def package_version() -> str:
    """Return the version of this tree, such as 0.1.0."""
    try:
        text = PYPROJECT.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"{PYPROJECT} is missing, which has the version",
            "Copy it with the folders scripts and sql.",
        ) from error
    return str(tomllib.loads(text)["project"]["version"])


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by."""
    return tuple(int(part) for part in version.split("."))
