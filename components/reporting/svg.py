"""SVG images for the report's pages, drawn with matplotlib in one style."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

INK, BLUE, ORANGE, GREEN, GREY = "#222222", "#0072b2", "#d55e00", "#009e73", "#8c8c8c"
MARKS = ((BLUE, "o"), (ORANGE, "^"), (GREEN, "s"), ("#cc79a7", "D"))
"""Okabe and Ito's colours, which colour-blind readers can distinguish, each with a marker."""

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",  # text stays text: the browser has the glyphs, also for Chinese
    "svg.hashsalt": "polyseme",  # equal inputs give equal bytes
    "text.parse_math": False,  # a source's name may have a dollar sign
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}
_WIDTH = 5.6  # inches: half of a wide page, or a narrow page


def svg_image(draw: Callable[[Figure], None], alt: str, height: float = 3.4) -> Markup:
    """An SVG image with its data inside.

    Args:
        draw: draws into the figure.
        alt: a description of the image.
        height: in inches.
    """
    with matplotlib.rc_context(dict(_STYLE)), warnings.catch_warnings():
        # matplotlib only measures text with its font; the browser draws it with another
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=no_metadata)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}">').format(alt, data)
