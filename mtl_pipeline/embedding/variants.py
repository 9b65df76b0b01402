"""Which variant of an encoder's vectors is made here, and how it is told from others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtl_pipeline.embedding.encoder import TextEncoder, load_encoder
from mtl_pipeline.embedding.fidelity import TEXTS, Fidelity
from mtl_pipeline.embedding.inputs.texts import DistinctTexts
from mtl_pipeline.embedding.runtimes import EXACT, Variant, choose, may_be
from mtl_pipeline.embedding.source import EncoderFiles, completed, encoder_fingerprint, encoder_identity
from mtl_pipeline.errors import UserError
from mtl_pipeline.publishing import folder_fingerprint, sweep
from mtl_pipeline.spec import Encoder, ImageEncoder

UNUSED_SECONDS = 30 * 24 * 60 * 60


@dataclass(frozen=True)
class Variants:
    files: EncoderFiles
    settings: Encoder | ImageEncoder
    texts: DistinctTexts
    """Those to embed, of which int8 takes its scales."""
    folder: Path
    """Where runtimes keep what they make of encoders."""
    name: str
    """Of the table, which has its own scales."""
    device: str | None

    @cached_property
    def identity(self) -> dict[str, object]:
        return encoder_identity(self.files, self.settings)

    def exported(self, variant: Variant) -> Path:
        own = encoder_fingerprint(self.identity, *EXACT)[:16]
        return self.folder / (f"{own}-int8-{self.name}" if variant.precision == "int8" else own)

    def fingerprint(self, variant: Variant) -> str:
        """Makes int8 weights, where there are none yet: they are part of it."""
        quantised = None
        if variant.precision == "int8":
            from mtl_pipeline.embedding.runtimes.int8 import NAMES_ONLY, quantise

            target = self.exported(variant)
            assert isinstance(self.settings, Encoder)
            settings = completed(self.settings, self.files)
            quantise(self.files, settings, self.texts, self.exported(EXACT), target)
            quantised = folder_fingerprint(target, without=NAMES_ONLY)
        return encoder_fingerprint(self.identity, *variant, quantised)

    def sweep_unused(self, used: Variant) -> None:
        """Delete what runtimes made of encoders that have not been used here for a month. What is kept of other tables
        is theirs."""
        for link in (self.exported(used), self.exported(EXACT)):
            if link.is_symlink():
                os.utime(link, follow_symlinks=False)
        for link in self.folder.glob("[!.]*"):
            ours = "-int8-" not in link.name or link.name.endswith(f"-int8-{self.name}")
            if ours and link.is_symlink() and link.lstat().st_mtime < time.time() - UNUSED_SECONDS:
                link.unlink(missing_ok=True)
                sweep(link)

    def choose(self, metadata: Mapping[str, str]) -> tuple[Variant, str]:
        """With its fingerprint. What `auto` may stand for stays what the vectors that are there, which have these
        metadata, were made by."""
        settings = self.settings
        if settings.precision == "int8" and not len(self.texts):  # to take its scales of
            settings = settings.model_copy(update={"precision": "float32"})
        made = json.loads(metadata.get("encoder", "{}"))
        before = Variant(made.get("runtime", EXACT.runtime), made.get("precision", EXACT.precision))
        if metadata and may_be(before, settings):
            fingerprint = self.fingerprint(before)
            if metadata.get("encoder_fingerprint") == fingerprint:
                return before, fingerprint
        variant = choose(settings, self.device)
        return variant, self.fingerprint(variant)

    def load(self, variant: Variant) -> TextEncoder:
        return load_encoder(self.files, self.settings, self.device, variant, self.exported(variant))

    def checked(
        self, variant: Variant, log: Callable[[str], None]
    ) -> tuple[TextEncoder, Variant, Fidelity | None]:
        """What computes it, and how near it is to the exact vectors of a sample of the texts (None: it is exact, or
        there are none). Where `auto` chose a runtime that cannot follow the encoder, torch; where it chose a precision
        that loses too much, float32."""
        settings = self.settings
        try:
            encoder = self.load(variant)
        except UserError as error:
            if settings.runtime != "auto" or variant.runtime == EXACT.runtime or variant.precision == "int8":
                raise
            log(f"torch is taken: {error}")
            return self.checked(Variant(EXACT.runtime, variant.precision), log)
        if variant == EXACT or not len(self.texts):
            return encoder, variant, None
        sample = self.texts.sample(TEXTS)
        exact = load_encoder(self.files, self.settings, self.device)
        fidelity = Fidelity.of(encoder.encode(sample)[0], exact.encode(sample)[0], variant.precision)
        nearer = EXACT if settings.runtime == "auto" else Variant(settings.runtime, EXACT.precision)
        if settings.precision != "auto" or fidelity.cosine >= fidelity.wanted or variant == nearer:
            return encoder, variant, fidelity
        log(f"{variant.precision} loses too much (mean cosine {fidelity.cosine:.6f}): float32 is taken.")
        return (exact, EXACT, None) if nearer == EXACT else self.checked(nearer, log)
