"""A matplotlib figure as SVG that can live inside a page: unique ids, the page's fonts and colours, its width."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from mtl_pipeline.evaluation.report.figures.palette import LIGHT

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
FURNITURE = (f"{{{SVG}}}metadata", f"{{{SVG}}}style")
"""Dropped: inside a page a style sheet would apply to all of it."""
REFERENCES = ("clip-path", f"{{{XLINK}}}href")

VARIABLES = {colour: f"var(--{name}, {colour})" for name, colour in LIGHT.items()}

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, and that names among raw data may."""

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def to_svg(figure: Figure, identifier: str, description: str) -> str:
    """The figure as one `<svg>` element.

    `identifier` prefixes every id, since several figures share a page; `description` is read aloud by
    screen readers.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(NOT_XML.sub("\ufffd", buffer.getvalue()))
    for element in root.iter():
        for child in list(element):
            if child.tag in FURNITURE:
                element.remove(child)
        localise(element, identifier)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", description)
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    return ElementTree.tostring(root, encoding="unicode")


def localise(element: ElementTree.Element, identifier: str) -> None:
    """Prefix ids and the references to them; name colours as variables; leave the font to the page."""
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, f"{identifier}-{value}")
        elif name in REFERENCES:
            element.set(name, value.replace("#", f"#{identifier}-"))
        elif name == "style":
            element.set(name, page_style(value))


def page_style(style: str) -> str:
    style = re.sub(r"font-family:[^;]*;?", "", style)
    style = re.sub(r"font:\s*(?:[\w]+\s+)*([\d.]+px)[^;]*", r"font-size: \1", style)
    return re.sub(r"#[0-9a-f]{6}", lambda match: VARIABLES.get(match[0], match[0]), style)
