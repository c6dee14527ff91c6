"""Texts of several lengths in one pass: packed beside padded, and one by one.

    python -m benchmarks.packed [--words 5 15 60 200] [--texts 32] [--turns 6]

Texts as in `benchmarks.serve`: a prompt that all share and a response of about as many
words. The default encoder embeds them in one call of ``SentenceTransformer.encode``,
which pads them, and of `skreward.text.packed`; a text by itself goes through both too.
Core-milliseconds a text, by turns in one process: the least of all turns, which other
work on the machine moves least.
"""

import argparse
import time

import numpy as np

from benchmarks.serve import PROMPT, responses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, nargs="+", default=[5, 15, 60, 200])
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()

    from skreward import LLMEmbeddingTransformer
    from skreward.text.loading import get_encoder
    from skreward.text.packed import encode_packed

    embed = LLMEmbeddingTransformer(device="cpu", dtype=options.dtype)
    source, plan = embed._find(options.dtype)
    model = get_encoder(source, plan).model

    def padded(texts):
        return model.encode(texts, batch_size=len(texts), show_progress_bar=False)

    def packed(texts):
        return encode_packed(model, texts).numpy()

    print(f"{plan.dtype}, passes of {options.texts}\n\n| words | one | one, packed | "
          "padded | packed | padded / packed | one / packed | largest difference |\n"
          "|---|---|---|---|---|---|---|---|")  # fmt: skip
    for n_words in options.words:
        texts = [f"{PROMPT}\n\n{r}" for r in responses(options.texts, n_words, 0)]
        costs = np.full(4, np.inf)
        for _ in range(options.turns):
            for k, (way, part) in enumerate(
                [(padded, texts[:1]), (packed, texts[:1]),
                 (padded, texts), (packed, texts)]
            ):  # fmt: skip
                started = time.process_time()
                way(part)
                cost = 1000 * (time.process_time() - started) / len(part)
                costs[k] = min(costs[k], cost)
        ours, theirs = packed(texts), padded(texts)
        print(f"| {n_words} | {' | '.join(f'{cost:.1f}' for cost in costs)} | "
              f"{costs[2] / costs[3]:.2f} x | {costs[0] / costs[3]:.2f} x | "
              f"{np.abs(ours - theirs).max():.0e} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
