"""Generators of preference data whose true rewards are known."""

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skreward._checks import check_count, check_real
from skreward._pairing import sample_pairs
from skreward.annotation import annotate
from skreward.pairs import EmbeddingPairs


def make_preferences(
    n_prompts=100,
    n_responses=8,
    n_features=16,
    n_pairs=1000,
    *,
    reward="linear",
    prompt_offset=1.0,
    prompt_spread=1.0,
    beta=3.0,
    link="logistic",
    design="random",
    cross_prompt=False,
    dtype=np.float64,
    random_state=None,
):
    """Generate preference pairs over embedded responses with known rewards.

    An item's embedding is its prompt's direction plus its own: ``x = a_p + b``,
    both with standard normal features, ``b`` times the prompt's spread. So
    responses of one prompt resemble each other. The true reward is a function of
    the embedding alone; within prompt p it has mean ``N(0, prompt_offset^2)`` and
    standard deviation ``prompt_spread``.

    Parameters
    ----------
    n_prompts, n_responses, n_features, n_pairs : int
        Sizes; ``n_features`` is at least 2.
    reward : {"linear", "network"}, default="linear"
        "linear": ``x @ coef`` with ``coef`` of length 1. "network": the prompt's
        offset lies along one direction, linearly; orthogonal to it, the reward is
        a network of 32 tanh units of the prompt and the response together, so
        that it adds to the offset.
    prompt_offset : float, default=1.0
        Standard deviation, over prompts, of a prompt's mean reward.
    prompt_spread : float or (low, high), default=1.0
        Standard deviation of the responses' directions, and so of the rewards
        within a prompt; a range draws one uniformly for each prompt. (With
        "network" the rewards follow it only roughly.)
    beta : float, default=3.0
        Reliability of the annotator, in units of the rewards' standard deviation
        (see `skreward.annotation.annotate`); ``np.inf`` gives labels without noise.
    link : {"logistic", "probit"}, default="logistic"
        Law of the annotator's noise.
    design : {"random", "similar", "diverse"}, default="random"
        Pairing design (see `skreward.annotation.sample_pairs`).
    cross_prompt : bool, default=False
        Compare responses to different prompts instead of to the same.
    dtype : dtype, default=np.float64
        Floating dtype of the embeddings.
    random_state : int, RandomState instance or None, default=None
        Seed of everything drawn.

    Returns
    -------
    data : Bunch
        ``pairs``: `EmbeddingPairs` with prompt ids; ``y``: labels ``(n_pairs,)``;
        ``embeddings`` ``(n_items, n_features)``, prompt by prompt; ``prompt_ids``
        and ``rewards`` (true) ``(n_items,)``; with "linear", ``coef``
        ``(n_features,)``, so that ``rewards = embeddings @ coef`` up to the
        rounding to ``dtype``.

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(random_state=0)
    >>> data.pairs
    EmbeddingPairs(n_pairs=1000, n_items=800, n_features=16, dtype=float64,
        n_prompts=100)
    >>> data.y.shape, data.coef.shape
    ((1000,), (16,))
    """
    n_prompts = check_count(n_prompts, "n_prompts")
    n_responses = check_count(n_responses, "n_responses")
    n_features = check_count(n_features, "n_features")
    if n_features < 2:
        raise ValueError(f"n_features must be at least 2, got {n_features}.")
    if reward not in ("linear", "network"):
        raise ValueError(f"reward must be 'linear' or 'network', got {reward!r}.")
    prompt_offset = check_real(prompt_offset, "prompt_offset", low=0.0)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise ValueError(f"dtype must be a floating dtype, got {dtype}.")
    rng = check_random_state(random_state)
    spread = draw_spreads(prompt_spread, n_prompts, rng)

    coef = rng.normal(size=n_features)
    coef /= np.linalg.norm(coef)
    prompt_part = rng.normal(size=(n_prompts, n_features))
    response_part = rng.normal(size=(n_prompts, n_responses, n_features))
    response_part *= spread[:, np.newaxis, np.newaxis]
    if reward == "network":  # the prompts' offsets alone lie along coef
        response_part -= (response_part @ coef)[..., np.newaxis] * coef
    # The prompt's place along coef is its mean reward.
    offset = prompt_offset * rng.normal(size=n_prompts)
    prompt_part += np.outer(offset - prompt_part @ coef, coef)
    embeddings = (prompt_part[:, np.newaxis] + response_part).reshape(-1, n_features)
    rewards = embeddings @ coef
    if reward == "network":
        rewards += _network_part(embeddings, coef, spread, rng)

    prompt_ids = np.repeat(np.arange(n_prompts), n_responses)
    index = sample_pairs(
        prompt_ids,
        n_pairs,
        design=design,
        cross_prompt=cross_prompt,
        rewards=rewards,
        random_state=rng,
    )
    y = annotate(rewards, index, beta=beta, link=link, random_state=rng)
    data = Bunch(
        pairs=EmbeddingPairs(embeddings.astype(dtype), index, prompt_ids),
        y=y,
        prompt_ids=prompt_ids,
        rewards=rewards,
    )
    data.embeddings = data.pairs.embeddings
    if reward == "linear":
        data.coef = coef
    return data


def draw_spreads(prompt_spread, n_prompts, rng):
    """Give each prompt's spread: the number given, or a draw from the range."""
    if np.ndim(prompt_spread) == 0:
        value = check_real(prompt_spread, "prompt_spread", low=0.0)
        return np.full(n_prompts, value)
    if np.shape(prompt_spread) != (2,):
        raise ValueError(
            "prompt_spread must be a number or a (low, high) range, got "
            f"{prompt_spread!r}."
        )
    low = check_real(prompt_spread[0], "prompt_spread", low=0.0)
    high = check_real(prompt_spread[1], "prompt_spread", low=low)
    return rng.uniform(low, high, size=n_prompts)


def _network_part(embeddings, coef, spread, rng, n_units=32):
    """Give a centred smooth function of the part of items orthogonal to coef.

    Scaled so that its mean variance within prompts is that of the spreads.
    """
    n_features = len(coef)
    across = embeddings - np.outer(embeddings @ coef, coef)
    hidden = rng.normal(size=(n_features, n_units)) * np.sqrt(2.0 / n_features)
    output = np.tanh(across @ hidden + rng.normal(size=n_units))
    value = output @ rng.normal(size=n_units)
    within = value.reshape(len(spread), -1)
    deviation = np.sqrt(np.mean(np.var(within, axis=1)))
    if deviation == 0:
        return np.zeros_like(value)
    return (value - value.mean()) * np.sqrt(np.mean(spread**2)) / deviation
