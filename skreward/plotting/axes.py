"""Matplotlib where it is installed, and axes to draw on."""

from skreward.utils.optional import wanted_by


def _require_matplotlib(caller):
    with wanted_by(caller, "matplotlib"):
        import matplotlib  # noqa: F401


def _axes(ax, caller):
    _require_matplotlib(caller)
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots()
    return ax, ax.figure
