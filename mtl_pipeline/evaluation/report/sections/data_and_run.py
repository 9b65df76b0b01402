"""What data were evaluated, by what, and how."""

from __future__ import annotations

from mtl_pipeline.evaluation.report.context import ReportContext
from mtl_pipeline.evaluation.report.document import Section
from mtl_pipeline.evaluation.report.tables import fact_table
from mtl_pipeline.evaluation.studies.scoring import Evaluation


def sections(evaluation: Evaluation, context: ReportContext) -> list[Section]:
    facts = context.facts
    data = [
        *fact_table("Rows by split", "split", "rows", facts.get("rows_by_split")),
        *fact_table("Split boundaries", "boundary", "time", facts.get("split_boundaries")),
        *fact_table("Label means", "label", "mean", facts.get("label_rates")),
        *fact_table("Labels later than their split", "split and task", "labels", facts.get("late_labels")),
        *fact_table("Rejected rows", "reason", "rows", facts.get("rejected_rows"), "No row was rejected."),
    ]
    run = [
        *fact_table("Versions", "package", "version", facts.get("versions")),
        *fact_table("Fingerprints", "artifact", "fingerprint", facts.get("fingerprints")),
    ]
    details = [Section("Data", tables=data), Section("Versions and fingerprints", tables=run)]
    if context.configuration:
        details.append(Section("Configuration", code=context.configuration))
    shown = [part for part in details if part.tables or part.code]
    return [Section("Data and run", details=shown)] if shown else []
