"""Raw files of one table, and what became of them."""

from __future__ import annotations

from pathlib import Path

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse
from mtl_pipeline.warehouse.tables import build_table

COLUMN_BY_COLUMN = """
SELECT a AS item_id, b AS text, source_file, source_line,
    CASE WHEN b = 'bad' THEN reject('b', 'bad') END AS rejection
FROM raw_items
"""


class Scanned:
    """What became of the raw files of `items`, whose columns are a and b, and c where there is one."""

    def __init__(
        self, root: Path, files: dict[str, bytes], sql: str = COLUMN_BY_COLUMN, **raw: object
    ) -> None:
        self.paths = PipelinePaths(root, "shop")
        for name, content in files.items():
            path = self.paths.raw / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.paths.sql.mkdir(parents=True, exist_ok=True)
        (self.paths.sql / "items.sql").write_text(sql)
        named = {"items": next(iter(files)), "may_be_empty": ["items"]} | raw
        spec = PipelineSpec.model_validate({"raw": named, "tasks": [{"name": "click", "kind": "binary"}]})
        self.summary = build_table(self.paths, spec, "items")
        with open_warehouse(self.paths.warehouse, read_only=True) as connection:
            self.table = connection.sql("FROM items ORDER BY source_file, source_line").pl()
            self.rejected = connection.sql("FROM items_rejected ORDER BY file, line").pl()
        assert self.summary.rows_read == self.summary.rows_kept + self.summary.rows_rejected

    @property
    def kept_lines(self) -> dict[str, int]:
        """Line by item_id."""
        return dict(self.table.select("item_id", "source_line").iter_rows())

    @property
    def reasons(self) -> dict[int, str]:
        return dict(self.rejected.select("line", "reason").iter_rows())
