"""A fitted reward behind HTTP, its requests put together.

``POST /get_reward`` is what OpenRLHF asks a remote reward model for; ``/score`` takes
prompts and responses. A model computes one batch at a time; what arrives meanwhile
is the next batch, so that many clients with one text each cost little more than one
with many.
"""

import asyncio
import hmac
import json
import math
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from skreward.text.items import value_key
from skreward.text.tables import read_texts
from skreward.utils.optional import wanted_by

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

MAX_BODY = 32 << 20
MAX_ROWS = 4096
# How long those who were answered are waited for: a part of their call's time, and so
# many seconds at most.
PATIENCE, MAX_PATIENCE = 0.15, 0.1
TOKEN_VARIABLE = "SKREWARD_TOKEN"


class BadRequest(Exception):
    """What is wrong with a request, and the status that says so."""

    def __init__(self, problem: str, status: int = 422):
        self.problem, self.status = problem, status
        super().__init__(problem)


class Batcher:
    """Rewards of rows, computed in one thread, as many together as there are.

    Whoever was answered may ask again within milliseconds, and a call for the first of
    them alone would leave all others to the next. So after a call the next one waits,
    for a part of that call's time at most, until as many requests are there as were
    when it ended. A client by itself never waits.

    Parameters
    ----------
    predict : callable
        From a list of rows to their rewards.
    max_rows : int
        Rows in one call, at most; a longer request is a call of its own.
    """

    def __init__(self, predict: Callable[[list], Any], max_rows: int = MAX_ROWS):
        self._predict, self._max_rows = predict, max_rows
        self._waiting: deque[tuple[list, asyncio.Future]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="skreward")
        self._running: asyncio.Task | None = None
        self._n_waiting = self._n_expected = 0
        self._until = -math.inf
        self._gathered: asyncio.Future | None = None
        self.n_calls = self.n_rows = 0

    async def rewards(self, rows: list) -> np.ndarray:
        """Give the rewards of some rows, when a batch with them is done."""
        if not rows:
            return np.empty(0)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, done))
        self._n_waiting += len(rows)
        if self._gathered is not None and self._is_enough():
            _settle(self._gathered, None)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await done

    async def close(self) -> None:
        """Finish what waits."""
        if self._running is not None:
            await self._running
        self._thread.shutdown()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._waiting:
                await self._gather(self._until - clock())
                batch, started = self._next(), clock()
                await self._compute(batch)
                patience = min(PATIENCE * (clock() - started), MAX_PATIENCE)
                self._until = clock() + patience
                self._n_expected = len(batch) + len(self._waiting)
        finally:
            self._running = None

    async def _gather(self, seconds: float) -> None:
        """Wait for those who were answered, no longer than some seconds."""
        if seconds > 0 and not self._is_enough():
            self._gathered = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gathered, seconds)
            self._gathered = None

    def _is_enough(self) -> bool:
        is_full = self._n_waiting >= self._max_rows
        return is_full or len(self._waiting) >= self._n_expected

    def _next(self) -> list[tuple[list, asyncio.Future]]:
        """Take the requests of the next call."""
        batch = [self._waiting.popleft()]
        n_rows = len(batch[0][0])
        while self._waiting and n_rows + len(self._waiting[0][0]) <= self._max_rows:
            batch.append(self._waiting.popleft())
            n_rows += len(batch[-1][0])
        self._n_waiting -= n_rows
        return batch

    async def _compute(self, batch) -> None:
        """Compute requests together; alone where that fails: one fails, not all."""
        loop = asyncio.get_running_loop()
        rows = [row for part, _ in batch for row in part]
        try:
            rewards = await loop.run_in_executor(self._thread, self._predict, rows)
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0][1], error)
                return
            for one in batch:
                await self._compute([one])
            return
        self.n_calls += 1
        self.n_rows += len(rows)
        ends = np.cumsum([len(part) for part, _ in batch])[:-1]
        for (_, done), part in zip(
            batch, np.split(np.asarray(rewards), ends), strict=True
        ):
            _settle(done, part)


def _settle(done: asyncio.Future, outcome: Any) -> None:
    if done.done():  # whoever asked is gone
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)


def make_app(
    model: Any,
    *,
    token: str | None = None,
    max_body: int = MAX_BODY,
    max_rows: int = MAX_ROWS,
) -> "Starlette":
    """Make the application that serves a fitted text reward.

    Parameters
    ----------
    model : estimator
        A fitted Pipeline from texts to rewards.
    token : str, default=None
        Where given, requests must carry it: ``Authorization: Bearer TOKEN``.
        ``/health`` needs none.
    max_body : int, default=33554432
        Bytes of a request, at most.
    max_rows : int, default=4096
        Texts of one call of the model, at most.

    Returns
    -------
    app : starlette.applications.Starlette
        With ``POST /get_reward`` and ``/score``, ``GET /health`` and ``/info``.

    Examples
    --------
    >>> from skreward.integrations.serve import make_app
    >>> app = make_app(model)  # doctest: +SKIP
    """
    with wanted_by("serving a reward", "starlette"):
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route

    batcher = Batcher(lambda rows: _distinct(model, rows), max_rows)

    @asynccontextmanager
    async def lifespan(app):
        yield
        await batcher.close()

    async def get_reward(request: "Request") -> dict[str, Any]:
        rewards = await _computed(batcher, _queries(await _json(request, max_body)))
        return {"rewards": rewards, "scores": rewards, "extra_logs": {}}

    async def score(request: "Request") -> dict[str, Any]:
        rows = _rows(await _json(request, max_body))
        return {"rewards": await _computed(batcher, rows)}

    async def health(request: "Request") -> dict[str, Any]:
        return {"status": "ok"}

    async def info(request: "Request") -> dict[str, Any]:
        encoder = getattr(model, "steps", [("", None)])[0][1]
        return {
            "version": version("skreward"),
            "reward": type(getattr(model, "steps", [("", model)])[-1][1]).__name__,
            "encoder": getattr(encoder, "model_name_", None),
            "template": getattr(encoder, "template", None),
            "n_calls": batcher.n_calls,
            "n_rows": batcher.n_rows,
        }

    def answered(handler, is_open=False):
        async def endpoint(request: "Request") -> "JSONResponse":
            try:
                if not is_open:
                    _check_token(request, token)
                return JSONResponse(await handler(request))
            except BadRequest as error:
                return JSONResponse({"error": error.problem}, error.status)

        return endpoint

    return Starlette(
        routes=[
            Route("/get_reward", answered(get_reward), methods=["POST"]),
            Route("/score", answered(score), methods=["POST"]),
            Route("/health", answered(health, is_open=True)),
            Route("/info", answered(info)),
        ],
        lifespan=lifespan,
    )


def run(model: Any, host: str, port: int, **options: Any) -> None:
    """Serve until interrupted; what has been asked is answered first."""
    with wanted_by("serving a reward", "uvicorn"):
        import uvicorn

    app = make_app(model, token=os.environ.get(TOKEN_VARIABLE) or None, **options)
    # httptools, which uvicorn prefers where it is there, costs 0.3 ms a request less
    # and reads headers without end, before any token is seen; h11 stops at 64 KiB.
    uvicorn.run(app, host=host, port=port, log_level="warning", http="h11")


def _distinct(model, rows) -> np.ndarray:
    """Compute every distinct row once."""
    place: dict[tuple, int] = {}
    distinct: list[dict[str, Any]] = []
    places: list[int] = []
    for row in rows:
        key = tuple(value_key(row.get(name)) for name in ("prompt", "response"))
        if key not in place:
            place[key] = len(distinct)
            distinct.append(row)
        places.append(place[key])
    is_lone = [row.get("prompt") is None for row in distinct]
    rewards = np.empty(len(distinct))
    for lone in (True, False):
        chosen = [k for k, one in enumerate(is_lone) if one is lone]
        if chosen:
            given = [distinct[k] for k in chosen]
            texts = [row["response"] for row in given] if lone else given
            rewards[chosen] = model.predict(texts)
    return rewards[places]


async def _computed(batcher: Batcher, rows: list) -> list[float]:
    try:
        rewards = await batcher.rewards(rows)
    except (ValueError, TypeError) as error:
        raise BadRequest(f"the texts cannot be scored: {error}") from None
    if not np.isfinite(rewards).all():
        raise BadRequest("a reward is not finite.", 500)
    return [float(reward) for reward in rewards]


def _check_token(request: "Request", token: str | None) -> None:
    if token is None:
        return
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise BadRequest("wanted the header Authorization: Bearer TOKEN.", 401)


async def _json(request: "Request", max_body: int) -> dict[str, Any]:
    """Read a request, no further than it may be long."""
    too_long = BadRequest(f"the body is longer than {max_body} bytes.", 413)
    if int(request.headers.get("content-length") or 0) > max_body:
        raise too_long
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_body:
            raise too_long
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {error}.") from None
    if not isinstance(data, dict):
        raise BadRequest(f"wanted a JSON object, got {type(data).__name__}.")
    return data


def _list(data, name, n=None) -> list:
    values = data.get(name)
    if not isinstance(values, list):
        raise BadRequest(f"{name!r} must be a list, got {type(values).__name__}.")
    if n is not None and len(values) != n:
        raise BadRequest(f"{name!r} has {len(values)} entries, and not {n}.")
    return values


def _queries(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Read OpenRLHF's request: texts, and the prompts that they begin with.

    Where a query begins with its prompt the rest is the response; any other is a
    text by itself.
    """
    queries = _list(data, "query")
    prompts = _list(data, "prompts", len(queries)) if data.get("prompts") else None
    rows: list[dict[str, Any]] = []
    for k, query in enumerate(queries):
        if not isinstance(query, str):
            raise BadRequest(f"'query', entry {k}: wanted a string.")
        prompt = None if prompts is None else prompts[k]
        if isinstance(prompt, str) and query.startswith(prompt):
            rows.append({"prompt": prompt, "response": query[len(prompt) :]})
        else:
            rows.append({"prompt": None, "response": query})
    return rows


def _rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    responses = _list(data, "responses")
    prompts = _list(data, "prompts", len(responses))
    rows = [
        {"prompt": prompt, "response": response}
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    if rows:
        try:
            read_texts(rows)
        except ValueError as error:
            raise BadRequest(str(error)) from None
    return rows
