"""The pair container: items stored once, comparisons as integer indices."""

from collections.abc import Hashable
from itertools import repeat
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp

from skreward.data.shown import html_of
from skreward.utils.checks import check_index, refuse_missing
from skreward.utils.lazy import check_blocks, is_lazy, refuse_lazy
from skreward.utils.typing import Array, ArrayLike, Items

__all__ = ["EmbeddingPairs"]


class EmbeddingPairs:
    """Compared pairs of items, with every item's embedding stored once.

    Pair k compares item ``index[k, 0]`` (the *first*) with item ``index[k, 1]``
    (the *second*). Indexing picks pairs and gives another `EmbeddingPairs` over
    the *same* embeddings object: nothing is copied, so cross-validation over a
    container costs the indices alone. Labels stay outside, in ``y``.

    Parameters
    ----------
    embeddings : {array, sparse matrix, Dask array} of shape (n_items, n_features)
        One row an item, of any real dtype; `numpy.memmap`, float16,
        `scipy.sparse` and ``dask.array.Array`` are kept as they are. Chunks of a Dask
        array hold whole rows, of a number that is known; see
        :doc:`/guide/beyond_memory`.

    index : array-like of int, shape (n_pairs, 2)
        The rows of ``embeddings`` that each pair compares.

    prompt_ids : array-like of shape (n_items,), default=None
        The prompt that each *item* responds to. Splitters and the internal
        validation split keep prompts apart by it. For one id a pair see
        `from_chosen_rejected` and `from_dense`.

    Attributes
    ----------
    embeddings, index, prompt_ids
        As above; ``prompt_ids`` is None where no prompts are known.

    n_items : int
        Rows of ``embeddings``, also those that occur in no pair.

    shape : tuple
        ``(n_pairs, 2, n_features)``: what scikit-learn sees.

    Raises
    ------
    ValueError
        At construction, naming the pair: an index out of range, a pair of an
        item with itself; also a non-integer index, a wrong number of
        dimensions, or a wrong number of prompt ids.

    Examples
    --------
    >>> import numpy as np
    >>> from skreward import EmbeddingPairs
    >>> pairs = EmbeddingPairs(np.eye(4), [[0, 1], [2, 3], [3, 0]])
    >>> pairs
    EmbeddingPairs(n_pairs=3, n_items=4, n_features=4, dtype=float64)
    >>> pairs[1:].index.tolist()
    [[2, 3], [3, 0]]
    >>> pairs[1:].embeddings is pairs.embeddings
    True
    """

    ndim = 3
    # Why the first of a pair need not be the chosen one: then ``y`` is needed.
    _unlabelled: str | None = None

    def __init__(
        self, embeddings: Items, index: ArrayLike, prompt_ids: ArrayLike | None = None
    ) -> None:
        self.embeddings = _check_embeddings(embeddings)
        self.index = _check_pairs(index, self.embeddings.shape[0])
        self.prompt_ids = _check_prompt_ids(
            prompt_ids, self.embeddings.shape[0], "item"
        )

    @classmethod
    def _view(cls, embeddings, index, prompt_ids, unlabelled=None):
        """Build without checks, from parts that already passed them."""
        self = cls.__new__(cls)
        self.embeddings, self.index, self.prompt_ids = embeddings, index, prompt_ids
        self._unlabelled = unlabelled
        return self

    @classmethod
    def _over(cls, embeddings, index, prompt_ids, unlabelled):
        """Build over what a transformer made; a text may be compared with itself."""
        return cls._view(_check_embeddings(embeddings), index, prompt_ids, unlabelled)

    def _with(self, embeddings, index, prompt_ids):
        """Build another of the same origin."""
        return self._view(embeddings, index, prompt_ids, self._unlabelled)

    @classmethod
    def from_dense(
        cls,
        X: ArrayLike,
        *,
        prompt_ids: ArrayLike | None = None,
        deduplicate: bool = True,
    ) -> Self:
        """Make a container from a dense array of pairs.

        Parameters
        ----------
        X : array-like of shape (n_pairs, 2, n_features)
            Each pair's two embeddings.
        prompt_ids : array-like of shape (n_pairs,) or (n_pairs, 2), default=None
            The prompt of each pair, or of each of its two items.
        deduplicate : bool, default=True
            Store items that are equal in every bit (and in their prompt) once.
            This finds which pairs share an item, at the price of one pass over
            ``X`` and two copies; a pair of equal embeddings stays a pair of two items.
            False keeps a view of ``X`` with 2 n_pairs items.

        Returns
        -------
        pairs : EmbeddingPairs
        """
        refuse_lazy(X, "EmbeddingPairs.from_dense")
        X = np.asarray(X)
        if X.ndim != 3 or X.shape[1] != 2:
            raise ValueError(
                f"X must have shape (n_pairs, 2, n_features), got {X.shape}."
            )
        n_pairs = X.shape[0]
        items = _check_embeddings(X.reshape(2 * n_pairs, X.shape[2]))
        ids = None
        if prompt_ids is not None:
            of_sides = _prompt_ids_of_sides(prompt_ids, n_pairs)
            ids = _check_prompt_ids(of_sides.ravel(), 2 * n_pairs, "item")
        index = np.arange(2 * n_pairs).reshape(n_pairs, 2)
        if deduplicate:
            first, inverse = _distinct_rows(items, ids)
            if len(first) < len(items):
                index = inverse[index]
                # Two equal responses may well have been compared.
                equal = np.flatnonzero(index[:, 0] == index[:, 1])
                first = np.concatenate([first, first[index[equal, 1]]])
                index[equal, 1] = len(first) - len(equal) + np.arange(len(equal))
                items = items[first]
                ids = None if ids is None else ids[first]
        return cls._view(items, index, ids)

    @classmethod
    def from_chosen_rejected(
        cls, chosen: Items, rejected: Items, *, prompt_ids: ArrayLike | None = None
    ) -> Self:
        """Make a container of chosen-first pairs; fit it with ``y=None``.

        Parameters
        ----------
        chosen, rejected : {array-like, sparse matrix} of shape (n_pairs, n_features)
            The preferred and the other embedding of each pair.
        prompt_ids : array-like of shape (n_pairs,) or (n_pairs, 2), default=None
            The prompt of each pair, or of each of its two items.

        Returns
        -------
        pairs : EmbeddingPairs
            Dense items that are equal in every bit are stored once.
        """
        for side in (chosen, rejected):
            refuse_lazy(side, "EmbeddingPairs.from_chosen_rejected")
        chosen, rejected = _check_embeddings(chosen), _check_embeddings(rejected)
        if chosen.shape != rejected.shape:
            raise ValueError(
                "chosen and rejected must have the same shape, got "
                f"{chosen.shape} and {rejected.shape}."
            )
        if not (sp.issparse(chosen) or sp.issparse(rejected)):
            dense = np.stack([chosen, rejected], axis=1)
            return cls.from_dense(dense, prompt_ids=prompt_ids)
        n_pairs = chosen.shape[0]
        index = np.column_stack([np.arange(n_pairs), np.arange(n_pairs) + n_pairs])
        if prompt_ids is not None:
            prompt_ids = _prompt_ids_of_sides(prompt_ids, n_pairs).T.ravel()
        return cls(sp.vstack([chosen, rejected], format="csr"), index, prompt_ids)

    @classmethod
    def from_candidates(
        cls,
        embeddings: ArrayLike,
        index: ArrayLike,
        *,
        response_axis: Literal[0, 1] = 1,
        prompt_ids: ArrayLike | None = None,
    ) -> Self:
        """Make a container from the candidates of every prompt, without a copy.

        Parameters
        ----------
        embeddings : array of shape (n_prompts, n_responses, n_features)
            Or ``(n_responses, n_prompts, n_features)`` with ``response_axis=0``.
            A C-contiguous array or `numpy.memmap` is viewed, not copied.
        index : array-like of int
            Either ``(n_pairs, 3)``: prompt, first response, second response; or
            ``(n_pairs, 2, 2)``: prompt and response of the first, then of the
            second (for cross-prompt pairs); or ``(n_pairs, 2)``: items counted
            as ``prompt * n_responses + response`` whatever the layout.
        response_axis : {0, 1}, default=1
            The axis that counts responses.
        prompt_ids : array-like of shape (n_prompts,), default=None
            The prompts' ids; by default their positions.

        Returns
        -------
        pairs : EmbeddingPairs
        """
        if response_axis not in (0, 1):
            raise ValueError(f"response_axis must be 0 or 1, got {response_axis!r}.")
        refuse_lazy(embeddings, "EmbeddingPairs.from_candidates")
        if not isinstance(embeddings, np.ndarray):
            embeddings = np.asarray(embeddings)
        if embeddings.ndim != 3:
            raise ValueError(
                "embeddings must have 3 dimensions (prompts, responses, features), "
                f"got shape {embeddings.shape}."
            )
        n_responses = embeddings.shape[response_axis]
        n_prompts = embeddings.shape[1 - response_axis]
        prompt, response = _candidate_ids(index, n_prompts, n_responses)
        of_prompt = _check_prompt_ids(
            np.arange(n_prompts) if prompt_ids is None else prompt_ids,
            n_prompts,
            "prompt",
        )
        if response_axis == 1:
            item, of_item = (
                prompt * n_responses + response,
                np.repeat(of_prompt, n_responses),
            )
        else:
            item, of_item = (
                response * n_prompts + prompt,
                np.tile(of_prompt, n_responses),
            )
        return cls(embeddings.reshape(-1, embeddings.shape[2]), item, of_item)

    @property
    def n_items(self) -> int:
        """Rows of the embeddings."""
        return self.embeddings.shape[0]

    @property
    def n_features(self) -> int:
        """Columns of the embeddings."""
        return self.embeddings.shape[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(n_pairs, 2, n_features)``."""
        return (self.index.shape[0], 2, self.embeddings.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the embeddings."""
        return self.embeddings.dtype

    @property
    def pair_prompt_ids(self) -> Array | None:
        """Prompt ids of both sides, ``(n_pairs, 2)``, or None where not known."""
        return None if self.prompt_ids is None else self.prompt_ids[self.index]

    def __len__(self):
        return self.index.shape[0]

    def __getitem__(self, key):
        """Pick pairs by int, slice, index array or mask; ``(key, ...)`` is the same.

        An int gives a container of that one pair.
        """
        if isinstance(key, tuple):
            if len(key) != 2 or key[1] is not Ellipsis:
                raise IndexError(
                    "EmbeddingPairs is indexed along its pairs alone: use X[key] or "
                    f"X[key, ...], got {len(key)} indices."
                )
            key = key[0]
        index = self.index[key]
        if index.ndim == 1:
            index = index[np.newaxis]
        if index.ndim != 2 or index.shape[1] != 2:
            raise IndexError(
                "EmbeddingPairs is indexed with an int, a slice, a 1-D index array "
                f"or a mask; this key picks indices of shape {index.shape}."
            )
        return self._with(self.embeddings, index, self.prompt_ids)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "EmbeddingPairs is not turned into an array silently: the dense pairs "
            f"would take {self._dense_bytes():,} bytes. Call to_dense() if that is "
            "meant; wrap transformers in ItemwiseTransformer."
        )

    def __repr__(self):
        prompts = (
            ""
            if self.prompt_ids is None
            else f", n_prompts={len(np.unique(self.prompt_ids))}"
        )
        return (
            f"EmbeddingPairs(n_pairs={len(self)}, n_items={self.n_items}, "
            f"n_features={self.n_features}, dtype={self.dtype}{prompts})"
        )

    def _repr_html_(self):
        return html_of(self)

    def to_dense(self) -> Array:
        """Copy the pairs into an array of shape ``(n_pairs, 2, n_features)``."""
        rows = self.embeddings[self.index.ravel()]
        rows = rows.toarray() if sp.issparse(rows) else np.asarray(rows)
        return rows.reshape(self.shape)

    def swap(self) -> Self:
        """Give the same pairs with first and second exchanged."""
        return self._with(
            self.embeddings, np.ascontiguousarray(self.index[:, ::-1]), self.prompt_ids
        )

    def compact(self) -> Self:
        """Copy the items that occur in a pair, in their order, and drop the rest."""
        occurring, index = np.unique(self.index, return_inverse=True)
        return self._with(
            self.embeddings[occurring],
            index.reshape(self.index.shape),
            None if self.prompt_ids is None else self.prompt_ids[occurring],
        )

    def _dense_bytes(self):
        return int(np.prod(self.shape)) * self.dtype.itemsize


# What reward models take as X: dense pairs are items too, of three dimensions.
PairsOrItems = EmbeddingPairs | Items


def _check_embeddings(embeddings: Any):
    if sp.issparse(embeddings):
        embeddings = embeddings.tocsr()
    elif is_lazy(embeddings):
        check_blocks(embeddings)
    elif not isinstance(embeddings, np.ndarray):
        embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2:
        raise ValueError(
            "embeddings must have shape (n_items, n_features), got an array of "
            f"shape {embeddings.shape}."
        )
    if embeddings.dtype.kind not in "fiub":
        raise ValueError(
            f"embeddings must be real numbers, got dtype {embeddings.dtype}."
        )
    return embeddings


def _check_pairs(index: Any, n_items: int):
    index = np.asarray(index)
    if index.size == 0 and index.ndim < 2:
        index = np.empty((0, 2), dtype=np.intp)
    index = check_index(index, n_items)
    itself = index[:, 0] == index[:, 1]
    if itself.any():
        k = int(itself.argmax())
        raise ValueError(f"pair {k} compares item {index[k, 0]} with itself.")
    return index.astype(np.intp, copy=False)


def _check_prompt_ids(prompt_ids: Any, n: int, per: str) -> Any:
    if prompt_ids is None:
        return None
    prompt_ids = np.asarray(prompt_ids)
    if prompt_ids.shape != (n,):
        raise ValueError(
            f"prompt_ids must hold one id per {per}, shape ({n},), got "
            f"{prompt_ids.shape}."
        )
    refuse_missing(prompt_ids, "prompt_ids", per)
    return prompt_ids


def _prompt_ids_of_sides(prompt_ids: Any, n_pairs: int):
    """Give the prompt of both sides of every pair, (n_pairs, 2)."""
    prompt_ids = np.asarray(prompt_ids)
    if prompt_ids.shape == (n_pairs,):
        return np.column_stack([prompt_ids, prompt_ids])
    if prompt_ids.shape == (n_pairs, 2):
        return prompt_ids
    raise ValueError(
        f"prompt_ids must have shape ({n_pairs},) or ({n_pairs}, 2), got "
        f"{prompt_ids.shape}."
    )


def _candidate_ids(index: Any, n_prompts: int, n_responses: int):
    """Split any of the three index forms into prompts and responses, (n_pairs, 2)."""
    index = np.asarray(index)
    if index.dtype.kind not in "iu":
        raise ValueError(f"index must hold integers, got dtype {index.dtype}.")
    if index.ndim == 2 and index.shape[1] == 3:
        prompt = np.column_stack([index[:, 0], index[:, 0]])
        response = index[:, 1:]
    elif index.ndim == 3 and index.shape[1:] == (2, 2):
        prompt, response = index[..., 0], index[..., 1]
    elif index.ndim == 2 and index.shape[1] == 2:
        prompt, response = np.divmod(index, n_responses)
    else:
        raise ValueError(
            "index must have shape (n_pairs, 3), (n_pairs, 2, 2) or (n_pairs, 2), "
            f"got {index.shape}."
        )
    for name, ids, n in (
        ("prompt", prompt, n_prompts),
        ("response", response, n_responses),
    ):
        outside = ((ids < 0) | (ids >= n)).any(axis=1)
        if outside.any():
            k = int(outside.argmax())
            raise ValueError(
                f"index is out of range at pair {k}: {name} {ids[k].tolist()} of {n}."
            )
    return prompt.astype(np.intp), response.astype(np.intp)


def _distinct_rows(
    rows: np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows that differ in a bit (or in their label), in order of appearance.

    Returns ``first``, the position of each distinct row's first appearance, and
    ``inverse`` with ``rows[first][inverse] == rows``.
    """
    n, n_bytes = rows.shape[0], rows.shape[1] * rows.dtype.itemsize
    content = memoryview(rows.tobytes())
    labelled = repeat(None) if labels is None else labels.tolist()
    seen: dict[Hashable, int] = {}
    inverse = np.empty(n, dtype=np.intp)
    first: list[int] = []
    for k, label in zip(range(n), labelled, strict=False):
        key = (content[k * n_bytes : (k + 1) * n_bytes], label)
        inverse[k] = seen.setdefault(key, len(seen))
        if len(seen) > len(first):
            first.append(k)
    return np.array(first, dtype=np.intp), inverse
