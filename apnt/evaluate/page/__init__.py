"""The report as one HTML file. Python prepares what it says, the templates beside it say how it looks."""

from apnt.evaluate.page.page import Page

__all__ = ["Page"]
