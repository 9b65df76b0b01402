"""What can compute an encoder, and what is to compute it here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from mtl_pipeline.embedding.errors import encoder_error, first_line
from mtl_pipeline.embedding.runtimes.base import Runtime
from mtl_pipeline.embedding.source import EncoderFiles, completed
from mtl_pipeline.spec import Encoder, ImageEncoder

RUNTIMES = ("openvino", "torch")
"""The fastest first. Each is a module here and a package of the same name; what is not installed is not imported."""


class Variant(NamedTuple):
    """Of an encoder's vectors: they differ in the last digits."""

    runtime: str
    precision: str


EXACT = Variant("torch", "float32")
"""What others are compared with."""


def may_be(variant: Variant, settings: Encoder | ImageEncoder) -> bool:
    """Whether this is what is declared, or what `auto` may stand for, and installed."""
    runtime = settings.runtime in ("auto", variant.runtime)
    precision = settings.precision in ("auto", variant.precision)
    by_itself = variant.precision != "int8" or settings.precision == "int8"
    return runtime and precision and by_itself and find_spec(variant.runtime) is not None


def choose(settings: Encoder | ImageEncoder, device: str | None) -> Variant:
    """What is declared; where that is `auto`, the fastest that is installed, but never int8, which depends on the texts
    that it takes its scales of. Raises UserError where there is none."""
    declared = settings.runtime != "auto"
    for name in [settings.runtime] if declared else filter(find_spec, RUNTIMES):
        module = of_name(name)
        fast = module.precisions(device)  # none: another runtime is faster
        if settings.precision in module.PRECISIONS and (fast or declared):
            return Variant(name, settings.precision)
        if settings.precision == "auto" and (fast or declared):
            return Variant(name, [*fast, "float32"][0])
    raise encoder_error(
        f"precision: {settings.precision}",
        "needs OpenVINO on a CPU: pip install 'mtl_pipeline[int8]', and where there is a GPU name runtime: openvino",
    )


def load(
    files: EncoderFiles,
    settings: Encoder | ImageEncoder,
    variant: Variant,
    device: str | None,
    exported: Path,
) -> Runtime:
    """`exported`: where runtimes keep what they make of the encoder's files. Raises UserError where it cannot be loaded
    or made."""
    return of_name(variant.runtime).load(
        files, completed(settings, files), variant.precision, device, exported
    )


def of_name(name: str) -> ModuleType:
    """Raises UserError where it is not installed, or damaged."""
    if not find_spec(name):
        raise encoder_error(f"runtime: {name}", f"it is not installed: pip install 'mtl_pipeline[{name}]'")
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError as error:  # of a damaged installation
        problem = f"it cannot be imported ({first_line(error)}): install it again, or name another runtime"
        raise encoder_error(f"runtime: {name}", problem) from error
