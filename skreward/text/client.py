"""Texts to an address that answers as OpenAI's embeddings do, and its answers checked.

urllib3 does the HTTP: it depends on nothing, its pool may be used by threads, and its
``Retry`` has back-off with jitter and ``Retry-After``, which httpx leaves to its users.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import numpy as np

from skreward.utils.optional import wanted_by

RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
BACKOFF_SECONDS = 0.5
# The longest wait between two tries, whatever the server asks for: a wait in a thread
# is not interrupted.
LONGEST_WAIT = 60
LONGEST_QUOTE = 300


@dataclass(frozen=True)
class EmbeddingClient:
    """What an endpoint is asked, and how patiently. It holds no key.

    Parameters
    ----------
    url : str
        As `check_url` gives it.
    model_name : str
    batch_size, n_connections, max_retries : int
    timeout : float
        Seconds, for connecting and for every wait for bytes.
    api_key_variable : str or None
    """

    url: str
    model_name: str
    batch_size: int
    n_connections: int
    max_retries: int
    timeout: float
    api_key_variable: str | None

    def embed(self, texts: Sequence[str]) -> Iterator[tuple[list[str], np.ndarray]]:
        """Send every text once; give batches and their rows, as they come."""
        key = read_key(self.url, self.api_key_variable)
        size = self.batch_size
        batches = [list(texts[k : k + size]) for k in range(0, len(texts), size)]
        n_threads = min(self.n_connections, len(batches))
        with self._connections(n_threads) as pool:
            threads = ThreadPoolExecutor(n_threads, thread_name_prefix="embedding")
            try:
                asked = {
                    threads.submit(self._ask, pool, batch, key): batch
                    for batch in batches
                }
                for answer in as_completed(asked):
                    yield asked[answer], answer.result()
            finally:
                threads.shutdown(cancel_futures=True)

    @contextmanager
    def _connections(self, n_threads):
        with wanted_by("EndpointEmbeddingTransformer", "urllib3"):
            import urllib3
        host, scheme = _host(self.url), self.url.partition(":")[0]
        retries = urllib3.Retry(
            self.max_retries,
            allowed_methods=None,
            status_forcelist=RETRIED,
            backoff_factor=BACKOFF_SECONDS,
            backoff_jitter=BACKOFF_SECONDS,
            backoff_max=LONGEST_WAIT,
            retry_after_max=LONGEST_WAIT,
            raise_on_status=False,
        )
        options = {
            "maxsize": n_threads, "timeout": self.timeout, "retries": retries
        }  # fmt: skip
        proxy = getproxies().get(scheme)
        if proxy and not is_loopback(host) and not proxy_bypass(host):
            auth = urllib3.util.parse_url(proxy).auth
            headers = urllib3.make_headers(
                proxy_basic_auth=unquote(auth) if auth else None
            )
            pool: urllib3.PoolManager = urllib3.ProxyManager(
                proxy, proxy_headers=headers, **options
            )
        else:
            pool = urllib3.PoolManager(**options)
        with pool:
            yield pool

    def _ask(self, pool, texts, key):
        from urllib3.exceptions import HTTPError, MaxRetryError

        asked = {"model": self.model_name, "input": texts, "encoding_format": "float"}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        try:
            # Another address gets neither the key nor the texts.
            answer = pool.request(
                "POST",
                f"{self.url}/embeddings",
                body=json.dumps(asked).encode(),
                headers=headers,
                redirect=False,
            )
        except HTTPError as error:
            reason = error.reason if isinstance(error, MaxRetryError) else error
            raise ConnectionError(
                f"{self} gives no answer in {self._tries()}: "
                f"{_quote(f'{type(reason).__name__}: {reason}', key)}"
            ) from None
        if answer.status != 200:
            raise self._refusal(answer, len(texts), key)
        try:
            return rows_of(json.loads(answer.data), len(texts))
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
            problem = (
                f"with what is not JSON: {_quote(_text(answer), key) or 'nothing'}"
            )
        except ValueError as error:
            problem = str(error)
        raise ValueError(f"{self} answers {problem}.")

    def _refusal(self, answer, n_texts, key):
        said = _quote(_message(answer), key)
        said = f": {said}" if said else ""
        status = answer.status
        if status in (401, 403):
            variable = self.api_key_variable
            if variable is None:
                why = "it wants a key, and api_key_variable=None sends none"
            elif key is None:
                why = f"the environment variable {variable} is not set"
            else:
                why = f"it does not take the key in the environment variable {variable}"
            return PermissionError(f"{self} refuses ({status}), as {why}{said}")
        if status == 404:
            why = f"there is no {self.url}/embeddings, or it has no such model"
            return FileNotFoundError(f"{self} answers 404: {why}{said}")
        if 300 <= status < 400:
            place = _quote(answer.headers.get("Location", "elsewhere"), key)
            return ConnectionError(
                f"{self} redirects ({status}) to {place}, which is not followed; if "
                "that is right, give it as the url."
            )
        tries = f" after {self._tries()}" if status in RETRIED else ""
        return ConnectionError(
            f"{self} answers {status}{tries}, to {n_texts} texts{said}"
        )

    def _tries(self):
        return "1 try" if self.max_retries == 0 else f"{self.max_retries + 1} tries"

    def __str__(self):
        return f"the endpoint {self.url} (model {self.model_name!r})"


def check_url(url: str) -> str:
    """Check the address of an endpoint; gives it without a slash at its end.

    Raises
    ------
    ValueError
        It quotes no part of an address that may be a secret.
    """
    with wanted_by("EndpointEmbeddingTransformer", "urllib3"):
        from urllib3.exceptions import LocationParseError
        from urllib3.util import parse_url
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise ValueError("url cannot be read as an address.") from None
    if parts.auth is not None or parts.query is not None or parts.fragment is not None:
        raise ValueError(
            "url must hold no user, password, query or fragment, which would be stored "
            "with the model; a key is read from the variable in api_key_variable."
        )
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(
            "url must begin with https:// or http:// and a host, such as "
            f"'http://localhost:8000/v1'; got {url!r}."
        )
    found = parts.url.rstrip("/")
    if found.endswith("/embeddings"):
        raise ValueError(
            f"url must be what stands before /embeddings, {found[:-11]!r}; got {url!r}."
        )
    return found


def read_key(url: str, variable: str | None) -> str | None:
    """Read the key for an address from the environment; None where there is none.

    Raises
    ------
    ValueError
        Where the key would go unencrypted to another machine, or is no key. The
        message does not hold it.
    """
    key = os.environ.get(variable, "").strip() if variable is not None else ""
    if not key:
        return None
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"the environment variable {variable} holds no key: it has a line break or "
            "letters that a header cannot carry."
        )
    if url.startswith("http://") and not is_loopback(_host(url)):
        raise ValueError(
            f"the key in the environment variable {variable} would go unencrypted to "
            f"{url}: give an https:// url, or api_key_variable=None to send no key."
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def rows_of(answer: object, n_texts: int) -> np.ndarray:
    """Give the embeddings of an answer in the order of the texts, in float32.

    Raises
    ------
    ValueError
        Whose message goes on from "answers".
    """
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise ValueError("without a list of embeddings in 'data'")
    if len(data) != n_texts:
        raise ValueError(f"with {len(data)} embeddings to {n_texts} texts")
    # Some leave the indices out, and answer in order.
    index = [one.get("index") for one in data]
    if index == [None] * n_texts:
        index = list(range(n_texts))
    if any(type(k) is not int for k in index) or set(index) != set(range(n_texts)):
        raise ValueError(f"with indices that are not those of {n_texts} texts")
    try:
        values = np.array([one.get("embedding") for one in data])
    except ValueError:
        raise ValueError("with embeddings of several widths in one batch") from None
    if values.ndim != 2 or values.shape[1] == 0 or values.dtype.kind not in "iuf":
        raise ValueError("with embeddings that are not lists of numbers")
    with np.errstate(over="ignore"):
        rows = np.empty(values.shape, dtype=np.float32)
        rows[index] = values
    if not np.isfinite(rows).all():
        raise ValueError("with an embedding that is not finite")
    return rows


def _host(url):
    from urllib3.util import parse_url

    return parse_url(url).host or ""


def _text(answer):
    return answer.data.decode("utf-8", "replace")


def _message(answer):
    """Find what a server says of an error: the word in its JSON, or all of it."""
    try:
        said = json.loads(answer.data)
    except (ValueError, RecursionError):
        return _text(answer)
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return said if isinstance(said, str) else json.dumps(said)


def _quote(said, key):
    """Write in one short line what a server said, without the key."""
    if key is not None:
        said = said.replace(key, "***")
    said = " ".join(said.split())
    return said if len(said) <= LONGEST_QUOTE else f"{said[:LONGEST_QUOTE]}..."
