"""The methods that an experiment with numbers compares."""

from __future__ import annotations

from collections.abc import Sequence

from apnt.errors import InputError
from apnt.methods import METHODS, Method, check_method, load_methods
from apnt.methods.several import share
from apnt.nn import checkpoint


def radiance_methods(
    methods: Sequence[str] | None, weights: Sequence[str], device: str | None, precision: str
) -> tuple[dict[str, Method], str]:
    """Methods that make radiance, ready to run.

    Args:
        methods: names; None = all that make radiance, of the networks those with weights.
        weights, device, precision: of the networks, see :func:`apnt.methods.load_methods`.

    Returns:
        Name -> method; and a sentence about networks left out, empty where there are none.

    Raises:
        InputError: a method that makes a picture for a display, or what loading refuses.
    """
    if methods is not None:
        for name in methods:
            if check_method(name).kind == "display":
                raise InputError(
                    f"methods must make radiance, and {name} makes a picture for a display: 'apnt evaluate "
                    f"--methods {name}' scores it by MEF-SSIM"
                )
        return load_methods(methods, weights, device, precision), ""
    names = [name for name, entry in METHODS.items() if entry.kind == "radiance"]
    names, left_out = with_weights(names, weights)
    return load_methods(names, weights, device, precision), left_out


def with_weights(names: Sequence[str], weights: Sequence[str]) -> tuple[list[str], str]:
    """Those methods that can run: without networks for which no weights are packaged or given.

    Returns:
        Names; and a sentence about networks left out, empty where there are none.
    """
    owned = share(names, weights)
    without = [name for name, own in owned.items() if not own and checkpoint.packaged_for(name) is None]
    return [name for name in names if name not in without], _sentence(without)


def _sentence(without: Sequence[str]) -> str:
    if not without:
        return ""
    titles = ", ".join(METHODS[name].title for name in without)
    return (
        f"Left out for want of weights: {titles}. 'apnt train --config configs/NAME.toml --data DIR "
        f"--out RUN' makes those of NAME ({', '.join(without)}), --weights RUN takes them."
    )
