"""What is known about the data and the run of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class Facts(TypedDict, total=False):
    """What is known about the data and the run. Sections that are missing are left out of the report."""

    created_at: str
    """ISO time of the run."""
    rows_by_split: Mapping[str, int]
    split_boundaries: Mapping[str, Any]
    """Name → ISO time, or a pair of ISO times."""
    label_rates: Mapping[str, Any]
    """Label → mean, or split → label → mean."""
    late_labels: Mapping[str, str]
    """Split and task → labels that came, or were changed, too late for the split."""
    rejected_rows: Mapping[str, int]
    """Reason → rows; empty when every row was kept."""
    versions: Mapping[str, str]
    fingerprints: Mapping[str, str]
