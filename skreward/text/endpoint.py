"""The transformer from texts to embeddings that a server computes."""

import os
import time
from numbers import Integral, Real
from threading import Lock
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from skreward.text.cache import EmbeddingCache
from skreward.text.client import EmbeddingClient, check_url
from skreward.text.embed import FLUSH_SECONDS, without_noise
from skreward.text.items import check_template, render
from skreward.text.transformer import _as_given, _check_texts, _items, _PairsOrItems
from skreward.utils.compat import Interval, StrOptions, fit_context
from skreward.utils.progress import progress
from skreward.utils.typing import FilePath

__all__ = ["EndpointEmbeddingTransformer"]

# Threads of this process send a text once: the second finds it in the cache.
LOCK = Lock()


class EndpointEmbeddingTransformer(
    _PairsOrItems, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Embed texts with a model behind an address: texts in, items or pairs out.

    An embedding is ``e(text)``, a row of ``n_features_out_`` float32 numbers, as
    ``POST {url}/embeddings`` answers it in the form of OpenAI's service. vLLM, Text
    Embeddings Inference, infinity, llama.cpp and hosted services speak it; with a
    server on many GPUs it is the way to embed more than one machine can. Every
    distinct text is sent once in the life of the process, and with ``cache_dir`` once
    for all processes.

    Parameters
    ----------
    url : str
        What stands before ``/embeddings``, such as ``"http://localhost:8000/v1"``.
        Redirects are not followed. Proxies are those of the environment
        (``HTTPS_PROXY``, ``NO_PROXY``).

    model_name : str
        The model that the server is asked for.

    template : str, default="auto"
        How prompt and response become one text, as in `LLMEmbeddingTransformer`,
        but that "auto" joins chat messages by a blank line: the chat template lies
        with the tokenizer, which the server has.

    batch_size : int, default=64
        Texts in one request. Servers limit it, and the tokens of a request.

    n_connections : int, default=8
        Requests at once. More keep a large server busy; a hosted service may answer
        that there are too many, which is waited for.

    max_retries : int, default=5
        How often a request is sent again after a lost connection, a wait longer than
        ``timeout``, or the answers 408, 409, 425, 429, 500, 502, 503 and 504. It
        waits as long as ``Retry-After`` says, or 1, 2, 4, ... seconds and a random
        part; at most a minute.

    timeout : float, default=60.0
        Seconds to connect, and to wait for the server's next byte.

    api_key_variable : str, default="OPENAI_API_KEY"
        The environment variable with the key. It is read when texts are sent, sent
        to ``url`` alone, and kept nowhere; without it none is sent. Over ``http://``
        a key goes to this machine alone, and an error says so. None sends no key.

    normalize : bool, default=False
        Scale every embedding to length 1. Many services do so themselves.

    cache_dir : path, default=None
        A folder that keeps embeddings on disk, by hashes of address, model, template
        and text. Several processes may use it at once. None keeps them for the
        process alone.

    show_progress : bool, "auto" or "lines", default="auto"
        A progress bar; "auto" shows one on a terminal after two seconds, "lines" does
        so too and elsewhere, as in a log, writes a line to stderr every ten seconds.

    Attributes
    ----------
    n_features_out_ : int
        Width of the embedding.

    model_name_ : str
        The model of `fit`; `transform` refuses another.

    Raises
    ------
    OSError
        Where the server gives no embeddings: it cannot be reached, or answers with an
        error after the last try.

    ValueError
        Where it answers with something else than one embedding a text, all finite and
        of one width; where ``url`` is no address or holds a secret; or where the key
        would go unencrypted to another machine.

    ImportError
        Where urllib3 is missing.

    See Also
    --------
    LLMEmbeddingTransformer : The same with a model on this machine.

    Notes
    -----
    X is what `LLMEmbeddingTransformer` takes. Numbers of an embedding that are
    rounding are set to 0, as there.

    Texts that are too long are the server's affair: it refuses them (vLLM, OpenAI) or
    cuts them at the end, behind a long prompt the response. Nothing here counts the
    tokens. Likewise nothing tells two models behind one name and address from each
    other, but for the width; where the server's model changes, take another
    ``cache_dir`` and fit again.

    A model of a file says where texts and key are sent, so `skreward.load` wants the
    address named: ``load(path, trusted=["https://example.com/v1"])``.

    Examples
    --------
    >>> from skreward import EndpointEmbeddingTransformer
    >>> embed = EndpointEmbeddingTransformer("http://localhost:8000/v1", "my-model")
    >>> table = [{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}]
    >>> embed.fit_transform(table)  # doctest: +SKIP
    EmbeddingPairs(n_pairs=1, n_items=2, n_features=384, dtype=float32, n_prompts=1)
    """

    _parameter_constraints = {  # noqa: RUF012
        "url": [str],
        "model_name": [str],
        "template": [str],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_connections": [Interval(Integral, 1, None, closed="left")],
        "max_retries": [Interval(Integral, 0, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither")],
        "api_key_variable": [str, None],
        "normalize": ["boolean"],
        "cache_dir": [str, os.PathLike, None],
        "show_progress": ["boolean", StrOptions({"auto", "lines"})],
    }

    def __init__(
        self,
        url: str,
        model_name: str,
        *,
        template: str = "auto",
        batch_size: int = 64,
        n_connections: int = 8,
        max_retries: int = 5,
        timeout: float = 60.0,
        api_key_variable: str | None = "OPENAI_API_KEY",
        normalize: bool = False,
        cache_dir: FilePath | None = None,
        show_progress: bool | Literal["auto", "lines"] = "auto",
    ) -> None:
        self.url = url
        self.model_name = model_name
        self.template = template
        self.batch_size = batch_size
        self.n_connections = n_connections
        self.max_retries = max_retries
        self.timeout = timeout
        self.api_key_variable = api_key_variable
        self.normalize = normalize
        self.cache_dir = cache_dir
        self.show_progress = show_progress

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the width of the embedding, from the first text.

        Parameters
        ----------
        X : list, array or Series of strings; or a table
            Texts, or rows of prompt and responses.
        y : None
            Ignored.

        Returns
        -------
        self : EndpointEmbeddingTransformer
            Fitted.
        """
        _, items = self._read(X)
        self._set(self._embed(items[:1]))
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def _fit_transform(self, X):
        texts, items = self._read(X)
        rows = self._embed(items)
        self._set(rows)
        return _as_given(texts, rows, BEYOND)

    def _transform(self, X):
        check_is_fitted(self)
        if self.model_name != self.model_name_:
            raise ValueError(
                f"this transformer was fitted with model {self.model_name_!r}, and "
                f"model_name is now {self.model_name!r}. Fit again."
            )
        texts = _check_texts(X)
        rows = self._embed(_items(texts), self.n_features_out_)
        return _as_given(texts, rows, BEYOND)

    def _read(self, X):
        check_template(self.template)
        texts = _check_texts(X)
        items = _items(texts)
        if len(items) == 0:
            raise ValueError("X holds 0 texts; at least one is needed.")
        return texts, items

    def _set(self, rows):
        self.n_features_out_ = rows.shape[1]
        self.model_name_ = self.model_name

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def _embed(self, items, width=None):
        """Embed every item; ``width`` is that of `fit`, where there was one."""
        client = EmbeddingClient(
            check_url(self.url),
            _check_model_name(self.model_name),
            batch_size=self.batch_size,
            n_connections=self.n_connections,
            max_retries=self.max_retries,
            timeout=self.timeout,
            api_key_variable=self.api_key_variable,
        )
        setup = {
            "endpoint": client.url,
            "model": client.model_name,
            "template": self.template,
            "normalize": self.normalize,
        }
        cache = EmbeddingCache(setup, self.cache_dir)
        # No chat template: the contents are joined.
        texts = render(items, self.template, lambda chat: None)
        distinct = list(dict.fromkeys(texts))
        rows = cache.get(distinct)
        if len(rows) < len(distinct):
            with LOCK:
                # Another thread may have sent some of it while this one waited.
                rows |= cache.get([text for text in distinct if text not in rows])
                for row in rows.values():
                    width = _check_width(client, row.size, width, cached=True)
                missing = [text for text in distinct if text not in rows]
                rows |= self._send(missing, client, cache, width)
        for row in rows.values():
            width = _check_width(client, row.size, width, cached=True)
        return np.stack([rows[text] for text in texts])

    def _send(self, texts, client, cache, width):
        """Ask for what is missing, and hand it to the cache every few seconds."""
        done: dict[str, np.ndarray] = {}
        fresh: dict[str, np.ndarray] = {}
        flushed = time.monotonic()
        with progress(len(texts), "embedding", "texts", self.show_progress) as shown:
            try:
                for batch, rows in client.embed(texts) if texts else ():
                    width = _check_width(client, rows.shape[1], width)
                    rows = without_noise(rows)
                    if self.normalize:
                        rows = _unit_rows(rows)
                    fresh.update(zip(batch, rows, strict=True))
                    shown.update(len(batch))
                    if time.monotonic() - flushed > FLUSH_SECONDS:
                        cache.put(fresh)
                        done |= fresh
                        fresh, flushed = {}, time.monotonic()
            finally:
                # What was answered, and may be paid for, outlives an error.
                cache.put(fresh)
        return done | fresh


BEYOND = "the tokens that the server takes. A model that takes more tells them apart"


def _check_model_name(name):
    if not name.strip():
        raise ValueError(f"model_name must name the server's model, got {name!r}.")
    return name


def _check_width(client, found, wanted, cached=False):
    """Give the width, which is the same in every answer and in the cache."""
    if wanted is not None and found != wanted:
        where = "has in the cache" if cached else "answers with"
        raise ValueError(
            f"{client} {where} embeddings of width {found}, and before of {wanted}: "
            "another model stands behind that name. Fit again in a new process, and "
            "with another cache_dir if there is one."
        )
    return found


def _unit_rows(rows):
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
