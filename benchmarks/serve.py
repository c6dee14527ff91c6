"""What putting requests together gains: 64 clients with one text each.

    python -m benchmarks.serve [--clients 64] [--requests 4]

Starts the server with and without it (a batch of one request), asks both the same, and
prints texts a second and the ratio. The encoder is the default one.
"""

import argparse
import asyncio
import time

import httpx
import uvicorn
from sklearn.pipeline import make_pipeline

from skreward import BradleyTerryRegressor, LLMEmbeddingTransformer
from skreward.datasets import make_text_preferences
from skreward.integrations.serve import make_app
from skreward.text.cache import clear_memory

PORT = 5071


def fitted():
    data = make_text_preferences(20, 6, 200, random_state=0)
    model = make_pipeline(LLMEmbeddingTransformer(), BradleyTerryRegressor())
    return model.fit(data.pairs, data.y)


async def ask(clients, requests, salt):
    """Let every client ask for one text after another; gives texts a second."""
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:

        async def one(k):
            for turn in range(requests):
                text = f"Answer {salt} of client {k} in turn {turn}. " * 4
                data = {"prompts": ["A question?"], "responses": [text]}
                url = f"http://127.0.0.1:{PORT}/score"
                answer = await client.post(url, json=data)
                assert answer.status_code == 200, answer.text

        started = time.perf_counter()
        await asyncio.gather(*(one(k) for k in range(clients)))
        return clients * requests / (time.perf_counter() - started)


async def measure(model, clients, requests, max_rows, salt):
    config = uvicorn.Config(
        make_app(model, max_rows=max_rows), port=PORT, log_level="warning"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    clear_memory()
    rate = await ask(clients, requests, salt)
    server.should_exit = True
    await running
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=4)
    options = parser.parse_args()
    model = fitted()
    model.predict(["once, to load everything"])
    for turn in range(3):
        alone = asyncio.run(
            measure(model, options.clients, options.requests, 1, f"alone {turn}")
        )
        together = asyncio.run(
            measure(model, options.clients, options.requests, 4096, f"both {turn}")
        )
        print(
            f"{options.clients} clients: {alone:.1f} texts a second one by one, "
            f"{together:.1f} put together: {together / alone:.1f}x"
        )


if __name__ == "__main__":
    main()
