"""Simulated annotators: designs, labels, noise calibration, closed forms."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import chisquare, norm

from skreward.annotation import (
    annotate,
    annotation_error_rate,
    calibrate_beta,
    expected_annotation_quality,
    pairs_from_ratings,
    sample_pairs,
)
from skreward.metrics import order_consistency_score

RAGGED = ["a", "b", "a", "c", "b", "a", "a", "d", "b"]  # sizes 4, 3, 1, 1


def unordered(index):
    return Counter(map(tuple, np.sort(index, axis=1).tolist()))


def normal_rewards(n_prompts=4000, n_responses=10, seed=0):
    prompt_ids = np.repeat(np.arange(n_prompts), n_responses)
    return prompt_ids, np.random.default_rng(seed).normal(size=prompt_ids.size)


# --- designs ---------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    prompt_ids=st.lists(st.sampled_from("abcde"), min_size=2, max_size=14),
    n_pairs=st.integers(1, 120),
    design=st.sampled_from(["random", "similar", "diverse"]),
    cross_prompt=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_pairs_are_distinct_while_any_are_left(
    prompt_ids, n_pairs, design, cross_prompt, seed
):
    prompt_ids = np.array(prompt_ids)
    rewards = np.random.default_rng(seed).integers(0, 4, size=len(prompt_ids))
    allowed = allowed_pairs(prompt_ids, cross_prompt)
    if not allowed:
        return
    index = sample_pairs(
        prompt_ids,
        n_pairs,
        design=design,
        cross_prompt=cross_prompt,
        rewards=rewards,
        random_state=seed,
    )
    assert index.shape == (n_pairs, 2)
    counts = unordered(index)
    assert set(counts) <= allowed
    assert max(counts.values()) - min(counts.values()) <= 1
    if design == "random":
        assert len(counts) == min(n_pairs, len(allowed))
    elif not cross_prompt:
        sizes = Counter(prompt_ids.tolist())
        assert len(counts) == min(n_pairs, sum(m > 1 for m in sizes.values()))


def allowed_pairs(prompt_ids, cross_prompt):
    return {
        (i, j)
        for i, j in combinations(range(len(prompt_ids)), 2)
        if (prompt_ids[i] != prompt_ids[j]) == cross_prompt
    }


@pytest.mark.parametrize("cross_prompt", [False, True])
@pytest.mark.parametrize("n_pairs", [2, 9])
def test_every_pair_is_as_likely_as_every_other(cross_prompt, n_pairs):
    # Below and above a quarter of all pairs: drawn again, and listed and cut.
    prompt_ids = np.repeat(np.arange(1 + 3 * cross_prompt), 7 - 4 * cross_prompt)
    allowed = sorted(allowed_pairs(prompt_ids, cross_prompt))
    rng = np.random.RandomState(3)
    counts = Counter()
    n_rounds = 1500
    for _ in range(n_rounds):
        index = sample_pairs(
            prompt_ids, n_pairs, cross_prompt=cross_prompt, random_state=rng
        )
        counts.update(unordered(index))
    observed = [counts[pair] for pair in allowed]
    assert sum(observed) == n_rounds * n_pairs
    assert chisquare(observed).pvalue > 1e-3


def test_prompts_are_used_evenly():
    prompt_ids, _ = normal_rewards(300, 6)
    index = sample_pairs(prompt_ids, 1000, random_state=0)
    per_prompt = np.bincount(prompt_ids[index[:, 0]])
    assert set(per_prompt) == {3, 4}


def test_small_prompts_are_used_up_before_large_ones_are_asked_for_more():
    index = sample_pairs(RAGGED, 8, random_state=0)  # 6 pairs of "a", 3 of "b"
    per_prompt = Counter(np.array(RAGGED)[index[:, 0]].tolist())
    assert per_prompt == {"a": 5, "b": 3}


def test_designs_pick_their_ranks():
    prompt_ids = [0] * 5 + [1] * 4 + [2]
    rewards = [3, 1, 5, 2, 4, 10, 40, 20, 30, 7]
    similar = sample_pairs(prompt_ids, 2, design="similar", rewards=rewards)
    assert set(unordered(similar)) == {(0, 3), (7, 8)}
    diverse = sample_pairs(prompt_ids, 2, design="diverse", rewards=rewards)
    assert set(unordered(diverse)) == {(1, 2), (5, 6)}


def test_a_design_picks_the_candidates_of_cross_prompt_pairs():
    prompt_ids, rewards = normal_rewards(50, 10)
    rank = np.argsort(np.argsort(rewards.reshape(50, 10), axis=1), axis=1).ravel()
    for design, ranks in ("similar", {4, 5}), ("diverse", {0, 9}):
        index = sample_pairs(
            prompt_ids,
            400,
            design=design,
            cross_prompt=True,
            rewards=rewards,
            random_state=0,
        )
        assert set(rank[index].ravel().tolist()) == ranks
        assert (prompt_ids[index[:, 0]] != prompt_ids[index[:, 1]]).all()
        assert len(unordered(index)) == 400


def test_ties_in_rank_are_broken_at_random():
    best = {
        frozenset(
            sample_pairs([0] * 4, 1, design="diverse", rewards=[1, 1, 1, 1])[0].tolist()
        )
        for _ in range(60)
    }
    assert len(best) > 3


def test_the_order_within_a_pair_says_nothing():
    prompt_ids, rewards = normal_rewards(500, 10)
    for design in "random", "similar", "diverse":
        index = sample_pairs(
            prompt_ids, 4000, design=design, rewards=rewards, random_state=0
        )
        first_better = np.mean(rewards[index[:, 0]] > rewards[index[:, 1]])
        assert abs(first_better - 0.5) < 0.035
        assert abs(np.mean(index[:, 0] > index[:, 1]) - 0.5) < 0.035


def test_random_state_fixes_the_pairs():
    first = sample_pairs(RAGGED, 5, random_state=7)
    assert_array_equal(first, sample_pairs(RAGGED, 5, random_state=7))
    assert (first != sample_pairs(RAGGED, 5, random_state=8)).any()


@pytest.mark.parametrize("cross_prompt", [False, True])
@pytest.mark.parametrize("design", ["random", "similar", "diverse"])
def test_a_million_pairs(design, cross_prompt):
    prompt_ids, rewards = normal_rewards(40_000, 10)
    index = sample_pairs(
        prompt_ids,
        1_000_000,
        design=design,
        cross_prompt=cross_prompt,
        rewards=rewards,
        random_state=0,
    )
    assert index.shape == (1_000_000, 2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_pairs": 0}, "n_pairs must be an integer of at least 1, got 0"),
        ({"n_pairs": 2.5}, "n_pairs must be an integer"),
        ({"n_pairs": True}, "n_pairs must be an integer"),
        ({"design": "middle"}, "design must be one of"),
        ({"design": "similar"}, "design='similar' ranks responses: it needs rewards"),
        ({"rewards": [1.0]}, r"rewards must have shape \(4,\), got \(1,\)"),
        ({"rewards": [1, 2, np.nan, 4]}, "rewards must be finite, got nan at item 2"),
        ({"rewards": list("abcd")}, "rewards must be real numbers"),
        ({"prompt_ids": []}, "prompt_ids is empty"),
        ({"prompt_ids": [[0, 1]]}, r"prompt_ids must hold one id per item"),
        ({"prompt_ids": [0, 1, 2]}, "a prompt with two items to compare"),
        ({"prompt_ids": ["a", None]}, "missing value at item 1"),
        ({"prompt_ids": [0, 0], "cross_prompt": True}, "two prompts to compare"),
    ],
)
def test_sample_pairs_refuses_bad_input(kwargs, message):
    arguments = {"prompt_ids": [0, 0, 1, 1], "n_pairs": 1, **kwargs}
    with pytest.raises(ValueError, match=message):
        sample_pairs(**arguments)


# --- ratings ---------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=14
    ),
    max_pairs=st.none() | st.integers(1, 40),
    ties=st.sampled_from(["drop", "half"]),
)
def test_pairs_from_ratings_lists_what_brute_force_lists(items, max_pairs, ties):
    prompt_ids, ratings = map(np.array, zip(*items, strict=True))
    allowed = {
        (i, j)
        for i, j in allowed_pairs(prompt_ids, False)
        if ties == "half" or ratings[i] != ratings[j]
    }
    if not allowed:
        with pytest.raises(ValueError, match="no pair can be made"):
            pairs_from_ratings(ratings, prompt_ids, ties=ties)
        return
    index, y = pairs_from_ratings(
        ratings, prompt_ids, max_pairs=max_pairs, ties=ties, random_state=0
    )
    counts = unordered(index)
    assert max(counts.values()) == 1
    assert set(counts) <= allowed
    assert len(counts) == min(len(allowed), max_pairs or len(allowed))
    difference = ratings[index[:, 0]] - ratings[index[:, 1]]
    assert_array_equal(y, (np.sign(difference) + 1) / 2)


def test_pairs_from_ratings_without_prompts_compares_all():
    index, y = pairs_from_ratings([3.0, 1.0, 2.0])
    assert len(index) == 3
    assert y.dtype.kind == "i"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"ratings": [1.0, np.inf]}, "ratings must be finite"),
        ({"ratings": [[1.0]]}, "ratings must have shape"),
        ({"prompt_ids": [0]}, "prompt_ids must hold one id per item"),
        ({"max_pairs": 0}, "max_pairs must be an integer"),
        ({"ties": "guess"}, "ties must be 'drop' or 'half'"),
    ],
)
def test_pairs_from_ratings_refuses_bad_input(kwargs, message):
    with pytest.raises(ValueError, match=message):
        pairs_from_ratings(**{"ratings": [1, 2], **kwargs})


# --- labels ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("beta", "error_rate"), [(0.5, 0.369), (1, 0.275), (3, 0.122), (10, 0.039)]
)
def test_realised_error_rates_on_standard_normal_rewards(beta, error_rate):
    prompt_ids, rewards = normal_rewards()
    index = sample_pairs(prompt_ids, 40_000, random_state=1)
    y = annotate(rewards, index, beta=beta, random_state=2)
    assert abs(annotation_error_rate(rewards, index, y) - error_rate) < 0.01
    quality = expected_annotation_quality(2.0, beta)
    assert abs(1 - quality - error_rate) < 0.0006


@pytest.mark.parametrize("link", ["logistic", "probit"])
@pytest.mark.parametrize("tie_threshold", [0.0, 0.4])
def test_labels_follow_their_probabilities(link, tie_threshold):
    gap, n = 0.7, 40_000
    index = np.tile([[0, 1]], (n, 1))
    y = annotate(
        [gap, 0.0],
        index,
        beta=2.0,
        scale=1.0,
        link=link,
        tie_threshold=tie_threshold,
        random_state=0,
    )
    distribution = expit if link == "logistic" else norm.cdf
    first = distribution(2 * gap - tie_threshold)
    second = distribution(-2 * gap - tie_threshold)
    for label, p in (1, first), (0, second), (0.5, 1 - first - second):
        assert abs(np.mean(y == label) - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-12
    soft = annotate(
        [gap, 0.0],
        index[:1],
        beta=2.0,
        scale=1.0,
        link=link,
        tie_threshold=tie_threshold,
        soft_labels=True,
    )
    assert_allclose(soft, first + (1 - first - second) / 2, rtol=1e-12)


def test_perfect_and_coin_annotators():
    prompt_ids, rewards = normal_rewards(500)
    index = sample_pairs(prompt_ids, 5000, random_state=0)
    perfect = annotate(rewards, index, beta=np.inf, random_state=0)
    assert_array_equal(perfect, rewards[index[:, 0]] > rewards[index[:, 1]])
    assert annotation_error_rate(rewards, index, perfect) == 0
    coin = annotate(rewards, index, beta=0, random_state=0)
    assert abs(annotation_error_rate(rewards, index, coin) - 0.5) < 0.03
    assert_array_equal(annotate(rewards, index, beta=0, soft_labels=True), 0.5)


def test_a_perfect_annotator_has_no_order_to_give_to_equal_rewards():
    index = np.tile([[0, 1]], (2000, 1))
    y = annotate([1.0, 1.0], index, beta=np.inf, scale=1.0, random_state=0)
    assert abs(y.mean() - 0.5) < 0.06


@pytest.mark.parametrize("beta", [0.3, 4.0, np.inf])
def test_swapping_a_pair_swaps_its_soft_label(beta):
    prompt_ids, rewards = normal_rewards(50)
    index = sample_pairs(prompt_ids, 300, random_state=0)
    y = annotate(rewards, index, beta=beta, soft_labels=True, tie_threshold=0.2)
    swapped = annotate(
        rewards, index[:, ::-1], beta=beta, soft_labels=True, tie_threshold=0.2
    )
    assert_allclose(y + swapped, 1.0, atol=1e-15)


def test_scale_counts_rewards_in_their_own_unit():
    prompt_ids, rewards = normal_rewards(50)
    index = sample_pairs(prompt_ids, 300, random_state=0)
    kwargs = {"beta": 2.0, "soft_labels": True}
    assert_allclose(
        annotate(rewards, index, **kwargs), annotate(1e4 * rewards, index, **kwargs)
    )
    assert_allclose(
        annotate(rewards, index, **kwargs),
        annotate(rewards, index, scale=np.std(rewards), **kwargs),
    )


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"beta": -1}, r"beta must lie in \[0.0, inf\], got -1"),
        ({"beta": np.nan}, "beta must be a number, got nan"),
        ({"beta": "3"}, "beta must be a number, got '3'"),
        ({"link": "cauchy"}, "link must be one of"),
        ({"scale": "iqr"}, "scale must be 'std' or a number, got 'iqr'"),
        ({"scale": 0}, r"scale must lie in \(0.0, inf\], got 0"),
        ({"rewards": [1.0, 1.0, 1.0]}, "scale='std' is 0"),
        ({"rewards": [1.0, np.nan, 1.0]}, "rewards must be finite"),
        ({"index": [[0, 3]]}, "out of range at pair 0"),
        ({"index": [[0, -1]]}, "out of range at pair 0"),
        ({"index": [0, 1]}, r"index must have shape \(n_pairs, 2\)"),
        ({"index": [[0.0, 1.0]]}, "index must hold integers"),
        ({"tie_threshold": -0.1}, "tie_threshold must lie in"),
    ],
)
def test_annotate_refuses_bad_input(kwargs, message):
    arguments = {"rewards": [0.0, 1.0, 2.0], "index": [[0, 1]], "beta": 1.0, **kwargs}
    with pytest.raises(ValueError, match=message):
        annotate(**arguments)


# --- error rates and calibration -------------------------------------------


def test_error_rate_counts_ties_half_and_leaves_out_equal_rewards():
    rewards = [0.0, 1.0, 1.0]
    index = [[1, 0], [0, 1], [1, 0], [1, 2]]
    assert annotation_error_rate(rewards, index, [1, 0.25, 0.5, 0]) == 0.25
    assert annotation_error_rate(rewards, index, [-1, 1, 1, 1]) == 2 / 3
    assert annotation_error_rate(rewards, index, None) == 1 / 3


@pytest.mark.parametrize(
    ("index", "y", "message"),
    [
        ([[0, 1]], [1, 0], "y has 2 labels for 1 pairs"),
        ([[0, 1]], [2], "y must hold 1"),
        ([[0, 1]], [np.nan], "contains NaN"),
        ([[0, 1]], ["a"], "y must hold numbers"),
        ([[1, 2]], [1], "equal within every pair"),
    ],
)
def test_error_rate_refuses_bad_input(index, y, message):
    with pytest.raises(ValueError, match=message):
        annotation_error_rate([0.0, 1.0, 1.0], index, y)


@pytest.mark.parametrize("link", ["logistic", "probit"])
@pytest.mark.parametrize("error_rate", [1e-6, 0.05, 0.2, 0.38, 0.4999])
def test_calibrated_beta_gives_the_wanted_rate(link, error_rate):
    prompt_ids, rewards = normal_rewards(300)
    index = sample_pairs(prompt_ids, 3000, random_state=0)
    beta = calibrate_beta(rewards, index, error_rate, link=link)
    y = annotate(rewards, index, beta=beta, link=link, soft_labels=True)
    assert_allclose(annotation_error_rate(rewards, index, y), error_rate, rtol=1e-9)


def test_calibration_at_its_ends_and_beyond():
    rewards, index = [0.0, 1.0, 1.0], [[0, 1]]
    assert calibrate_beta(rewards, index, 0) == np.inf
    assert calibrate_beta(rewards, index, 0.5) == 0
    with pytest.raises(ValueError, match=r"error_rate must lie in \[0.0, 0.5\]"):
        calibrate_beta(rewards, index, 0.6)
    with pytest.raises(ValueError, match="equal within every pair"):
        calibrate_beta(rewards, [[1, 2]], 0.2)


def test_expected_quality_equals_the_published_values():
    assert_allclose(
        expected_annotation_quality([1, 2, 4, 10]),
        [0.6749, 0.7252, 0.7780, 0.8428],
        atol=5e-5,
    )


@pytest.mark.parametrize("link", ["logistic", "probit"])
@pytest.mark.parametrize("s", [0.0, 1e-4, 0.3, 1.0, 3.3, 30.0, 1e4, np.inf])
def test_expected_quality_equals_adaptive_quadrature(link, s):
    distribution = expit if link == "logistic" else norm.cdf
    upper = 12.0 if s < 1 else min(12.0, 45.0 / s)
    error = quad(
        lambda z: 2 * norm.pdf(z) * distribution(-s * z) if upper else 0.0,
        0,
        upper,
        epsabs=1e-14,
        epsrel=1e-13,
        limit=400,
    )[0]
    quality = expected_annotation_quality(s**2, link=link)
    assert_allclose(quality, 1 - error, rtol=1e-10)
    assert_allclose(quality, expected_annotation_quality(1.0, s, link=link))


def test_expected_quality_broadcasts_and_refuses():
    assert expected_annotation_quality(np.ones((3, 1)), [1.0, 2.0]).shape == (3, 2)
    assert_allclose(expected_annotation_quality(0.0, np.inf), 0.5, rtol=1e-13)
    with pytest.raises(ValueError, match="variance must be numbers of at least 0"):
        expected_annotation_quality(-1.0)
    with pytest.raises(ValueError, match="link must be one of"):
        expected_annotation_quality(1.0, link="cauchit")


# --- bounds on order consistency -------------------------------------------

numbers = st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 3.0])


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(numbers, numbers, st.sampled_from([0.0, 1.0]), st.integers(1, 4)),
        min_size=1,
        max_size=12,
    )
)
def test_pair_error_is_at_most_winner_error_plus_loser_error(pairs):
    first, second, y, weight = np.array(pairs).T
    # A classifier's logit on winners (wanted: positive) and on losers (negative).
    winner, loser = np.where(y == 1, first, second), np.where(y == 1, second, first)
    pair_error = 1 - order_consistency_score(y, first - second, sample_weight=weight)
    winner_error = 1 - order_consistency_score(
        np.ones(len(y)), winner, sample_weight=weight
    )
    loser_error = 1 - order_consistency_score(
        np.zeros(len(y)), loser, sample_weight=weight
    )
    assert pair_error <= winner_error + loser_error + 1e-12


@settings(max_examples=200, deadline=None)
@given(
    rewards=st.lists(st.integers(-50, 50), min_size=2, max_size=12, unique=True),
    predicted=st.lists(numbers, min_size=12, max_size=12),
    beta=st.sampled_from([0.0, 0.3, 1.0, 10.0, np.inf]),
    soft_labels=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_order_error_is_at_most_disagreement_plus_annotation_error(
    rewards, predicted, beta, soft_labels, seed
):
    rewards, predicted = np.array(rewards, dtype=float), np.array(predicted)
    index = sample_pairs(np.zeros(len(rewards)), 20, random_state=seed)
    y = annotate(rewards, index, beta=beta, soft_labels=soft_labels, random_state=seed)
    margin = predicted[index[:, 0]] - predicted[index[:, 1]]
    truth = rewards[index[:, 0]] > rewards[index[:, 1]]
    order_error = 1 - order_consistency_score(truth, margin)
    disagreement = 1 - order_consistency_score(y, margin)
    annotation_error = annotation_error_rate(rewards, index, y)
    assert order_error <= disagreement + annotation_error + 1e-12
