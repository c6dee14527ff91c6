"""Small tables of texts, and files of them."""

import json

import numpy as np

from skreward.cli.files import Table
from skreward.cli.output import make_writer
from tests.tiny_models import WORDS


def good_and_bad(n_prompts=30, seed=0):
    """Pairs of which the response with more of the letters a to d is preferred."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n_prompts):
        prompt = f"{WORDS[k % 8]} {WORDS[k // 8]} one"
        for _ in range(4):
            texts = [" ".join(rng.choice(WORDS[:8], 6)) for _ in range(2)]
            counts = [sum(word in "abcd" for word in text.split()) for text in texts]
            if counts[0] != counts[1]:
                chosen, rejected = texts if counts[0] > counts[1] else texts[::-1]
                rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    return rows


def labelled(rows, first="1", second="0"):
    """The same pairs as response_a and response_b, every other the wrong way round."""
    made = []
    for k, row in enumerate(rows):
        a, b = ("chosen", "rejected") if k % 2 else ("rejected", "chosen")
        label = first if k % 2 else second
        made.append(
            {
                "prompt": row["prompt"],
                "response_a": row[a],
                "response_b": row[b],
                "label": label,
            }
        )
    return made


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_rows(path, rows, **options):
    """Write rows in the format of the file's name."""
    make_writer(Table(path, rows, range(len(rows))), path, [], **options).write([])
    return path
