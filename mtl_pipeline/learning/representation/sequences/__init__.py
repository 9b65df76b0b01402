"""The encoders of sequences by the name that `model.sequence_encoder` has for them: one line each."""

from mtl_pipeline.learning.representation.sequences.base import SequenceEncoder
from mtl_pipeline.learning.representation.sequences.mean import Mean
from mtl_pipeline.learning.representation.sequences.target_attention import TargetAttention
from mtl_pipeline.learning.representation.sequences.transformer import Transformer

SEQUENCE_ENCODERS: dict[str, type[SequenceEncoder]] = {
    "mean": Mean,
    "target_attention": TargetAttention,
    "transformer": Transformer,
}
