"""The report card of a reward model: one page of what it is worth on data.

`ReportCard.from_estimator` computes it, ``skreward report`` does so from files.
"""

from skreward.report.card import ReportCard

__all__ = ["ReportCard"]
