"""How the ops meet autograd, forward-mode derivatives, ``torch.func`` and the compiler: one function an op.

An op is a ``torch.autograd.Function`` with every rule. Called by that function, transforms of ``torch.func``
find its rules; called as an operator, the compiler and the exporter see one node with a fake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from apnt.reference.transforms import functionalized

Function = type[torch.autograd.Function]


_FUNCTIONS: dict[tuple[str, str], Function] = {}
_LIBRARIES: list[torch.library.Library] = []  # registrations last as long as these


def call(namespace: str, name: str, *args: Any) -> Any:
    """Run an op: as one operator where a graph of it is recorded, else as the function with its rules."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or functionalized():
        return getattr(getattr(torch.ops, namespace), name)(*args)
    return _FUNCTIONS[namespace, name].apply(*args)


def below(operator: Any, *args: Any) -> Any:
    """The operator itself, without derivatives: what a function's forward runs."""
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*args)


def register(namespace: str, name: str, function: Function, fake: Callable[..., Any]) -> None:
    """Give the operator ``<namespace>::<name>`` its fake and the derivatives of ``function``."""
    schema = getattr(getattr(torch.ops, namespace), name).default._schema
    defaults = [argument.default_value for argument in schema.arguments]

    def differentiable(*args: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            raise NotImplementedError(
                f"{namespace}::{name} has no rules for torch.func inside torch.compile, nor where "
                f"it is called directly: call apnt.ops.{name.removesuffix('_backward')}, not compiled"
            )
        return function.apply(*args, *defaults[len(args) :])  # the dispatcher leaves defaults out

    torch.library.register_fake(f"{namespace}::{name}", fake)
    library = torch.library.Library(namespace, "IMPL")
    library.impl(name, differentiable, "Autograd")
    _LIBRARIES.append(library)
    _FUNCTIONS[namespace, name] = function
