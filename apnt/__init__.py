"""HDR images of moving scenes from several exposures (APNT-Fusion).

Names are imported on first use, so that ``import apnt`` and ``apnt --help`` do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apnt import metrics, ops
    from apnt._fuse import fuse
    from apnt.looks import render
    from apnt.nn import APNTConfig, APNTFusion

from apnt import _moved, _with_torch

__version__ = "0.1.0"

__all__ = ["APNTConfig", "APNTFusion", "__version__", "fuse", "metrics", "ops", "render"]

# Public name -> (module, attribute); no attribute: the module itself.
_LAZY = {
    "APNTConfig": ("apnt.nn", "APNTConfig"),
    "APNTFusion": ("apnt.nn", "APNTFusion"),
    "fuse": ("apnt._fuse", "fuse"),
    "metrics": ("apnt.metrics", None),
    "ops": ("apnt.ops", None),
    "render": ("apnt.looks", "render"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value: Any = import_module(module)
    if attribute is not None:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_moved.install()
_with_torch.install()
