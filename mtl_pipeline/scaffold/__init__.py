"""A new pipeline from CSV files: a commented defs.yaml, the SQL that types and checks each column, and the
raw folder."""

from mtl_pipeline.scaffold.write import Scaffolded, next_steps, scaffold_pipeline

__all__ = ["Scaffolded", "next_steps", "scaffold_pipeline"]
