"""Item transformers for pairs: what a Pipeline needs before a reward model."""

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skreward.data.gate import take_apart
from skreward.data.pairs import EmbeddingPairs
from skreward.utils.compat import HasMethods, fit_context
from skreward.utils.lazy import refuse_lazy
from skreward.utils.page import PageMixin
from skreward.utils.typing import Array

__all__ = ["ItemwiseTransformer"]


class ItemwiseTransformer(  # type: ignore[call-arg]
    PageMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Fit any transformer on the distinct items of pairs, and apply it to them.

    Pairs in, pairs out: `EmbeddingPairs` gives `EmbeddingPairs`, a dense array
    ``(n_pairs, 2, n_features)`` gives ``(n_pairs, 2, n_features_out)``. Items in,
    items out: then it is the transformer itself. Every item counts once, however
    many pairs it is in, and only items of the pairs at hand are seen, so that a
    Pipeline in a cross-validation learns nothing from its test folds.

    Parameters
    ----------
    transformer : transformer
        Such as ``StandardScaler()``, ``PCA(64)``, or a pipeline of them.

    Attributes
    ----------
    transformer_ : transformer
        Fitted.

    n_features_in_ : int
        Width of the items, where the transformer knows it.

    Notes
    -----
    For pairs the transformer is fitted with ``y=None``: labels of pairs say nothing
    of a single item. float16 is storage: the transformer gets float32. ``set_output``
    is that of the transformer and acts on items; pairs stay pairs.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skreward import BradleyTerryRegressor, ItemwiseTransformer
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=500, random_state=0)
    >>> scaler = ItemwiseTransformer(StandardScaler())
    >>> scaler.fit_transform(data.pairs).shape == data.pairs.shape
    True
    >>> model = make_pipeline(scaler, BradleyTerryRegressor()).fit(data.pairs, data.y)
    >>> model.predict(data.pairs).shape
    (500,)
    """

    _parameter_constraints = {  # noqa: RUF012
        "transformer": [HasMethods(["fit", "transform"])]
    }

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the transformer on the distinct items.

        Parameters
        ----------
        X : EmbeddingPairs, or array-like of shape (n_pairs, 2, n_features), or \
                {array-like, sparse matrix} of shape (n_items, n_features)
            Pairs or items.
        y : array-like, default=None
            Passed on for items, not for pairs.

        Returns
        -------
        self : ItemwiseTransformer
            Fitted.
        """
        split = take_apart(_occurring(X))
        self.transformer_ = clone(self.transformer)
        items = _computed(split.items)
        self.transformer_.fit(items, y if split.index is None else None)
        return self

    def transform(self, X: Any) -> Any:
        """Transform every distinct item once.

        Parameters
        ----------
        X : as in `fit`
            Pairs or items.

        Returns
        -------
        X_out : EmbeddingPairs, or array of shape (n_pairs, 2, n_features_out), or \
                what the transformer makes of items
            Of the kind of X.
        """
        check_is_fitted(self)
        split = take_apart(_occurring(X))
        items = self.transformer_.transform(_computed(split.items))
        if split.index is None:
            return items
        items = items.tocsr() if sp.issparse(items) else np.asarray(items)
        pairs = EmbeddingPairs._over(
            items, split.index, split.prompt_ids, split.unlabelled
        )
        return pairs.to_dense() if split.is_dense else pairs

    @available_if(lambda self: hasattr(self.transformer, "set_output"))
    def set_output(self, *, transform=None):
        """Set the container of transformed items; pairs stay pairs.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            As in scikit-learn; None leaves it as it is.

        Returns
        -------
        self : ItemwiseTransformer
        """
        self.transformer.set_output(transform=transform)
        if hasattr(self, "transformer_"):
            self.transformer_.set_output(transform=transform)
        return self

    @available_if(
        lambda self: hasattr(
            getattr(self, "transformer_", self.transformer), "get_feature_names_out"
        )
    )
    def get_feature_names_out(self, input_features=None):
        """Names of the transformed features, as the transformer gives them.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features.

        Returns
        -------
        names : array of str
        """
        check_is_fitted(self)
        return self.transformer_.get_feature_names_out(input_features)

    @property
    def n_features_in_(self) -> int:
        """Width of the items."""
        check_is_fitted(self, "transformer_")
        return self.transformer_.n_features_in_

    @property
    def feature_names_in_(self) -> Array:
        """Names of the items' features, where X was a data frame."""
        return self.transformer_.feature_names_in_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "transformer_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.transformer)
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.positive_only = inner.input_tags.positive_only
        tags.input_tags.three_d_array = True
        tags.target_tags.required = False
        tags.non_deterministic = inner.non_deterministic
        tags.transformer_tags.preserves_dtype = []
        return tags


def _occurring(X):
    """Drop every item that is in no pair: here it would be learned from."""
    refuse_lazy(getattr(X, "embeddings", X), "ItemwiseTransformer")
    return X.compact() if isinstance(X, EmbeddingPairs) else X


def _computed(items):
    """Give items in the dtype that is computed with; squares of float16 are not."""
    if isinstance(items, np.ndarray) and items.dtype == np.float16:
        return items.astype(np.float32)
    return items
