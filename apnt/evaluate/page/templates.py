"""Templates, style sheet and script, which lie beside this file; other pages build on them."""

from __future__ import annotations

import math
from typing import Any

import jinja2


def templates(*packages: str) -> jinja2.Environment:
    """The templates of packages, and those of this one where they have none of a name."""
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "") for name in (*packages, __package__)]),
        autoescape=True,  # select_autoescape does not know the ending .html.j2
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"text": text, "percent": "{:.2%}".format}
    return found


def text(value: float, digits: int) -> str:
    """A number for the page; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return "∞" if value == math.inf else f"{value:.{digits}f}"


_TEMPLATES = templates()


def render(template: str, **values: Any) -> str:
    """Fill in a template; every value is escaped, so that names are text and never markup."""
    return _TEMPLATES.get_template(template).render(values)
