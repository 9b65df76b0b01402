"""The mean of what the user chose last, as in YouTube's recommender (Covington et al., RecSys 2016,
https://doi.org/10.1145/2959100.2959190)."""

from __future__ import annotations

from torch import Tensor

from mtl_pipeline.learning.representation.sequences.pooled import Pooled


class Mean(Pooled):
    """Whatever the order."""

    def pool(self, chosen: Tensor, present: Tensor) -> Tensor:
        return (chosen * present.unsqueeze(-1)).sum(1) / present.sum(1, keepdim=True).clamp(min=1)
