"""Modules and names that have moved, importable from their old place for one release, with a warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

RELEASE = "0.3"
"""The release without the old names."""

MODULES: dict[str, tuple[str, ...]] = {
    "apnt.baselines": ("apnt.methods",),
    "apnt.baselines.align_debevec": ("apnt.methods.align_debevec",),
    "apnt.baselines.medium": ("apnt.methods.medium",),
    "apnt.baselines.weighted": ("apnt.methods.weighted",),
    "apnt.data.bracket": ("apnt.bracket",),
    "apnt.data.measure": ("apnt.prepare.brightness",),
    "apnt.data.radiance": ("apnt.io.radiance", "apnt.data.maps"),
    "apnt.io.tone": ("apnt.io.response",),
    "apnt.nn.exposure": ("apnt.nn.domains",),
}
"""Old module -> where its names are now."""

NAMES = {
    "apnt.data.radiance": {"SUFFIXES": "READABLE_SUFFIXES"},
    "apnt.nn.exposure": {"plateau": "saturation_level"},
}
"""Old module -> its names that changed, old -> new."""


def warn(old: str, new: str) -> None:
    """Say what an old name is called now."""
    message = f"{old} is {new} now; the old name goes with apnt {RELEASE}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)


class _MovedModules(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=name == "apnt.baselines") if name in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        sources = MODULES[module.__name__]
        warn(module.__name__, " and ".join(sources))
        for source in map(import_module, sources):
            for name in dir(source):
                if not name.startswith("__"):
                    setattr(module, name, getattr(source, name))
        for old, new in NAMES.get(module.__name__, {}).items():
            setattr(module, old, getattr(module, new))


def install() -> None:
    """Let ``import`` find the old modules; after all other places, so that nothing is hidden."""
    sys.meta_path.append(_MovedModules())
