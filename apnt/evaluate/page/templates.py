"""The page's templates, style sheet and script, which lie beside this file."""

from __future__ import annotations

import math
from typing import Any

import jinja2

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("apnt.evaluate.page", ""),
    autoescape=True,  # select_autoescape does not know the ending .html.j2
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def text(value: float, digits: int) -> str:
    """A number for the page; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return "∞" if value == math.inf else f"{value:.{digits}f}"


_TEMPLATES.filters |= {"text": text, "percent": "{:.2%}".format}


def render(template: str, **values: Any) -> str:
    """Fill in a template; every value is escaped, so that names are text and never markup."""
    return _TEMPLATES.get_template(template).render(values)
