"""The default encoder by other engines: seconds of a core, and how far rows move.

    pip install torch "optimum-onnx[onnxruntime]" sentence-transformers openvino nncf
    python -m benchmarks.backends MODEL judged_dev.jsonl.gz [--texts 400]

In an environment of its own, since optimum-onnx wants an older transformers than this
package; MODEL is a folder that sentence-transformers opens. Responses after their
prompts, 256 tokens at most, in batches of 32 of like length, one thread:

- ``torch``: ``SentenceTransformer.encode`` in float32, which all are compared with;
- ``onnx``, ``onnx int8``: its ONNX backend, as exported and with weights quantised for
  AVX-512 VNNI, activations as they come;
- ``openvino``, ``openvino int8``: the same graph by OpenVINO, and quantised by NNCF
  after a look at a hundred of the texts.
"""

import argparse
import gzip
import json
import tempfile
import time
from itertools import islice

import numpy as np
import torch

LENGTH, BATCH = 256, 32
SEEN = 100
QUANTISED = "avx512_vnni"
ONE_THREAD = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}


class OpenVINO:
    """A graph of a sentence encoder whose rows are means of states, of length 1."""

    def __init__(self, graph, tokenizer):
        import openvino

        core = openvino.Core()
        hint = ONE_THREAD | {"INFERENCE_PRECISION_HINT": "f32"}
        self.graph = core.compile_model(graph, "CPU", hint)
        self.names = [one.get_any_name() for one in self.graph.inputs]
        self.tokenizer = tokenizer

    def encode(self, texts, **options):
        """Embed texts."""
        order = np.argsort([-len(text) for text in texts])
        rows = []
        for start in range(0, len(texts), BATCH):
            batch = [texts[k] for k in order[start : start + BATCH]]
            tokens = tokens_of(self.tokenizer, batch)
            inputs = {name: tokens[name] for name in self.names}
            states = next(iter(self.graph(inputs).values()))
            attended = tokens["attention_mask"][:, :, None]
            rows.append((states * attended).sum(1) / attended.sum(1))
        return np.concatenate(rows)[np.argsort(order)]


def tokens_of(tokenizer, texts):
    """Tokenize a batch."""
    options = {"padding": True, "truncation": True, "max_length": LENGTH}
    return tokenizer(texts, return_tensors="np", **options)


def engines(folder, texts, scratch):
    """Make all engines, by name."""
    import nncf
    import onnxruntime
    import openvino
    from sentence_transformers import (
        SentenceTransformer,
        export_dynamic_quantized_onnx_model,
    )

    plain = SentenceTransformer(folder, device="cpu")
    plain.max_seq_length, tokenizer = LENGTH, plain.tokenizer
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = one_thread.inter_op_num_threads = 1
    shared = {"provider": "CPUExecutionProvider", "session_options": one_thread}

    def onnx(source, **options):
        engine = SentenceTransformer(
            source, backend="onnx", device="cpu", model_kwargs=shared | options
        )
        engine.max_seq_length = LENGTH
        return engine

    exported = onnx(folder, export=True)
    exported.save_pretrained(scratch)
    export_dynamic_quantized_onnx_model(exported, QUANTISED, scratch)
    graph = openvino.Core().read_model(f"{scratch}/onnx/model.onnx")
    seen = [texts[k : k + 4] for k in range(0, SEEN, 4)]
    named = [one.get_any_name() for one in graph.inputs]
    read = nncf.Dataset(
        seen, lambda some: {n: tokens_of(tokenizer, some)[n] for n in named}
    )
    kind = nncf.ModelType.TRANSFORMER
    return {
        "torch": plain,
        "onnx": exported,
        "onnx int8": onnx(
            scratch, file_name=f"onnx/model_qint8_{QUANTISED}.onnx"
        ),
        "openvino": OpenVINO(graph, tokenizer),
        "openvino int8": OpenVINO(
            nncf.quantize(graph, read, model_type=kind, subset_size=len(seen)),
            tokenizer,
        ),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a sentence encoder")
    parser.add_argument("data", help="judged responses, .jsonl.gz")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with gzip.open(options.data, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, 10 * options.texts)][::10]
    texts = [f"{row['prompt']}\n\n{row['response']}" for row in rows]
    best, found = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        known = engines(options.model, texts, scratch)
        for _ in range(options.turns):
            for name, engine in known.items():
                started = time.process_time()
                rows = engine.encode(texts, batch_size=BATCH, show_progress_bar=False)
                seconds = time.process_time() - started
                best[name] = min(seconds, best.get(name, seconds))
                found[name] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    print(
        "| engine | core-ms a text | faster | least cosine, mean |\n|---|---|---|---|"
    )
    for name, rows in found.items():
        cosine = (rows * found["torch"]).sum(1)
        print(
            f"| {name} | {1000 * best[name] / len(texts):.1f} | "
            f"{best['torch'] / best[name]:.2f} x | {cosine.min():.5f}, "
            f"{cosine.mean():.5f} |"
        )


if __name__ == "__main__":
    main()
