"""One fuse as one HTML file: the radiance to look at, beside its inputs, and what was decided and why."""

from apnt.report.page import write_report
from apnt.run import Look, Run

__all__ = ["Look", "Run", "write_report"]
