"""Methods of a reward model that stands at the end of a Pipeline or in a search.

A Pipeline passes on ``predict`` and ``score``, and no method that it does not know.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["predict_preference_proba", "predict_reward"]


def predict_reward(model: Any, X: Any) -> np.ndarray:
    """Reward of every item, through a Pipeline or a search where there is one.

    Parameters
    ----------
    model : fitted estimator
        A reward model, a `Pipeline` that ends in one, or a search over either.
    X : what the model's first step takes; or array of shape (..., n_features)
        Items, pairs, texts; or candidates of any leading shape, such as
        ``(n_prompts, n_responses, n_features)``.

    Returns
    -------
    rewards : array of shape (n_items,), (n_pairs, 2) or X.shape[:-1]
        For a container or a table of pairs the rewards of both sides; for an array
        one reward a row of its last axis, ``(n, 2)`` for ``(n, 2, n_features)``.

    Raises
    ------
    TypeError
        If the last step has no ``predict_reward``.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import skreward
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=500, random_state=0)
    >>> scaler = skreward.ItemwiseTransformer(StandardScaler())
    >>> model = make_pipeline(scaler, skreward.BradleyTerryRegressor())
    >>> model = model.fit(data.pairs, data.y)
    >>> skreward.predict_reward(model, data.pairs).shape
    (500, 2)
    >>> candidates = data.embeddings[:20].reshape(4, 5, -1)
    >>> skreward.predict_reward(model, candidates).shape
    (4, 5)
    """
    shape = X.shape if isinstance(X, np.ndarray) and X.ndim > 2 else None
    if shape is not None:
        # Steps in between know rows alone, or take two responses for a pair.
        X = X.reshape(-1, shape[-1])
    last, X = last_step(model, X, "predict_reward")
    rewards = last.predict_reward(X)
    return rewards if shape is None else rewards.reshape(shape[:-1])


def predict_preference_proba(model: Any, X: Any) -> np.ndarray:
    """P(first preferred) of every pair, through a Pipeline or a search.

    Parameters
    ----------
    model : fitted estimator
        A reward model, a `Pipeline` that ends in one, or a search over either.
    X : what the model's first step takes
        Pairs, or a table of texts in pairs.

    Returns
    -------
    proba : array of shape (n_pairs,)

    Raises
    ------
    TypeError
        If the last step has no ``predict_preference_proba``: the margins of a
        classifier's or an ensemble's reward are no log-odds of a preference.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> import skreward
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=500, random_state=0)
    >>> model = skreward.BradleyTerryRegressor()
    >>> search = GridSearchCV(model, {"alpha": [0.1, 1]}).fit(data.pairs, data.y)
    >>> skreward.predict_preference_proba(search, data.pairs).shape
    (500,)
    """
    last, X = last_step(model, X, "predict_preference_proba")
    return last.predict_preference_proba(X)


def inwards(model: Any, name: str = "model") -> Iterator[tuple[str, Any, Any]]:
    """Give a model, then what rows end in inside of it, from outside in.

    That is the last step of a Pipeline, the best estimator of a search. Each comes with
    its name and the steps that rows pass on the way to it, a Pipeline or None.
    """
    before = None
    while True:
        yield name, before, model
        if hasattr(model, "steps"):
            before = model[:-1] if len(model.steps) > 1 else None
            name, model = model.steps[-1]
        elif hasattr(model, "best_estimator_"):
            before, model = None, model.best_estimator_
        else:
            return


def last_step(model: Any, X: Any, method: str) -> tuple[Any, Any]:
    """Give the estimator that has a method, and X as it gets there."""
    for _, before, inner in inwards(model):
        X = X if before is None else before.transform(X)
        if hasattr(inner, method):
            return inner, X
    name = type(inner).__name__
    if hasattr(inner, "refit"):
        raise TypeError(
            f"{name} has no best estimator: it is not fitted, or refit={inner.refit!r}."
        )
    raise TypeError(f"{name} has no {method}{REASONS[method]}.")


REASONS = {
    "predict_preference_proba": ": its margins are no log-odds of a preference; wrap "
    "it in CalibratedReward",
    "predict_reward": "; it is no reward model of this package",
}
