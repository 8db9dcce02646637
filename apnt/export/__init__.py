"""A network as one file that runs without this package's Python code: docs/export.md."""

from apnt.export.program import to_program
from apnt.export.write import FORMATS, export

__all__ = ["FORMATS", "export", "to_program"]
