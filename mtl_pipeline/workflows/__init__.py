"""What each asset does in full, as functions of a pipeline's paths and its specification; nothing here knows Dagster.

A stage that a single package carries out, such as training, has no module here: `stages` names the function. Importing
these modules imports torch, so components do it inside functions.
"""
