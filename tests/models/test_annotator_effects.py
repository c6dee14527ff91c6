"""Annotators' reliabilities and position biases, fitted beside a linear reward."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreward import (
    BradleyTerryRegressor,
    EmbeddingPairs,
    ItemwiseTransformer,
    load,
    save,
)
from skreward.datasets import load_judged
from tests.support import data_file, random_pairs

NAMES = np.array([f"annotator {k:02}" for k in range(20)])


def drawn(beta, bias, n_pairs=9000):
    """Draw pairs, labels, annotators and the true coefficients."""
    rng = np.random.default_rng(0)
    items, coef = rng.normal(size=(1500, 30)), rng.normal(size=30) / 8
    first = rng.integers(1500, size=n_pairs)
    index = np.column_stack([first, (first + rng.integers(1, 1500, n_pairs)) % 1500])
    margin = (items[index[:, 0]] - items[index[:, 1]]) @ coef
    who = rng.integers(len(beta), size=n_pairs)
    y = beta[who] * margin + bias[who] > rng.logistic(size=n_pairs)
    return EmbeddingPairs(items, index), y.astype(int), who, coef, beta, bias


@pytest.fixture(scope="module")
def crowd():
    """Sixteen of twenty toss a coin, and lean to the first or the second."""
    beta = np.where(np.arange(20) < 4, 5.0, 0.0)
    return drawn(beta, np.where(np.arange(20) % 2, 0.8, -0.8))


def fitted(crowd, effects="both", **changed):
    pairs, y, who, *_ = crowd
    given = {"X": pairs, "y": y, "annotators": NAMES[who]} | changed
    return BradleyTerryRegressor(annotator_effects=effects).fit(**given)


def test_spammers_are_found_and_the_reward_gains(crowd):
    pairs, y, _, coef, beta, bias = crowd
    model = fitted(crowd)
    assert_array_equal(model.annotators_, NAMES)
    assert_allclose(model.annotator_reliability_.mean(), 1)
    assert np.corrcoef(model.annotator_reliability_, beta)[0, 1] > 0.97
    error = model.annotator_position_bias_ - bias
    assert np.abs(error).mean() < 0.25
    plain = BradleyTerryRegressor().fit(pairs, y)
    truth = pairs.embeddings @ coef

    def right(model):
        return spearmanr(model.predict(pairs.embeddings), truth)[0]

    assert right(model) > right(plain) + 0.02


def test_errors_are_as_large_as_they_say():
    beta, bias = np.linspace(0.2, 1.8, 20), np.tile([-1.5, -0.5, 0.5, 1.5], 5)
    model = fitted(drawn(beta, bias, n_pairs=30_000))
    for found, true, std in (
        (model.annotator_reliability_, beta, model.annotator_reliability_std_),
        (model.annotator_position_bias_, bias, model.annotator_position_bias_std_),
    ):
        assert 0.4 < np.mean(((found - true) / std) ** 2) < 2


@pytest.mark.parametrize("effects", ["reliability", "position", "both"])
def test_only_what_was_asked_for_is_fitted(crowd, effects):
    model = fitted(crowd, effects)
    wanted = effects != "position", effects != "reliability"
    names = "annotator_reliability_", "annotator_position_bias_"
    assert tuple(hasattr(model, name) for name in names) == wanted
    assert tuple(hasattr(model, f"{name}std_") for name in names) == wanted
    model.set_params(annotator_effects=None).fit(*crowd[:2])
    assert not any(name.startswith("annotator") and name.endswith("_")
                   for name in vars(model))  # fmt: skip


def test_names_do_not_matter(crowd):
    who, one = crowd[2], fitted(crowd)
    order = np.random.default_rng(0).permutation(20)
    for ids in (
        order[who],
        [("of the crowd", int(k)) for k in order[who]],
        [[str(k), int(k)][k % 2] for k in order[who]],
    ):
        other = fitted(crowd, annotators=ids)
        assert_allclose(other.coef_, one.coef_, rtol=1e-2, atol=1e-3)
        reliability = np.sort(other.annotator_reliability_)
        wanted = np.sort(one.annotator_reliability_)
        assert_allclose(reliability, wanted, rtol=1e-2, atol=5e-3)


def test_the_other_way_round(crowd):
    pairs, y, *_ = crowd
    model = fitted(crowd)
    swapped = EmbeddingPairs(pairs.embeddings, pairs.index[:, ::-1])
    other = fitted(crowd, X=swapped, y=1 - y)
    assert_allclose(other.coef_, model.coef_, rtol=1e-3, atol=1e-4)
    assert_allclose(
        other.annotator_position_bias_, -model.annotator_position_bias_, atol=2e-3
    )


def test_weights_repeat_and_no_weight_is_no_pair(crowd):
    pairs, y, who, *_ = crowd
    weight = np.random.default_rng(0).integers(0, 3, len(y))
    weight[who == 7] = 0
    rows = np.repeat(np.arange(len(y)), weight)
    weighted = fitted(crowd, sample_weight=weight)
    repeated = fitted(crowd, X=pairs[rows], y=y[rows], annotators=NAMES[who[rows]])
    assert_array_equal(weighted.annotators_, np.delete(NAMES, 7))
    for name in ("annotator_reliability_", "annotator_position_bias_std_"):
        assert_allclose(
            getattr(weighted, name), getattr(repeated, name), rtol=1e-2, atol=5e-3
        )


def test_a_path_is_as_single_fits(crowd):
    pairs, y, who, *_ = crowd
    template = BradleyTerryRegressor(annotator_effects="reliability", tol=1e-6)
    models = template.fit_path(pairs, y, alphas=[1e-3, 1e-2], annotators=who)
    single = template.set_params(alpha=1e-3).fit(pairs, y, annotators=who)
    assert_allclose(models[0].coef_, single.coef_, rtol=1e-2, atol=1e-3)
    assert_array_equal(models[1].annotators_, np.arange(20))


def test_saved_and_routed(crowd, tmp_path):
    pairs, y, who, *_ = crowd
    model = fitted(crowd, annotators=list(NAMES[who]))
    save(model, tmp_path / "model.skops")
    again = load(tmp_path / "model.skops")
    assert_array_equal(again.annotators_, model.annotators_)
    assert_array_equal(again.predict(pairs), model.predict(pairs))
    with sklearn.config_context(enable_metadata_routing=True):
        last = BradleyTerryRegressor(annotator_effects="both")
        last.set_fit_request(annotators=True)
        pipeline = make_pipeline(ItemwiseTransformer(StandardScaler()), last)
        pipeline.fit(pairs, y, annotators=NAMES[who])
    assert_array_equal(pipeline[-1].annotators_, NAMES)


@pytest.mark.parametrize(
    ("params", "annotators", "message"),
    [
        ({}, [0, 1, 0], "annotators were given, and annotator_effects=None"),
        ({"annotator_effects": "both"}, None, "'both' needs annotators"),
        ({"annotator_effects": "both"}, [0, 1], "annotators must hold one value a pai"),
        ({"annotator_effects": "both"}, [0, 0, 0], "holds one alone, 0"),
        ({"annotator_effects": "both"}, ["a", None, "b"], "missing value at pair 1"),
        ({"annotator_effects": "both"}, np.zeros((3, 2)), r"one id a pair.*\(3, 2\)"),
        ({"annotator_effects": "both"}, [[1], [2], [3]], "hashable ids"),
        (
            {"annotator_effects": "both", "covariance": "laplace"}, [0, 1, 0],
            "needs covariance=None, got covariance='laplace'",
        ),
        (
            {"annotator_effects": "both", "ties": "davidson"}, [0, 1, 0],
            "needs ties='half', got ties='davidson'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_act_is_refused(params, annotators, message):
    pairs, y = random_pairs(6, 2, 3)
    with pytest.raises((ValueError, TypeError), match=message):
        BradleyTerryRegressor(**params).fit(pairs, y, annotators=annotators)


def test_ratings_have_no_annotators():
    model = BradleyTerryRegressor(annotator_effects="both")
    with pytest.raises(ValueError, match="needs pairs, and X is items"):
        model.fit(np.eye(3), [1, 2, 3], annotators=[0, 1, 1])


@pytest.mark.realdata
def test_it_gains_among_spammers_and_costs_nothing_else():
    from benchmarks.annotators import compare

    data = load_judged(data_file("judged_dev_minilm.npz"))
    items = data.embeddings.astype(np.float32)
    plain, known, found = compare(data, items, 0, 0.8)
    assert known > plain + 0.015
    assert found > 0.9
    plain, known, _ = compare(data, items, 0, 0.0)
    assert known > plain - 0.002


@pytest.mark.realdata
def test_the_position_term_takes_away_what_a_helpful_order_told():
    from benchmarks.annotators import compare

    data = load_judged(data_file("judged_dev_minilm.npz"))
    items = data.embeddings.astype(np.float32)
    plain, known, _ = compare(data, items, 1, effects="position", longer_first=0.8)
    assert plain - 0.02 < known < plain


def test_intervals_cover_where_annotators_differ_as_the_prior_says():
    """And less where a few know and all others toss coins: the docstring says so."""
    from benchmarks.annotators import CROWDS, coverage

    shares = {
        name: np.mean([coverage(CROWDS[name], 9000, seed) for seed in range(3)])
        for name in ("alike", "from 0.2 to 1.8", "80 % spammers")
    }
    assert shares["alike"] > 0.9
    assert shares["from 0.2 to 1.8"] > 0.85
    assert shares["80 % spammers"] < 0.8
