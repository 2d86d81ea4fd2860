"""One HTML page about one or two runs, with the views of the Interactions tab and all data in it, to be sent around."""

from lightning_interactions.report.page import write_report
from lightning_interactions.report.run import Run, read_runs

__all__ = ["Run", "read_runs", "write_report"]
