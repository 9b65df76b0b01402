"""A document as one self-contained HTML page, without network or scripts.

Everything that is not ours (names, reasons, settings) is escaped by Jinja2.
"""

from __future__ import annotations

from itertools import count

import jinja2
from markupsafe import Markup

from mtl_pipeline.evaluation.inference.intervals import BETTER, WORSE
from mtl_pipeline.evaluation.report.document import BEST, Document
from mtl_pipeline.evaluation.report.figures.canvas import ReportFigure
from mtl_pipeline.evaluation.report.figures.palette import DARK, LIGHT, css_variables

CLASSES = (BEST, BETTER, WORSE)
"""Tones that are a CSS class; every other is 'undecided'."""


def to_html(document: Document) -> str:
    """Figures are drawn here: about a second, or six with two million test rows."""
    numbers = count(1)

    def svg(figure: ReportFigure) -> Markup:
        return Markup(figure.svg(f"figure-{next(numbers)}"))

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mtl_pipeline.evaluation.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": svg, "unbroken": unbroken}
    return environment.get_template("page.html.jinja").render(
        document=document,
        classes=CLASSES,
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
    )


def unbroken(text: str) -> str:
    """'+0.012 [+0.008, +0.016] ✓' may break before its interval only."""
    return text.replace(", ", ",\u00a0").replace("] ", "]\u00a0")
