"""The server: its contract, requests put together, and what it refuses."""

import asyncio
import json
import threading
import time

import numpy as np
import pytest

from tests.support import needs

httpx, _ = needs("httpx"), needs("starlette")
from skreward.integrations import serve  # noqa: E402
from skreward.integrations.serve import Batcher, make_app  # noqa: E402


class Length:
    """A reward that counts, slowly, and remembers its calls."""

    def __init__(self, seconds=0.0):
        self.seconds, self.calls = seconds, []

    def predict(self, rows):
        time.sleep(self.seconds)
        texts = [row if isinstance(row, str) else row["response"] for row in rows]
        if any("broken" in text for text in texts):
            raise ValueError("broken text")
        self.calls.append(texts)
        return np.array([float(len(text)) for text in texts])


def ask(app, *requests):
    """Send requests at once; gives the answers in order."""

    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://x"
        ) as client:
            return await asyncio.gather(
                *(client.request(*args, **options) for args, options in requests)
            )

    return asyncio.run(main())


def post(path, data, **options):
    return (("POST", path), {"json": data, **options})


def test_what_openrlhf_asks():
    model = Length()
    (answer,) = ask(
        make_app(model),
        post(
            "/get_reward",
            {"query": ["p: abc", "lone"], "prompts": ["p: ", "x"], "labels": [1, 2]},
        ),
    )
    assert answer.status_code == 200
    found = answer.json()
    assert found["rewards"] == found["scores"] == [3.0, 4.0]
    assert found["extra_logs"] == {}
    assert sorted(text for call in model.calls for text in call) == ["abc", "lone"]
    (answer,) = ask(make_app(model), post("/get_reward", {"query": ["abcd"]}))
    assert answer.json()["rewards"] == [4.0]


def test_prompts_and_responses():
    chat = [{"role": "user", "content": "p"}]

    class Chat(Length):
        def predict(self, rows):
            assert rows[0]["prompt"] == chat
            return np.ones(len(rows))

    data = {"prompts": [chat], "responses": [[{"role": "assistant", "content": "a"}]]}
    (answer,) = ask(make_app(Chat()), post("/score", data))
    assert answer.json() == {"rewards": [1.0]}
    (answer,) = ask(
        make_app(Length()), post("/score", {"prompts": [], "responses": []})
    )
    assert answer.json() == {"rewards": []}


def test_requests_are_put_together_and_none_is_lost():
    model = Length(0.05)
    requests = [
        post("/score", {"prompts": ["p"], "responses": ["a" * (k + 1)]})
        for k in range(64)
    ]
    answers = ask(make_app(model), *requests)
    assert [a.json()["rewards"] for a in answers] == [[k + 1.0] for k in range(64)]
    assert len(model.calls) <= 4


@pytest.fixture
def patient(monkeypatch):
    """Wait after short calls as after long ones; gives every time that it did."""
    waits, wait_for = [], asyncio.wait_for

    async def counted(what, seconds):
        waits.append(seconds)
        return await wait_for(what, seconds)

    monkeypatch.setattr(serve, "PATIENCE", np.inf)
    monkeypatch.setattr(serve, "MAX_PATIENCE", 1.0)
    monkeypatch.setattr(asyncio, "wait_for", counted)
    return waits


@pytest.mark.usefixtures("patient")
def test_clients_that_ask_again_and_again_stay_together():
    model = Length(0.1)

    async def client(batcher, k):
        await asyncio.sleep(0.02 * (k > 0))  # the first of them finds the model idle
        for turn in range(5):
            assert await batcher.rewards(["a" * (9 * k + turn)]) == [9 * k + turn]
            await asyncio.sleep(0.001 * (k % 3))

    async def main():
        batcher = Batcher(model.predict)
        await asyncio.gather(*(client(batcher, k) for k in range(16)))
        await batcher.close()

    asyncio.run(main())
    assert [len(call) for call in model.calls] == [1, 16, 16, 16, 16, 15]


@pytest.mark.parametrize("n_left", [0, 1])
def test_nobody_is_waited_for_twice(n_left, patient):
    """A client by itself, and one beside another that went away."""

    async def main():
        batcher = Batcher(Length().predict)
        gone = [batcher.rewards(["gone"]) for _ in range(n_left)]
        await asyncio.gather(batcher.rewards(["a"]), *gone)
        for _ in range(3):
            await batcher.rewards(["a"])
        await batcher.close()

    asyncio.run(main())
    assert len(patient) == n_left


def test_equal_texts_are_computed_once():
    model = Length(0.02)
    same = post("/score", {"prompts": ["p", "p"], "responses": ["a", "a"]})
    ask(make_app(model), *[same] * 8)
    assert max(map(len, model.calls)) == 1


def test_one_that_fails_takes_no_other_along():
    requests = [
        post("/score", {"prompts": ["p"], "responses": [text]})
        for text in ("a", "broken", "abc", "abcd")
    ]
    answers = ask(make_app(Length(0.02)), *requests)
    assert [a.status_code for a in answers] == [200, 422, 200, 200]
    assert "broken text" in answers[1].json()["error"]
    assert answers[3].json() == {"rewards": [4.0]}


def test_large_requests_are_not_put_together_beyond_the_limit():
    model = Length(0.02)
    requests = [
        post("/score", {"prompts": ["p"] * 3, "responses": [f"{k}{j}" for j in "abc"]})
        for k in range(6)
    ]
    ask(make_app(model, max_rows=6), *requests)
    assert max(map(len, model.calls)) <= 6


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        ("/score", b"{", 422, "no JSON"),
        ("/score", b"[" * 10**5, 422, "no JSON"),
        ("/score", b"\xff", 422, "no JSON"),
        ("/score", b"[1]", 422, "wanted a JSON object, got list"),
        ("/score", b"{}", 422, "'responses' must be a list, got NoneType"),
        ("/score", b'{"prompts": [], "responses": ["a"]}', 422, "0 entries, and not 1"),
        ("/score", b'{"prompts": ["p"], "responses": [3]}', 422, "row 0"),
        ("/score", b'{"prompts": ["p"], "responses": [null]}', 422, "missing"),
        ("/get_reward", b'{"query": "a"}', 422, "'query' must be a list, got str"),
        ("/get_reward", b'{"query": [1]}', 422, "entry 0: wanted a string"),
        ("/get_reward", b'{"query": ["a"], "prompts": ["a", "b"]}', 422, "2 entries"),
        ("/score", b" " * 2000, 413, "longer than 1000 bytes"),
    ],
)
def test_bad_requests(path, content, status, message):
    model = Length()
    app = make_app(model, max_body=1000 if status == 413 else 1 << 20)
    (answer,) = ask(app, (("POST", path), {"content": content}))
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert model.calls == []


def test_a_body_without_a_length_is_read_no_further_than_allowed():
    async def endless():
        for _ in range(10**6):
            sent.append(1)
            yield b"x" * 100

    sent = []
    app = make_app(Length(), max_body=1000)
    (answer,) = ask(app, (("POST", "/score"), {"content": endless()}))
    assert answer.status_code == 413


def test_a_token():
    app = make_app(Length(), token="secret")
    data = {"prompts": ["p"], "responses": ["a"]}
    right = {"headers": {"Authorization": "Bearer secret"}}
    wrong = {"headers": {"Authorization": "Bearer other"}}
    answers = ask(
        app,
        post("/score", data),
        post("/score", data, **wrong),
        post("/score", data, **right),
        (("GET", "/health"), {}),
        (("GET", "/info"), {}),
        (("GET", "/info"), right),
    )
    assert [a.status_code for a in answers] == [401, 401, 200, 200, 401, 200]
    assert "secret" not in json.dumps([a.json() for a in answers])
    assert answers[-1].json()["reward"] == "Length"


def test_closing_answers_what_waits():
    model = Length(0.05)
    before = set(threading.enumerate())

    async def main():
        batcher = Batcher(model.predict)
        asked = [asyncio.create_task(batcher.rewards(["a" * k])) for k in range(1, 6)]
        await asyncio.sleep(0)
        await batcher.close()
        return await asyncio.gather(*asked)

    assert [float(r[0]) for r in asyncio.run(main())] == [1, 2, 3, 4, 5]
    assert set(threading.enumerate()) <= before


def test_headers_are_bounded_whichever_parsers_are_installed(monkeypatch):
    uvicorn = needs("uvicorn")
    given = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: given.update(options))
    serve.run(Length(), "127.0.0.1", 5000)
    config = uvicorn.Config(None, **given)
    config.load()
    assert config.http_protocol_class.__module__ == "uvicorn.protocols.http.h11_impl"
