"""Nightly multi-task recommenders from raw interaction logs."""

import os

# Threads of torch, scikit-learn and LightGBM that wait for each other spin by default: where other work shares the
# cores, training slows down tenfold. A short spin costs nothing on idle cores; none at all costs a third. Read when
# the libraries are first imported, which is later than this.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
