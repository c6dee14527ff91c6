"""Prompts computed once for their responses, beside every text computed whole.

    python -m benchmarks.shared_prompts
    python -m benchmarks.shared_prompts --model SmolLM2-135M-Instruct.Q4_1.gguf \
        --data judged_dev.jsonl.gz

Without a model: a Llama of 12 layers with weights that are made up, one thread,
float32, prompts and responses of made-up tokens. With one: responses to the longest
prompts in the data, through `LLMEmbeddingTransformer`. Both ways take turns; seconds
are of the processor, the better turn of each counts.
"""

import argparse
import gzip
import json
import time
from unittest.mock import patch

import numpy as np
import torch

from skreward import LLMEmbeddingTransformer
from skreward.text import encoders
from skreward.text.cache import clear_memory
from skreward.text.encoders import StateEncoder
from skreward.text.plan import Plan

# Prompts, their tokens, responses to each, their tokens; of any number for None.
SHAPES = {
    "10 responses of 100 to a prompt of 200": (2, 200, 10, 100),
    "500 responses of 128 to a prompt of 450": (1, 450, 500, 128),
    "10 responses of 20 to 400 to prompts of 150": (4, 150, 10, None),
    "pairs: 2 responses of 100 to prompts of 200": (10, 200, 2, 100),
    "pairs: 2 responses of 200 to prompts of 50": (10, 50, 2, 200),
    "nothing shared: texts of 300": (20, 0, 1, 300),
    "nothing shared: texts of 20 to 400": (40, 0, 1, None),
}


def turns(embed, n_turns):
    """Give the least seconds and the rows of sharing, and of every text whole."""
    best, rows = {}, {}
    for _ in range(n_turns):
        for shared in (True, False):
            found = encoders.shared_prefixes if shared else lambda ids: []
            with patch.object(encoders, "shared_prefixes", found):
                started = time.process_time()
                rows[shared] = embed()
                seconds = time.process_time() - started
            best[shared] = min(seconds, best.get(shared, seconds))
    return best, rows


def made_up_encoder():
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    torch.manual_seed(0)
    plan = Plan("mean", -1, None, "middle", "float32", False, "cpu")
    encoder = StateEncoder(LlamaModel(config).eval(), Numbers(), plan)
    return encoder


class Numbers:
    """A tokenizer of texts that are numbers of tokens."""

    model_max_length = 2048
    bos_token = None

    def __call__(self, string, **options):  # noqa: D102
        return {"input_ids": [int(word) for word in string.split() if word.isdigit()]}


def made_up_texts(n_prompts, prompt, n_responses, response, rng):
    """Write prompts and responses of so many tokens; of any length for None."""

    def tokens(n):
        return " ".join(map(str, rng.integers(10, 8192, n)))

    return [
        f"{written} {tokens(response or rng.integers(20, 400))}"
        for written in (tokens(prompt) for _ in range(n_prompts))
        for _ in range(n_responses)
    ]


def told(name, best, rows):
    gap = np.abs(rows[True] - rows[False]).max() / np.abs(rows[False]).max()
    print(
        f"{name}: {best[False] / best[True]:.2f} x, {best[True]:.1f} s against "
        f"{best[False]:.1f} s, largest difference {gap:.1e} of the largest number",
        flush=True,
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a folder or .gguf file of a causal model")
    parser.add_argument("--data", help="judged responses, .jsonl.gz")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--responses", type=int, default=10, help="to each prompt")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", default="", help="shapes that begin so")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.model is None:
        encoder = made_up_encoder()
        rng = np.random.default_rng(0)
        list(encoder.passes(made_up_texts(1, 100, 5, 20, rng), 32))
        for name, shape in SHAPES.items():
            if name.startswith(options.only):
                texts = made_up_texts(*shape, rng)
                told(name, *turns(lambda t=texts: in_order(encoder, t), options.turns))
        return
    embed = LLMEmbeddingTransformer(
        options.model, device="cpu", dtype=options.dtype, max_length=2048
    )
    rows = judged(options.data, options.prompts, options.responses)
    embed.fit(rows)

    def fresh():
        clear_memory()
        return embed.transform(rows)

    name = f"{options.responses} responses to each of {options.prompts} prompts"
    told(f"{name}, {embed.dtype_}", *turns(fresh, options.turns))


def in_order(encoder, texts):
    rows = {}
    for some, (found, _) in encoder.passes(texts, 32):
        rows.update(zip(some, found, strict=True))
    return np.array([rows[text] for text in texts])


def judged(path, n_prompts, n_responses):
    """Take the longest prompts that have enough responses."""
    by_prompt: dict[str, list] = {}
    with gzip.open(path, "rt") as file:
        for line in file:
            row = json.loads(line)
            by_prompt.setdefault(row["prompt"], []).append(row["response"])
    enough = [(p, r) for p, r in by_prompt.items() if len(r) >= n_responses]
    enough.sort(key=lambda item: -len(item[0]))
    return [
        {"prompt": prompt, "response": response}
        for prompt, some in enough[:n_prompts]
        for response in some[:n_responses]
    ]


if __name__ == "__main__":
    main()
