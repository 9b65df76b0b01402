"""The assets of a pipeline, a module for each stage: what it reads, the workflow that makes it, what it reports."""
