"""fastembed's part of benchmarks/embedding.py, in the environment of the peers: an encoder as ONNX, exported once, and
how many texts a second it reads. Texts come as JSON on standard input, the figures go to standard output.

    python benchmarks/embedding_peers.py <folder of the encoder> <folder for the export> <site-packages> < texts.json

transformers, for the export, comes from the site-packages of the project's own environment: fastembed's cannot hold it.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def export(folder: Path, target: Path) -> None:
    import torch
    from transformers import AutoModel

    target.mkdir(parents=True)
    for file in folder.glob("*.json"):
        shutil.copy(file, target)
    if not (
        target / "special_tokens_map.json"
    ).is_file():  # which transformers no longer writes, and fastembed wants
        tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        (target / "special_tokens_map.json").write_text(json.dumps(tokens))
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval().requires_grad_(False)

    class Hidden(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return model(**dict(zip(NAMES, inputs, strict=True))).last_hidden_state

    example = torch.randint(0, 1000, (2, 7)), *torch.ones(2, 2, 7, dtype=torch.int64)
    axes = {name: {0: "texts", 1: "tokens"} for name in (*NAMES, "last_hidden_state")}
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            Hidden(),
            example,
            str(target / "model.onnx"),
            input_names=list(NAMES),
            output_names=["last_hidden_state"],
            dynamic_axes=axes,
            dynamo=False,
        )


def main() -> None:
    folder, target, packages = map(Path, sys.argv[1:])
    if not target.exists():
        sys.path.append(str(packages))
        export(folder, target)
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    hidden = json.loads((target / "config.json").read_text())["hidden_size"]
    TextEmbedding.add_custom_model(
        model="local/encoder",
        pooling=PoolingType.MEAN,
        normalization=False,
        sources=ModelSource(hf="local/encoder"),
        dim=hidden,
        model_file="model.onnx",
    )
    model = TextEmbedding(model_name="local/encoder", specific_model_path=str(target))
    texts = json.load(sys.stdin)
    list(model.embed(texts[:64]))
    started = time.perf_counter()
    list(model.embed(texts))
    rate = len(texts) / (time.perf_counter() - started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"texts_per_second": rate, "memory": memory}))


if __name__ == "__main__":
    main()
