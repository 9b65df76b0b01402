"""Colours of the report, once for light and once for dark.

Figures are drawn in the light colours; the SVG then names each as a CSS variable with that colour as fallback,
so that one drawing follows the reader's colour scheme and still stands alone.
"""

from __future__ import annotations

from mtl_pipeline.predictions import CEILING

LIGHT = {
    "paper": "#ffffff",
    "panel": "#f6f7f9",
    "ink": "#1b2330",
    "muted": "#5a6575",
    "line": "#dce0e6",
    "accent": "#1d5fbf",
    "better": "#1a7442",
    "worse": "#b3372b",
    "undecided": "#5b6676",
    "baseline-0": "#98a1ae",
    "baseline-1": "#b7791f",
    "baseline-2": "#258577",
    "baseline-3": "#8a4fb0",
    "baseline-4": "#c2477f",
    "baseline-5": "#6b7f1e",
}
DARK = {
    "paper": "#14181f",
    "panel": "#1c222b",
    "ink": "#e7eaef",
    "muted": "#a0aab8",
    "line": "#343c48",
    "accent": "#6ea8ff",
    "better": "#5fcf8f",
    "worse": "#ff8a7a",
    "undecided": "#a1abb9",
    "baseline-0": "#7e8896",
    "baseline-1": "#e0a94e",
    "baseline-2": "#52bfae",
    "baseline-3": "#c08be6",
    "baseline-4": "#f08bb5",
    "baseline-5": "#b3c74f",
}
BASELINES = [name for name in LIGHT if name.startswith("baseline-")]
DASHED = (0, (5, 2))
DOTTED = (0, (1, 1.5))
DASHES = [DASHED, DOTTED, (0, (5, 2, 1, 2)), (0, (8, 1.5))]
"""Line styles of the baselines, so that no model is told by its colour alone; the candidate's line is solid."""


def colour_names(models: list[str], candidate: str) -> dict[str, str]:
    """Model → colour name: the accent for the candidate, ink for the ceiling, a baseline's for every other."""
    baselines = [model for model in models if model not in (candidate, CEILING)]
    names = {model: BASELINES[place % len(BASELINES)] for place, model in enumerate(baselines)}
    return names | {candidate: "accent"} | ({CEILING: "ink"} if CEILING in models else {})


def css_variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
