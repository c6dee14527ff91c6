"""A served reward beside what one would write without it, under 64 clients.

    python -m benchmarks.serve [--clients 64] [--requests 2] [--words 5 15 60 200]
        [--turns 2] [--model MODEL] [--prompt-words 13]

Every client sends one text, waits for its reward and sends the next: a prompt that all
share, as where many answers to one prompt are sampled, and a response of its own of
about as many words, drawn anew for every turn. The servers run in processes of their
own, all with one encoder, the default one or ``--model``, and the threads that torch
takes by itself (``OMP_NUM_THREADS`` says how many), and are asked by turns:

- ``route``: a Starlette route that runs ``model.predict`` on the request's text in the
  thread pool, the model being the same pipeline as ours;
- ``route, plain``: the same route without this package: ``SentenceTransformer.encode``
  and a product with the weights, by sentence encoders;
- ``one by one``: `skreward.integrations.serve`, no two requests in a call;
- ``together``: the same as it comes.

Beside texts a second stands what a text costs the server in milliseconds of all cores,
which other work on the machine moves less; "together against it" is the ratio of each,
turn by turn. The floor is what the encoder's products come to at the speed of one
product of such matrices, without padding, a shared prompt computed with every text; a
causal model's requests together can be below it. Linux only.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

import numpy as np

from skreward.text.folders import modules_of
from skreward.text.source import find_model

PORT = 5071
SERVERS = "route", "route, plain", "one by one", "together"
PROMPT = "How do I keep a small kitchen garden alive through a dry summer?"
DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"


def prompt(n_words):
    """Give a prompt of about as many words: the question, after what it is about."""
    words = PROMPT.split()
    before = responses(1, n_words - len(words), 0) if n_words > len(words) else []
    return " ".join([*before, *words])


def fitted(encoder):
    from sklearn.pipeline import make_pipeline

    from skreward import BradleyTerryRegressor, LLMEmbeddingTransformer
    from skreward.datasets import make_text_preferences

    data = make_text_preferences(20, 6, 200, random_state=0)
    model = make_pipeline(LLMEmbeddingTransformer(encoder), BradleyTerryRegressor())
    return model.fit(data.pairs, data.y)


def sentence_transformer(model):
    """The encoder as its own library loads it."""
    from sentence_transformers import SentenceTransformer

    source = find_model(model, None, False)
    return SentenceTransformer(source.folder, device="cpu")


def route(predict):
    """An application of one route, which predicts the rows of a request."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def score(request):
        data = await request.json()
        columns = zip(data["prompts"], data["responses"], strict=True)
        rows = [{"prompt": p, "response": r} for p, r in columns]
        rewards = await run_in_threadpool(predict, rows)
        return JSONResponse({"rewards": [float(reward) for reward in rewards]})

    return Starlette(routes=[Route("/score", score, methods=["POST"])])


def serve(name, port, encoder):
    """Run one of the servers, in this process."""
    import uvicorn

    from skreward.integrations.serve import make_app

    model = fitted(encoder)
    model.predict([{"prompt": PROMPT, "response": "Once, to load everything."}])
    if name == "route":
        app = route(model.predict)
    elif name == "route, plain":
        encode, coef = sentence_transformer(encoder).encode, model[-1].coef_

        def predict(rows):
            texts = [f"{row['prompt']}\n\n{row['response']}" for row in rows]
            return encode(texts, show_progress_bar=False) @ coef

        app = route(predict)
    else:
        app = make_app(model, max_rows=1 if name == "one by one" else 4096)
    uvicorn.run(app, port=port, log_level="warning")


def responses(n, n_words, salt):
    """Make responses of about as many words, none of which was asked before."""
    from skreward.datasets import make_text_preferences

    made = make_text_preferences(20, 6, 10, random_state=0).pairs
    words = sorted({word for row in made for word in row["response_a"].split()})
    rng = np.random.default_rng(salt)
    lengths = rng.integers(n_words // 2, n_words * 3 // 2, size=n)
    return [" ".join(rng.choice(words, size=length)) for length in lengths]


async def post(reader, writer, port, data):
    """Send a request over a connection that stays open; gives the answer."""
    body = json.dumps(data).encode()
    head = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return json.loads(await reader.readexactly(length))


async def ask(port, clients, asked, texts):
    """Let clients ask for a text after another; gives texts a second."""
    parts = [texts[k::clients] for k in range(clients)]

    async def one(part):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for text in part:
            data = {"prompts": [asked], "responses": [text]}
            assert len((await post(reader, writer, port, data))["rewards"]) == 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(part) for part in parts))
    return len(texts) / (time.perf_counter() - started)


def wait_for(port, server):
    """Wait until a server listens."""
    import socket

    for _ in range(6000):
        assert server.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the server did not come up")


def core_seconds(process):
    """Seconds of all cores that a process has taken."""
    with open(f"/proc/{process.pid}/stat") as file:
        ticks = file.read().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def floor(model, asked, n_words):
    """Operations of the encoder a text, and milliseconds of a core at full speed."""
    import torch

    from skreward.text.loading import get_encoder

    embed = fitted(model)[0]
    encoder = get_encoder(*embed._find(embed.dtype_))
    texts = [f"{asked}\n\n{text}" for text in responses(64, n_words, 0)]
    tokens = np.mean([len(encoder.tokenizer.ids(text)) + 2 for text in texts])
    linear = [m for m in encoder.model.modules() if isinstance(m, torch.nn.Linear)]
    weights = sum(layer.weight.numel() for layer in linear)
    config = getattr(encoder.model, "transformers_model", encoder.model).config
    attention = 4 * tokens * config.hidden_size * config.num_hidden_layers
    operations = tokens * (2 * weights + attention)
    wide = max(linear, key=lambda layer: layer.weight.numel()).weight
    x = torch.randn(2048, wide.shape[1], dtype=wide.dtype)
    seconds = np.inf
    with torch.inference_mode():
        for _ in range(50):
            started = time.process_time()
            x @ wide.T
            seconds = min(seconds, time.process_time() - started)
    speed = 2 * len(x) * wide.numel() / seconds
    return tokens, operations, speed, 1000 * operations / speed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=2)
    parser.add_argument("--words", type=int, nargs="+", default=[5, 15, 60, 200])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT, help="encoder, as `model` has it")
    parser.add_argument("--prompt-words", type=int, default=13)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=PORT, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.model)
        return
    command = [sys.executable, "-m", "benchmarks.serve", "--model", options.model]
    is_sentence = modules_of(find_model(options.model, None, False)) is not None
    running = {}
    try:
        for k, name in enumerate(SERVERS):
            if name == "route, plain" and not is_sentence:
                continue
            port = options.port + k
            arguments = ["--serve", name, "--port", str(port)]
            running[name] = port, subprocess.Popen([*command, *arguments])
            wait_for(*running[name])
        for n_words in options.words:
            compare(options, n_words, running)
    finally:
        for _, process in running.values():
            process.terminate()


def compare(options, n_words, running):
    """Ask the servers by turns for responses of one length, and print the table."""
    n = options.clients * options.requests
    rates = {name: [] for name in running}
    costs = {name: [] for name in running}
    asked = prompt(options.prompt_words)
    for turn in range(options.turns):
        for k, (name, (port, process)) in enumerate(running.items()):
            texts = responses(n, n_words, 1000 * n_words + 100 * turn + k)
            before = core_seconds(process)
            rates[name].append(asyncio.run(ask(port, options.clients, asked, texts)))
            costs[name].append(1000 * (core_seconds(process) - before) / n)
    tokens, operations, speed, least = floor(options.model, asked, n_words)
    print(f"\n{os.cpu_count()} cores, {options.clients} clients, {tokens:.0f} tokens a "
          "text\n\n| server | texts a second | together against it | core-ms a text | "
          "together against it |\n|---|---|---|---|---|")  # fmt: skip
    for name in running:
        by_rate = np.divide(rates["together"], rates[name])
        by_cost = np.divide(costs[name], costs["together"])
        columns = [
            ", ".join(f"{rate:.0f}" for rate in rates[name]),
            f"{by_rate.min():.1f} to {by_rate.max():.1f} x",
            ", ".join(f"{cost:.1f}" for cost in costs[name]),
            f"{by_cost.min():.1f} to {by_cost.max():.1f} x",
        ]
        print(f"| {name} | {' | '.join(columns)} |")
    print(f"| floor | | | {least:.1f} | {operations / 1e9:.2f} GFLOP at "
          f"{speed / 1e9:.0f} GFLOP/s |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
