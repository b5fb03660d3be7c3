"""Run folders -> frame -> statistics, tables, plots, page. Reads what runs left, not how they were started."""

from resnet_lightning.report.write import Report, write_report

__all__ = ["Report", "write_report"]
