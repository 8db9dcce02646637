"""The ops are PyTorch's as soon as both ``apnt`` and ``torch`` are imported, in either order.

Programs and packages that were exported name the ops, and load only where these are registered. ``import
apnt`` alone must not import torch: it leaves a note for the import of torch instead.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TypeVar

from apnt.text import reason

T = TypeVar("T")
_OPS = "apnt.ops"


class _AfterTorch(MetaPathFinder):
    """Finds torch where Python does, and imports the ops when it is there."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "torch":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            import_module(_OPS)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Register the ops now where torch is imported, else when it is."""
    torch = sys.modules.get("torch")
    if torch is None:
        sys.meta_path.insert(0, _AfterTorch())
    elif not getattr(torch.__spec__, "_initializing", False):
        import_module(_OPS)


def import_ahead() -> Callable[[Callable[[], T]], Callable[[], T]]:
    """Import torch in a thread of its own, in the time that OpenCV and NumPy let go of the interpreter.

    Returns:
        A function that has work, which needs torch, done there next. It returns one that waits for the work
        and returns what it returned or raises what it raised: OSError, a sentence, where torch cannot be
        imported. A second import would end in an error that is not the reason, for parts are there already.
    """
    pool = ThreadPoolExecutor(1, "import torch")
    imported = pool.submit(_import)

    def then(work: Callable[[], T]) -> Callable[[], T]:
        def next_work() -> T:
            imported.result()
            return work()

        return pool.submit(next_work).result

    return then


def _import() -> None:
    enabled = gc.isenabled()
    gc.disable()  # hardly any of it is ever freed, and looking for cycles takes a tenth of the time
    try:
        import_module("torch")
    except Exception as error:
        raise OSError(
            f"torch must be importable, and is not ({reason(error)}): run where there is more memory, or "
            "install it anew"
        ) from error
    finally:
        if enabled:
            gc.enable()
