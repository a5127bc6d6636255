"""An SVG image has its data inside, and its text stays text."""

from __future__ import annotations

import base64

from markupsafe import Markup
from matplotlib.figure import Figure

from components.reporting.svg import svg_image


def write(figure: Figure) -> None:
    axis = figure.subplots()
    axis.set_title("$5 or $10")
    axis.set_xlabel("港口")


def decoded(image: Markup) -> str:
    return base64.b64decode(str(image).split("base64,")[1].removesuffix('">')).decode()


def test_text_is_kept_as_it_is() -> None:
    svg = decoded(svg_image(write, "a title"))
    assert ">$5 or $10</text>" in svg
    assert ">港口</text>" in svg


def test_the_description_is_escaped() -> None:
    assert str(svg_image(write, '<b> & "c"')).startswith(
        '<img alt="&lt;b&gt; &amp; &#34;c&#34;" src="data:image/svg+xml;base64,'
    )


def test_the_same_drawing_gives_the_same_bytes() -> None:
    assert svg_image(write, "a") == svg_image(write, "a")


def test_the_height_is_in_inches() -> None:
    assert 'height="144pt"' in decoded(svg_image(write, "a", height=2.0))
