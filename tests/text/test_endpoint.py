"""The encoder behind an address: a real server, a real model, and what goes wrong."""

import json
import logging
import os
import pickle
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skreward
from skreward import (
    BradleyTerryRegressor,
    EndpointEmbeddingTransformer,
    LLMEmbeddingTransformer,
)
from skreward.cli.loading import load_model
from skreward.metrics import order_consistency_scorer
from skreward.model_selection import PromptDisjointKFold
from skreward.text import client
from skreward.text.cache import clear_memory

KEY = "sk-a-secret-of-the-test"
VARIABLE = "OPENAI_API_KEY"
TEXTS = ["a cat", "the dog barks", "two words", "", "naïve 你好 \U0001f600", "a cat"]


def letters(texts):
    """Embed without a model: three numbers of a text."""
    return [
        [len(text) + 1.0, text.count("a") + 0.5, sum(map(ord, text)) % 97 + 1.0]
        for text in texts
    ]


class Endpoint(ThreadingHTTPServer):
    """A server of embeddings on this machine that can be told to fail.

    ``plan`` holds what the next requests get: a function of the handler, its texts
    and the answer they would have, which gives the answer, or None once it has
    answered itself.
    """

    daemon_threads = True

    def __init__(self, encode=letters):
        super().__init__(("127.0.0.1", 0), Handler)
        self.encode, self.plan, self.asked = encode, [], []
        self.lock, self.at_once, self.most_at_once = threading.Lock(), 0, 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def texts(self):
        return [text for request in self.asked for text in request["input"]]

    def handle_error(self, request, client_address):
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            server.asked.append({**body, "headers": self.headers, "path": self.path})
            step = server.plan.pop(0) if server.plan else None
        texts = body["input"]
        answer = {
            "object": "list",
            "model": body["model"],
            "data": [
                {"object": "embedding", "index": k, "embedding": row}
                for k, row in enumerate(server.encode(texts))
            ],
        }
        if step is not None:
            answer = step(self, texts, answer)
        with server.lock:
            server.at_once -= 1
        if answer is not None:
            self.answer(200, json.dumps(answer))

    def answer(self, status, body="", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        content = body.encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        """Write no log."""


def status(code, body="", **headers):
    return lambda handler, texts, answer: handler.answer(code, body, **headers)


def disconnect(handler, texts, answer):
    handler.close_connection = True
    handler.connection.close()


def slow(handler, texts, answer):
    time.sleep(0.5)
    return answer


def shuffled(handler, texts, answer):
    return {**answer, "data": answer["data"][::-1]}


def serve(encode=letters):
    server = Endpoint(encode)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def server():
    found = serve()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture(autouse=True)
def _quick_and_empty(monkeypatch):
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 0.01)
    for name in (VARIABLE, "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    clear_memory()
    yield
    clear_memory()


def embedder(server, **options):
    return EndpointEmbeddingTransformer(server.url, "m", **options)


def table(n):
    return [
        {"prompt": f"p{k // 2}", "chosen": "a" * (k % 7 + 2), "rejected": "b" * k}
        for k in range(n)
    ]


# -- a real model


@pytest.fixture(scope="module")
def minilm():
    from sentence_transformers import SentenceTransformer

    from skreward.text.source import DEFAULT_MODEL, find_model

    source = find_model(DEFAULT_MODEL, None, False)
    model = SentenceTransformer(source.folder, device="cpu")
    lock = threading.Lock()

    def encode(texts):
        with lock:
            return model.encode(texts, show_progress_bar=False).tolist()

    found = serve(encode)
    yield found
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize("normalize", [False, True])
def test_equal_to_the_model_on_this_machine(minilm, normalize):
    chat = [{"role": "user", "content": "hello"}]
    response = [{"role": "assistant", "content": "good day"}]
    rows = [
        *table(12),
        {"prompt": "x", "chosen": "it is so", "rejected": "naïve 你好"},
        {"prompt": chat, "chosen": response, "rejected": "no"},
    ]
    here = LLMEmbeddingTransformer(dtype="float32", normalize=normalize)
    there = embedder(minilm, batch_size=5, normalize=normalize)
    for texts in (TEXTS, [{"prompt": "p", "response": text} for text in TEXTS]):
        found = there.fit_transform(texts)
        assert found.dtype == np.float32
        assert_allclose(found, here.fit_transform(texts), atol=1e-5)
    pairs, wanted = there.fit_transform(rows), here.fit_transform(rows)
    assert_allclose(pairs.embeddings, wanted.embeddings, atol=1e-5)
    assert_array_equal(pairs.index, wanted.index)
    assert_array_equal(pairs.prompt_ids, wanted.prompt_ids)
    with pytest.warns(UserWarning, match=r"1 of 1 pairs .* the server takes"):
        there.transform([{"prompt": "w " * 400, "chosen": "a", "rejected": "b"}])


@pytest.fixture(scope="module")
def infinity():
    """Infinity with the default encoder, from whatever environment is on the PATH."""
    from skreward.text.source import DEFAULT_MODEL, find_model

    command = shutil.which("infinity_emb")
    if command is None:
        pytest.skip("infinity_emb, of infinity-emb[server,torch], is not on the PATH")
    folder = find_model(DEFAULT_MODEL, None, False).folder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model-id", folder, "--served-model-name", "minilm", "--port", port]
    options += ["--url-prefix", "/v1", "--engine", "torch", "--device", "cpu"]
    options += ["--dtype", "float32", "--no-bettertransformer"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    server = subprocess.Popen(
        [command, "v2", *map(str, options)],
        env=environment | {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(6000):
            assert server.poll() is None, "infinity_emb ended before it listened"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def test_equal_to_a_server_that_others_wrote(infinity):
    texts = [text for text in TEXTS if text]  # it takes no empty ones
    rows = [*table(12), {"prompt": "x", "chosen": "it is so", "rejected": "naïve 你好"}]
    here = LLMEmbeddingTransformer(dtype="float32")
    there = EndpointEmbeddingTransformer(infinity, "minilm", batch_size=5)
    for given in (texts, rows):
        found, wanted = there.fit_transform(given), here.fit_transform(given)
        found, wanted = (getattr(x, "embeddings", x) for x in (found, wanted))
        assert_allclose(found, wanted, atol=1e-4)
    reward = make_pipeline(there, BradleyTerryRegressor()).fit(rows)
    local = make_pipeline(here, BradleyTerryRegressor()).fit(rows)
    assert_allclose(reward.predict(rows), local.predict(rows), atol=1e-3)


# -- what is sent


def test_a_distinct_text_is_sent_once_and_a_batch_is_no_larger_than_asked(server):
    embed = embedder(server, batch_size=2)
    assert_allclose(embed.fit_transform(TEXTS), letters(TEXTS), rtol=1e-6)
    assert sorted(server.texts) == sorted(set(TEXTS))
    assert max(len(request["input"]) for request in server.asked) == 2
    request = server.asked[0]
    assert (request["path"], request["model"]) == ("/v1/embeddings", "m")
    assert embed.n_features_out_ == 3
    assert embed.model_name_ == "m"
    embed.transform(TEXTS)
    clone(embed).fit(TEXTS)
    assert len(server.texts) == len(set(TEXTS))
    embedder(server, template="{response}!").fit(TEXTS)
    assert server.texts[-1] == "a cat!"
    assert len(server.texts) == len(set(TEXTS)) + 1


def test_fit_sends_one_text(server):
    embedder(server).fit(TEXTS)
    assert server.texts == ["a cat"]


def test_embeddings_on_disk_outlive_the_process_and_an_error(server, tmp_path):
    texts = [f"text {k}" for k in range(6)]
    server.plan = [None, status(400)]
    embed = embedder(server, batch_size=3, n_connections=1, cache_dir=tmp_path)
    with pytest.raises(OSError, match="answers 400, to 3 texts"):
        embed.fit_transform(texts)
    clear_memory()
    assert_allclose(embed.fit_transform(texts), letters(texts))
    assert len(server.texts) == 9
    clear_memory()
    server.shutdown()
    assert_allclose(clone(embed).fit_transform(texts), letters(texts))


def test_requests_go_at_once_and_no_more_than_asked(server):
    server.plan = [slow] * 6
    began = time.monotonic()
    embed = embedder(server, batch_size=1, n_connections=3)
    embed.fit_transform([f"text {k}" for k in range(6)])
    assert server.most_at_once == 3
    assert time.monotonic() - began < 2.5


def test_threads_send_a_text_once(server):
    embed = embedder(server).fit(TEXTS)
    server.plan = [slow]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(embed.transform, [TEXTS] * 4))
    assert_array_equal(found[0], found[3])
    assert sorted(server.texts) == sorted(set(TEXTS))


def test_frames_and_set_output(server):
    embed = embedder(server).set_output(transform="pandas")
    frame = embed.fit_transform(TEXTS)
    assert list(frame.columns) == list(embed.get_feature_names_out())
    assert frame.columns[0] == "endpointembeddingtransformer0"


def test_in_a_pipeline_and_a_search_and_a_file(server, tmp_path):
    rows = table(40)
    pipeline = make_pipeline(embedder(server), BradleyTerryRegressor())
    search = GridSearchCV(
        pipeline,
        {"bradleyterryregressor__alpha": [1e-3, 1.0]},
        scoring=order_consistency_scorer,
        cv=PromptDisjointKFold(2),
        error_score="raise",
    )
    groups = [row["prompt"] for row in rows]
    search.fit(rows, groups=groups)
    assert len(server.texts) == len(set(server.texts))
    model = search.best_estimator_
    wanted = model.predict(rows)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(rows), wanted)
    path = tmp_path / "model.skops"
    skreward.save(model, path)
    with pytest.raises(ValueError, match=rf"{server.url}.*name it in trusted"):
        skreward.load(path)
    with pytest.raises(ValueError, match="name it in trusted"):
        skreward.load(path, trusted=["https://elsewhere.example/v1"])
    loaded = skreward.load(path, trusted=[server.url])
    assert_array_equal(loaded.predict(rows), wanted)
    reading = {"template": None, "cache_dir": None, "trust": [server.url]}
    assert_array_equal(load_model(path, model="m", **reading).predict(rows), wanted)
    with pytest.raises(ValueError, match="fitted with model 'm', not 'other'"):
        load_model(path, model="other", **reading)
    with pytest.raises(ValueError, match="--device cannot act"):
        load_model(path, device="cpu", **reading)


def test_a_changed_model_is_refused(server):
    embed = embedder(server)
    with pytest.raises(NotFittedError):
        embed.transform(TEXTS)
    embed.fit(TEXTS).set_params(model_name="other")
    with pytest.raises(ValueError, match=r"fitted with model 'm'.*now 'other'"):
        embed.transform(TEXTS)


# -- what is tried again


def test_failures_that_pass_are_tried_again(server):
    server.plan = [status(500), status(503), disconnect]
    embed = embedder(server, n_connections=1)
    assert_allclose(embed.fit_transform(TEXTS), letters(TEXTS), rtol=1e-6)
    assert len(server.asked) == 4


def test_the_server_says_how_long_to_wait(server, monkeypatch):
    server.plan = [status(429, Retry_After="1")]
    began = time.monotonic()
    embedder(server, max_retries=1).fit(TEXTS)
    assert time.monotonic() - began > 0.95
    monkeypatch.setattr(client, "LONGEST_WAIT", 0)
    server.plan = [status(429, Retry_After="100000")]
    began = time.monotonic()
    embedder(server).fit(["another"])
    assert time.monotonic() - began < 5


def test_waiting_grows(server, monkeypatch):
    waits = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 1.0)
    server.plan = [status(500)] * 5
    embedder(server).fit(TEXTS)
    low = np.array([2.0, 4.0, 8.0, 16.0])
    assert (low <= waits).all()
    assert (waits <= low + 1).all()


def test_a_slow_answer_is_tried_again_then_an_error(server):
    server.plan = [slow]
    embedder(server, timeout=0.2).fit(TEXTS)
    assert len(server.asked) == 2
    server.plan = [slow, slow]
    with pytest.raises(ConnectionError, match=r"no answer in 2 tries.*Timeout"):
        embedder(server, timeout=0.2, max_retries=1).fit(["another"])


def test_failures_that_stay(server):
    server.plan = [status(500, '{"error": {"message": "out of\\nmemory"}}')] * 3
    with pytest.raises(ConnectionError) as caught:
        embedder(server, max_retries=2).fit(TEXTS)
    assert str(caught.value) == (
        f"the endpoint {server.url} (model 'm') answers 500 after 3 tries, to 1 texts: "
        "out of memory"
    )
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match=r"\(model 'm'\) gives no answer in 1 t"):
        embedder(server, max_retries=0).fit(TEXTS)


# -- what is answered


def data(change):
    return lambda handler, texts, answer: {**answer, "data": change(answer["data"])}


def rows(*embeddings):
    return data(lambda _: [{"index": k, "embedding": e} for k, e in embeddings])


def test_embeddings_are_put_back_by_index(server):
    server.plan = [shuffled]
    assert_allclose(embedder(server).fit_transform(TEXTS), letters(TEXTS), rtol=1e-6)
    server.plan = [data(lambda d: [{"embedding": one["embedding"]} for one in d])]
    assert_allclose(embedder(server).fit_transform(["x", "y"]), letters(["x", "y"]))


WRONG = {
    "too few": (data(lambda d: d[:-1]), "with 1 embeddings to 2 texts"),
    "too many": (data(lambda d: [*d, d[0]]), "with 3 embeddings to 2 texts"),
    "one twice": (data(lambda d: [d[0], d[0]]), "indices that are not"),
    "one left out": (data(lambda d: [d[0], {**d[1], "index": None}]), "indices"),
    "widths": (rows((0, [1.0]), (1, [1.0, 2.0])), "several widths in one batch"),
    "nan": (rows((0, [1.0]), (1, [float("nan")])), "not finite"),
    "beyond float32": (rows((0, [1.0]), (1, [1e300])), "not finite"),
    "null": (rows((0, [1.0]), (1, [None])), "not lists of numbers"),
    "strings": (rows((0, ["1"]), (1, ["2"])), "not lists of numbers"),
    "base64": (rows((0, "AACA"), (1, "AACA")), "not lists of numbers"),
    "empty": (rows((0, []), (1, [])), "not lists of numbers"),
    "a list": (lambda *_: [1], "without a list of embeddings in 'data'"),
    "no data": (lambda *_: {}, "without a list of embeddings"),
    "a page": (status(200, "<html>\nhello"), "what is not JSON: <html> hello"),
    "nothing": (status(200), "what is not JSON: nothing"),
    "nested": (status(200, "[" * 100_000), "what is not JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer(name, server):
    step, problem = WRONG[name]
    server.plan = [step]
    with pytest.raises(ValueError, match=problem) as caught:
        embedder(server).fit_transform(["x", "y"])
    message = str(caught.value)
    assert message.startswith(f"the endpoint {server.url} (model 'm') answers")
    assert "\n" not in message
    # Nothing of it was kept.
    assert_allclose(embedder(server).fit_transform(["x", "y"]), letters(["x", "y"]))


def test_another_width_is_another_model(server):
    embed = embedder(server, batch_size=1).fit(["x"])
    server.plan = [rows((0, [1.0]))]
    with pytest.raises(ValueError, match="width 1, and before of 3: another model"):
        embed.transform(["y"])
    server.plan = [rows((0, [1.0, 2.0]))]
    embedder(server, batch_size=1).fit(["z"])
    with pytest.raises(ValueError, match="in the cache embeddings of width 2"):
        embed.transform(["z"])
    assert_allclose(embed.transform(["y"]), letters(["y"]))


def test_no_such_model(server):
    server.plan = [status(404, '{"message": "no model m"}')]
    with pytest.raises(FileNotFoundError, match=r"\(model 'm'\) answers 404: .*no mo"):
        embedder(server).fit(TEXTS)


# -- the key


def test_the_key_goes_to_the_server_and_stays_nowhere(
    server, monkeypatch, caplog, tmp_path
):
    embed = embedder(server, cache_dir=tmp_path / "cache", n_connections=1)
    monkeypatch.setenv(VARIABLE, f"{KEY}\n")
    server.plan = [status(500), disconnect]
    with caplog.at_level(logging.DEBUG):
        embed.fit(TEXTS)
        server.plan = [status(400, f"wrong key {KEY}")]
        with pytest.raises(OSError, match=r"wrong key \*\*\*") as caught:
            embed.transform(["x"])
    assert all(r["headers"]["Authorization"] == f"Bearer {KEY}" for r in server.asked)
    skreward.save(embed, tmp_path / "model.skops")
    kept = [pickle.dumps(embed), repr(vars(embed)).encode(), caplog.text.encode()]
    kept += [str(caught.value).encode(), repr(caught.value.__context__).encode()]
    kept += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) >= 7
    assert not any(KEY.encode() in text for text in kept)
    monkeypatch.setenv(VARIABLE, "another")
    embed.transform(["y"])
    assert server.asked[-1]["headers"]["Authorization"] == "Bearer another"


@pytest.mark.parametrize("name", [VARIABLE, "MY_KEY", None])
def test_a_server_that_wants_a_key(name, server, monkeypatch):
    embed = embedder(server, api_key_variable=name)
    server.plan = [status(401)] * 2
    why = f"variable {name} is not set" if name else "api_key_variable=None sends none"
    with pytest.raises(PermissionError, match=why):
        embed.fit(TEXTS)
    assert server.asked[0]["headers"]["Authorization"] is None
    if name:
        monkeypatch.setenv(name, KEY)
        with pytest.raises(PermissionError, match=f"does not take the key .* {name}$"):
            embed.fit(TEXTS)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(code, server, monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    other = serve()
    server.plan = [status(code, Location=f"{other.url}/embeddings")]
    with pytest.raises(ConnectionError, match=rf"redirects \({code}\) to {other.url}"):
        embedder(server).fit(TEXTS)
    assert other.asked == []
    other.shutdown()
    other.server_close()


def test_a_key_goes_unencrypted_to_this_machine_alone(monkeypatch, server):
    """A proxy takes what goes to another machine, and nothing of this one's."""
    url = "http://embeddings.example/v1"
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//me:pass@"))
    monkeypatch.setenv(VARIABLE, KEY)
    embed = EndpointEmbeddingTransformer(url, "m")
    with pytest.raises(ValueError, match=rf"{VARIABLE} would go unencrypted") as caught:
        embed.fit(TEXTS)
    assert KEY not in str(caught.value)
    assert server.asked == []
    embed.set_params(api_key_variable=None).fit(TEXTS)
    assert server.asked[0]["path"] == f"{url}/embeddings"
    assert server.asked[0]["headers"]["Authorization"] is None
    assert server.asked[0]["headers"]["Proxy-Authorization"] == "Basic bWU6cGFzcw=="
    embedder(server).fit(TEXTS)
    assert server.asked[1]["path"] == "/v1/embeddings"


def test_what_is_no_key(server, monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{KEY}\nX-Other: 1")
    with pytest.raises(ValueError, match=f"{VARIABLE} holds no key") as caught:
        embedder(server).fit(TEXTS)
    assert KEY not in str(caught.value)
    assert server.asked == []


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("[::1]", True), ("localhost", True),
        ("10.0.0.1", False), ("localhost.example", False), ("127.0.0.1.example", False),
        ("[2001:db8::1]", False),
    ],
)  # fmt: skip
def test_which_hosts_are_this_machine(host, wanted):
    assert client.is_loopback(host) is wanted


# -- bad input


BAD_URLS = {
    "localhost:8000/v1": "must begin with https",
    "ftp://host/v1": "must begin with https",
    "https://": "must begin with https",
    "": "must begin with https",
    "http://[/v1": "cannot be read",
    f"https://user:{KEY}@host/v1": "no user, password",
    f"https://host/v1?key={KEY}": "no user, password",
    "https://host/v1/embeddings": "'https://host/v1'; got",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_addresses(url):
    with pytest.raises(ValueError, match=BAD_URLS[url]) as caught:
        EndpointEmbeddingTransformer(url, "m").fit(TEXTS)
    assert KEY not in str(caught.value)


def test_bad_input(server):
    for options, problem in [
        ({"batch_size": 0}, "batch_size"),
        ({"n_connections": 0}, "n_connections"),
        ({"max_retries": -1}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"template": "{prompt}"}, "template must contain"),
        ({"model_name": " "}, "model_name must name"),
    ]:
        with pytest.raises(ValueError, match=problem):
            embedder(server).set_params(**options).fit(TEXTS)
    for X in ([], np.ones((2, 2)), [1]):
        with pytest.raises(ValueError, match="X"):
            embedder(server).fit(X)
    assert server.asked == []


def test_parameters_are_copied_and_a_slash_at_the_end_is_none(server):
    embed = EndpointEmbeddingTransformer(f"{server.url}/", "m", max_retries=2)
    assert clone(embed).get_params() == embed.get_params()
    embed.fit(TEXTS)
    embedder(server).fit(TEXTS)
    assert [request["path"] for request in server.asked] == ["/v1/embeddings"]
