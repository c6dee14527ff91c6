"""Pictures of a card, as SVG that stands in a page: the same bytes every time."""

import io
import re
import warnings
from collections.abc import Sequence, Set
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from skreward.report.printable import label
from skreward.utils.optional import wanted_by

# Legible on white and on near black, and told apart in grey by their markers.
MODEL, OTHER = "#2b7bba", "#cf6a17"
# Stands for the colour of the text around, which is not known here.
INK = "#010203"
NONE: Set[int] = frozenset()
WIDTH, ROW, MARGIN = 5.6, 0.2, 0.9
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "path.simplify": False,
}


class Series(NamedTuple):
    """Points of one colour with their intervals; NaN where there is none."""

    name: str
    value: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]
    color: str
    marker: str = "o"
    is_filled: bool = True


def require_matplotlib(caller: str) -> None:
    """Raise where there is nothing to draw with, before any work."""
    with wanted_by(caller, "matplotlib"):
        import matplotlib.figure  # noqa: F401


def forest(
    names, series: Sequence[Series], *, at, xlabel, title, headings: Set[int] = NONE
) -> str:
    """Draw a line a name, with the points and intervals of every series on it.

    ``headings`` are the positions of names that stand above others.
    """
    height = np.arange(len(names))[::-1].astype(float)
    with _figure(MARGIN + ROW * max(1, len(series) / 2) * len(names)) as figure:
        axes = figure.subplots()
        for k, one in enumerate(series):
            offset = (k - (len(series) - 1) / 2) * min(0.5 / len(series), 0.22)
            _points(axes, np.asarray(one.value, float), height - offset, one, is_x=True)
        axes.axvline(at, color=INK, linewidth=0.8, alpha=0.6, linestyle=":")
        axes.set_yticks(height, [_plain(name) for name in names])
        for k in headings:
            axes.get_yticklabels()[k].set_weight("bold")
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(xlabel)
        _legend(figure, axes, len(series))
        return _svg(figure, title)


def reliability(series: Sequence[Series], predicted, *, title) -> str:
    """Draw how often predictions come true against what they say."""
    with _figure(3.6) as figure:
        axes = figure.subplots()
        axes.plot([0.5, 1], [0.5, 1], color=INK, alpha=0.6, linewidth=0.8,
                  linestyle=":", label="calibrated")  # fmt: skip
        for one, at in zip(series, predicted, strict=True):
            _points(axes, np.asarray(one.value, float), np.asarray(at), one, is_x=False)
        axes.set(xlabel="probability that the model gives", xlim=(0.49, 1.01))
        axes.set_ylabel("share that came true")
        axes.grid(color=INK, alpha=0.12, linewidth=0.6)
        _legend(figure, axes, len(series) + 1)
        return _svg(figure, title)


def curves(lines, *, xlabel, ylabel, title, ticks=None, at=None) -> str:
    """Draw lines of (name, x, y, half width of a band or None, colour, style).

    ``ticks`` are places and names of a second axis above.
    """
    with _figure(3.2) as figure:
        axes = figure.subplots()
        for name, x, y, half, color, style in lines:
            axes.plot(x, y, color=color, linestyle=style, label=_plain(name),
                      linewidth=1.6)  # fmt: skip
            if half is not None:
                axes.fill_between(x, y - half, y + half, color=color, alpha=0.18,
                                  linewidth=0)  # fmt: skip
        if at is not None:
            axes.axhline(at, color=INK, linewidth=0.8, alpha=0.6, linestyle=":")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(color=INK, alpha=0.12, linewidth=0.6)
        if ticks is not None:
            above = axes.secondary_xaxis("top")
            above.set_xticks(ticks[0], ticks[1])
            above.set_xlabel("n")
        _legend(figure, axes, len(lines))
        return _svg(figure, title)


class _figure:
    """A figure in this module's style, without pyplot's state."""

    def __init__(self, height):
        self.height = height

    def __enter__(self) -> Any:
        import matplotlib
        from matplotlib.figure import Figure

        self.style = matplotlib.rc_context(STYLE)
        self.style.__enter__()
        self.told = warnings.catch_warnings()
        self.told.__enter__()
        # The reader's own fonts write what ours lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        return Figure(figsize=(WIDTH, self.height), layout="constrained")

    def __exit__(self, *error):
        self.told.__exit__(*error)
        self.style.__exit__(*error)


def _points(axes, value, other, one, *, is_x):
    ends = np.stack([value - one.lower, np.asarray(one.upper, float) - value])
    has_ends = np.isfinite(ends).all(axis=0)
    known = np.isfinite(value)
    x, y = (value, other) if is_x else (other, value)
    style = {
        "color": one.color,
        "markersize": 4.5,
        "markerfacecolor": one.color if one.is_filled else "none",
        "linestyle": "none",
    }
    axes.plot(x[known], y[known], one.marker, label=_plain(one.name), **style)
    drawn = known & has_ends
    errors = {"xerr" if is_x else "yerr": np.maximum(ends[:, drawn], 0)}
    axes.errorbar(
        x[drawn], y[drawn], **errors, fmt="none", ecolor=one.color, elinewidth=1.2,
        capsize=0,
    )  # fmt: skip


def _legend(figure, axes, n):
    if n > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left",
                      ncols=min(n, 2), handlelength=1.6)  # fmt: skip


def _plain(name):
    """Take from a name what matplotlib reads as mathematics, or as not to be shown."""
    shown = label(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _svg(figure, title) -> str:
    """Write a figure as an element of HTML: no dates, no addresses, ids of its own."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "skreward"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    written = out.getvalue()
    root = ElementTree.fromstring(written[written.index("<svg") :])
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    prefix = re.sub(r"\W+", "-", title.lower()).strip("-")
    for element in root.iter():
        element.tag, element.tail = _local(element.tag), None
        if element.tag not in ("text", "tspan"):
            element.text = None
        attributes = {_local(name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            element.set(name, _attribute(name, value, prefix))
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib.update({"class": "chart", "role": "img", "aria-label": title})
    return ElementTree.tostring(root, encoding="unicode")


def _local(name):
    return name.rpartition("}")[2]


def _attribute(name, value, prefix):
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return f"#{prefix}-{value.removeprefix('#')}"
    value = re.sub(r"url\(#", f"url(#{prefix}-", value)
    return value.replace(INK, "currentColor")
