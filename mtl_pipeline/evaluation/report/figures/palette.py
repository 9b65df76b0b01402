"""Colours of the report, once for light and once for dark.

Figures are drawn in the light colours; the SVG then names each as a CSS variable with that colour as fallback,
so that one drawing follows the reader's colour scheme and still stands alone.
"""

from __future__ import annotations

from mtl_pipeline.predictions import CEILING

COLOURS = {
    "paper": ("#ffffff", "#14181f"),
    "panel": ("#f6f7f9", "#1c222b"),
    "ink": ("#1b2330", "#e7eaef"),
    "muted": ("#5a6575", "#a0aab8"),
    "line": ("#dce0e6", "#343c48"),
    "accent": ("#1d5fbf", "#6ea8ff"),
    "better": ("#1a7442", "#5fcf8f"),
    "worse": ("#b3372b", "#ff8a7a"),
    "undecided": ("#5b6676", "#a1abb9"),
    "baseline-0": ("#98a1ae", "#7e8896"),
    "baseline-1": ("#b7791f", "#e0a94e"),
    "baseline-2": ("#258577", "#52bfae"),
    "baseline-3": ("#8a4fb0", "#c08be6"),
    "baseline-4": ("#c2477f", "#f08bb5"),
    "baseline-5": ("#6b7f1e", "#b3c74f"),
}
"""Name → light, dark."""
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
DARK = {name: dark for name, (_, dark) in COLOURS.items()}
BASELINES = [name for name in COLOURS if name.startswith("baseline-")]
DASHED = (0, (5, 2))
DOTTED = (0, (1, 1.5))
DASHES = [DASHED, DOTTED, (0, (5, 2, 1, 2)), (0, (8, 1.5))]
"""Line styles of the baselines, so that no model is told apart by colour alone; the candidate's line is solid."""


def colour_names(models: list[str], candidate: str) -> dict[str, str]:
    """Model → colour name: the accent for the candidate, ink for the ceiling, a baseline's for every other."""
    special = {candidate: "accent", CEILING: "ink"}
    baselines = [model for model in models if model not in special]
    names = {model: BASELINES[place % len(BASELINES)] for place, model in enumerate(baselines)}
    return names | {model: special[model] for model in models if model in special}


def css_variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
