"""Generators of preference data whose true rewards are known."""

from typing import Literal

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils import Bunch, check_random_state

from skreward.annotation.annotators import annotate, expected_annotation_quality
from skreward.annotation.designs import draw_pairs, sample_pairs
from skreward.data.pairs import EmbeddingPairs
from skreward.utils.checks import check_count, check_real
from skreward.utils.typing import Design, Link, RandomState


def make_preferences(
    n_prompts: int = 100,
    n_responses: int = 8,
    n_features: int = 16,
    n_pairs: int = 1000,
    *,
    reward: Literal["linear", "network"] = "linear",
    prompt_offset: float = 1.0,
    prompt_spread: float | tuple[float, float] = 1.0,
    beta: float = 3.0,
    link: Link = "logistic",
    design: Design = "random",
    cross_prompt: bool = False,
    dtype: DTypeLike = np.float64,
    random_state: RandomState = None,
) -> Bunch:
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
    low, high = _check_spread(prompt_spread)
    rng = check_random_state(random_state)
    spread = rng.uniform(low, high, size=n_prompts)

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


def make_gaussian_rewards(
    n_prompts: int = 100,
    n_responses: int = 10,
    *,
    prompt_offset: float = 1.0,
    prompt_spread: float | tuple[float, float] = 1.0,
    random_state: RandomState = None,
) -> Bunch:
    """Draw rewards from the Gaussian prompt model.

    A response of prompt p has reward ``N(mu_p, sigma_p^2)``, with prompt means
    ``mu_p ~ N(0, prompt_offset^2)``. How often an annotator is right in this
    model is known: see `gaussian_annotation_quality`.

    Parameters
    ----------
    n_prompts, n_responses : int
        Sizes.
    prompt_offset : float, default=1.0
        Standard deviation of the prompt means.
    prompt_spread : float or (low, high), default=1.0
        Standard deviation within a prompt; a range draws one uniformly for each.
    random_state : int, RandomState instance or None, default=None
        Seed of everything drawn.

    Returns
    -------
    data : Bunch
        ``rewards`` and ``prompt_ids`` ``(n_items,)``, prompt by prompt; ``means``
        and ``spreads`` ``(n_prompts,)``.

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    >>> from skreward.datasets import make_gaussian_rewards
    >>> data = make_gaussian_rewards(3, 2, prompt_spread=(0.2, 1.5), random_state=0)
    >>> data.rewards.shape, data.prompt_ids.tolist(), data.means.shape
    ((6,), [0, 0, 1, 1, 2, 2], (3,))
    """
    n_prompts = check_count(n_prompts, "n_prompts")
    n_responses = check_count(n_responses, "n_responses")
    prompt_offset = check_real(prompt_offset, "prompt_offset", low=0.0)
    low, high = _check_spread(prompt_spread)
    rng = check_random_state(random_state)
    means = prompt_offset * rng.normal(size=n_prompts)
    spreads = rng.uniform(low, high, size=n_prompts)
    deviations = rng.normal(size=(n_prompts, n_responses)) * spreads[:, np.newaxis]
    return Bunch(
        rewards=(means[:, np.newaxis] + deviations).ravel(),
        prompt_ids=np.repeat(np.arange(n_prompts), n_responses),
        means=means,
        spreads=spreads,
    )


def gaussian_annotation_quality(
    *,
    prompt_offset: float = 1.0,
    prompt_spread: float | tuple[float, float] = 1.0,
    beta: float = 1.0,
    link: Link = "logistic",
) -> Bunch:
    """Compute the annotation quality of the Gaussian prompt model, within and across.

    With ``Q(v) = E F(beta |d|), d ~ N(0, v)``
    (`skreward.annotation.expected_annotation_quality`), two responses of one prompt
    give ``E Q(2 sigma^2)`` and responses of two prompts ``E Q(sigma_1^2 + sigma_2^2 +
    2 prompt_offset^2)``, the expectations being over the spreads. The second is never
    below the first: ``F`` is concave on the positive numbers.

    Parameters
    ----------
    prompt_offset : float, default=1.0
        As in `make_gaussian_rewards`.
    prompt_spread : float or (low, high), default=1.0
        As in `make_gaussian_rewards`.
    beta : float, default=1.0
        Reliability of the annotator, for rewards in their own unit (``scale=1``).
    link : {"logistic", "probit"}, default="logistic"
        Law of the annotator's noise.

    Returns
    -------
    quality : Bunch
        ``same_prompt`` and ``cross_prompt``, floats in [0.5, 1].

    Raises
    ------
    ValueError
        If an argument is malformed.

    References
    ----------
    H. Sun, Y. Shen, J.-F. Ton, "Rethinking Bradley-Terry Models in
    Preference-Based Reward Modeling", ICLR 2025: cross-prompt comparisons
    improve the expected annotation quality (stated informally here).

    Examples
    --------
    >>> from skreward.datasets import gaussian_annotation_quality
    >>> quality = gaussian_annotation_quality(prompt_offset=2.0, prompt_spread=0.3)
    >>> round(quality.same_prompt, 3), round(quality.cross_prompt, 3)
    (0.582, 0.83)
    """
    prompt_offset = check_real(prompt_offset, "prompt_offset", low=0.0)
    low, high = _check_spread(prompt_spread)
    beta = check_real(beta, "beta", low=0.0)
    node, weight = np.polynomial.legendre.leggauss(64 if low < high else 1)
    spread = low + 0.5 * (high - low) * (node + 1.0)
    weight = 0.5 * weight
    same = expected_annotation_quality(2 * spread**2, beta, link=link)
    variance = spread[:, np.newaxis] ** 2 + spread**2 + 2 * prompt_offset**2
    cross = expected_annotation_quality(variance, beta, link=link)
    return Bunch(
        same_prompt=float(weight @ same), cross_prompt=float(weight @ cross @ weight)
    )


def make_local_pairs(
    n_items: int = 3000,
    n_pairs: int = 3000,
    *,
    max_distance: float = 0.1,
    beta: float = 10.0,
    random_state: RandomState = None,
) -> Bunch:
    """Make the one-dimensional task on which a classifier reward fails.

    Items are uniform on [0, 1] with reward ``cos(7 x + 0.5) + 3 x - 0.4 (x +
    0.5)^3``, and only items closer than ``max_distance`` are compared. A
    classifier that is shown winners and losers separately learns how often an
    item beats its neighbours: the slope of the reward, not the reward. A
    Bradley-Terry model adds up the differences and recovers it. With pairs from
    anywhere (``max_distance=1``) both do.

    Parameters
    ----------
    n_items, n_pairs : int
        Sizes.
    max_distance : float, default=0.1
        Largest distance of two compared items, in (0, 1].
    beta : float, default=10.0
        Reliability of the annotator, in standard deviations of the reward.
    random_state : int, RandomState instance or None, default=None
        Seed of everything drawn.

    Returns
    -------
    data : Bunch
        ``pairs``: `EmbeddingPairs` of ``(n_items, 1)`` embeddings, no pair twice
        while distinct ones are left; ``y``, ``embeddings``, ``rewards`` (true).

    Raises
    ------
    ValueError
        If an argument is malformed, or no two items are close enough.

    Examples
    --------
    >>> import numpy as np
    >>> from skreward.datasets import make_local_pairs
    >>> data = make_local_pairs(random_state=0)
    >>> x = data.embeddings[data.pairs.index, 0]
    >>> bool(np.abs(x[:, 0] - x[:, 1]).max() <= 0.1)
    True
    """
    n_items = check_count(n_items, "n_items")
    n_pairs = check_count(n_pairs, "n_pairs")
    max_distance = check_real(
        max_distance, "max_distance", low=0.0, high=1.0, include_low=False
    )
    rng = check_random_state(random_state)
    x = np.sort(rng.uniform(size=n_items))
    base = np.searchsorted(x, x - max_distance)
    partners = np.arange(n_items) - base
    if not partners.any():
        raise ValueError(
            f"max_distance={max_distance} leaves no two of {n_items} items to compare."
        )
    index = draw_pairs(base, partners, np.array([partners.sum()]), n_pairs, rng)
    rewards = np.cos(7 * x + 0.5) + 3 * x - 0.4 * (x + 0.5) ** 3
    y = annotate(rewards, index, beta=beta, random_state=rng)
    pairs = EmbeddingPairs(x[:, np.newaxis], index)
    return Bunch(pairs=pairs, y=y, embeddings=pairs.embeddings, rewards=rewards)


def _check_spread(prompt_spread):
    """Give the range of a spread; a number is a range of one value."""
    if np.shape(prompt_spread) not in ((), (2,)):
        raise ValueError(
            "prompt_spread must be a number or a (low, high) range, got "
            f"{prompt_spread!r}."
        )
    low, high = np.broadcast_to(prompt_spread, 2).tolist()
    low = check_real(low, "prompt_spread", low=0.0)
    return low, check_real(high, "prompt_spread", low=low)


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
