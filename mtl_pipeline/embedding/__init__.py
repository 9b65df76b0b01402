"""Texts or pictures → vectors → Parquet, by a frozen pretrained transformer."""

from mtl_pipeline.embedding.embed import EmbeddingSummary, embed_pictures, embed_texts

__all__ = ["EmbeddingSummary", "embed_pictures", "embed_texts"]
