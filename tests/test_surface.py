"""The public surface, pinned: what users import, the options of every command, and the fields of files.

A line that changes here changes what others rely on: it needs a line in CHANGELOG.md, and an old name stays
importable for one release.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import apnt
from apnt import _moved

SURFACE = Path(__file__).with_name("surface.json")
MODULES = (
    "apnt",
    "apnt.data",
    "apnt.export",
    "apnt.io",
    "apnt.looks",
    "apnt.methods",
    "apnt.nn",
    "apnt.ops",
    "apnt.report",
    "apnt.reference",
)


def signature(public: Any) -> str:
    """Parameters of a function or class, with plain defaults; of anything else its type."""
    if not (inspect.isroutine(public) or inspect.isclass(public)):
        return type(public).__name__
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    texts = []
    for parameter in inspect.signature(public).parameters.values():
        text = stars.get(parameter.kind, "") + parameter.name
        if isinstance(parameter.default, str | int | float | bool | tuple | type(None)):
            text += f"={parameter.default!r}"
        texts.append(text + " (by name)" * (parameter.kind is parameter.KEYWORD_ONLY))
    return f"({', '.join(texts)})"


def names() -> dict[str, dict[str, str]]:
    found = {}
    for name in MODULES:
        module = importlib.import_module(name)
        found[name] = {public: signature(getattr(module, public)) for public in sorted(module.__all__)}
    return found


def commands() -> dict[str, list[str]]:
    import typer

    from apnt.cli import app

    found: dict[str, list[str]] = {}

    def walk(command: Any, path: str) -> None:
        for name, child in sorted(getattr(command, "commands", {}).items()):
            walk(child, f"{path} {name}")
        if not hasattr(command, "commands"):
            parameters = command.params
            found[path] = sorted(option for p in parameters for option in (*p.opts, *p.secondary_opts))

    walk(typer.main.get_command(app), "apnt")
    return found


def surface() -> dict[str, Any]:
    from apnt.methods import METHODS

    return {
        "names": names(),
        "commands": commands(),
        "methods": {name: entry.kind for name, entry in METHODS.items()},
    }


def test_the_surface_is_the_one_that_was_written_down() -> None:
    # To change it on purpose: python tests/test_surface.py
    assert surface() == json.loads(SURFACE.read_text())


def test_every_public_module_is_pinned() -> None:
    package = Path(apnt.__file__).parent
    folders = [path.parent for path in package.glob("*/__init__.py") if "__all__" in path.read_text()]
    assert {"apnt"} | {f"apnt.{folder.name}" for folder in folders} == set(MODULES)


@pytest.mark.parametrize("name", sorted(_moved.MODULES))
def test_old_modules_still_import_with_a_warning(name: str) -> None:
    for known in [known for known in sys.modules if known in _moved.MODULES]:
        del sys.modules[known]
    with pytest.warns(DeprecationWarning, match=rf"{name} is apnt\..* now; the old name goes with apnt"):
        module = importlib.import_module(name)
    for old in _moved.NAMES.get(name, {}):
        assert getattr(module, old) is not None


@pytest.mark.parametrize("name", ["Frames", "match_tone"])
def test_old_names_still_import_with_a_warning(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"apnt.io.{name} is"):
        assert callable(getattr(importlib.import_module("apnt.io"), name))


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(surface(), indent=1) + "\n")
