"""The reward models of the study: matched training, and many labellings at once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from benchmarks.study import choices, models
from benchmarks.study.paper_recipe import PaperRewardModel
from benchmarks.study.settings import MATCHED, PAPER_MODELS
from skreward import BradleyTerryRegressor, EmbeddingPairs, PairwiseClassifierReward
from skreward.annotation import annotate, sample_pairs
from skreward.datasets import make_preferences
from skreward.models.classifier import wins_of

LEARNERS = (*PAPER_MODELS, "bt-linear", "clf-linear")
CHOICE = {"mlp": {"learning_rate_init": 1e-2, "alpha": 1e-3}}
CHOICE["lgbm"] = {"learning_rate": 0.1, "num_leaves": 4}


@pytest.fixture(scope="module")
def data():
    return make_preferences(80, 10, 5, 10, dtype=np.float32, random_state=0)


@pytest.fixture(scope="module")
def problem(data):
    """Give four labellings of random pairs of sixty prompts, unseen are twenty."""
    is_seen = data.prompt_ids < 60
    rewards, prompts = data.rewards[is_seen], data.prompt_ids[is_seen]
    index = sample_pairs(prompts, 5000, random_state=0)
    asked = [
        models.Asked(index[:n], annotate(rewards, index[:n], beta=beta, random_state=1))
        for n in (2000, 5000)
        for beta in (1.0, 5.0)
    ]
    return models.Problem(
        data.embeddings[is_seen], prompts, asked, data.embeddings[~is_seen], 3
    )


def fit(model, problem, recipe=MATCHED):
    return models.fit(model, recipe, problem, CHOICE.get(model.partition("-")[2]))


def consistency(data, rewards):
    unseen = data.prompt_ids >= 60
    truth, prompts = data.rewards[unseen], data.prompt_ids[unseen]
    i, j = np.triu_indices(len(truth), 1)
    same = prompts[i] == prompts[j]
    agrees = (truth[i] > truth[j]) == (rewards[i] > rewards[j])
    return agrees[same].mean()


@pytest.mark.parametrize("model", LEARNERS)
def test_every_model_orders_what_it_has_not_seen(model, problem, data):
    fitted = fit(model, problem)
    assert len(fitted) == 4
    for result in fitted:
        assert result.rewards.shape == (200,)
        assert result.n_features == 5
        assert result.core_seconds > 0
        assert result.training["held_out_loss"] < np.log(2)
    assert consistency(data, fitted[3].rewards) > 0.75
    # A clean label tells more.
    assert fitted[1].training["held_out_loss"] < fitted[0].training["held_out_loss"]


@pytest.mark.parametrize("model", LEARNERS)
def test_labellings_together_are_labellings_alone(model, problem):
    """Whatever is run beside it, a setting comes out the same, up to rounding.

    In float64, since networks on float32 may multiply in bfloat16.
    """
    problem = problem._replace(items=problem.items.astype(float))
    together = fit(model, problem)
    for k in (0, 3):
        (alone,) = fit(model, problem._replace(asked=problem.asked[k : k + 1]))
        assert_allclose(alone.rewards, together[k].rewards, rtol=1e-6, atol=1e-8)


def test_the_scale_of_embeddings_changes_nothing(problem):
    large = problem._replace(items=1000 * problem.items, unseen=1000 * problem.unseen)
    for model in LEARNERS:
        ours, theirs = (fit(model, p)[1].rewards for p in (problem, large))
        assert_allclose(ours, theirs, rtol=1e-2, atol=1e-2)


def test_merged_pairs_say_what_all_of_them_did(problem):
    asked = problem.asked[1]
    index, share, times = models.merged(asked)
    assert len(index) < len(asked.index)
    assert times.sum() == len(asked.index)
    assert (index[:, 0] < index[:, 1]).all()
    k = int(np.argmax(times))
    first = (asked.index == index[k]).all(axis=1)
    turned = (asked.index == index[k, ::-1]).all(axis=1)
    assert times[k] == first.sum() + turned.sum() > 1
    won = asked.y[first].sum() + (1 - asked.y[turned]).sum()
    assert_allclose(share[k], won / times[k])
    many, few = (
        BradleyTerryRegressor(alpha=0.1, tol=1e-8).fit(
            EmbeddingPairs(problem.items.astype(float), i), y, w
        )
        for i, y, w in ((*asked, None), (index, share, times))
    )
    assert_allclose(many.coef_, few.coef_, rtol=1e-5)


def test_wins_are_those_of_the_package(problem):
    asked = problem.asked[0]
    share, times = models._wins(asked, len(problem.items))
    pairs = EmbeddingPairs(problem.items, asked.index)
    wins = wins_of(PairwiseClassifierReward()._check_data(pairs, asked.y, None))
    (seen,) = np.nonzero(times)
    assert_array_equal(seen, wins.index[:, 0])
    assert_allclose(share[seen], wins.target)
    assert_array_equal(times[seen], wins.weight)


def test_the_linear_classifier_is_a_logistic_regression(problem, monkeypatch):
    """One that compares items with nothing, and has no intercept."""
    monkeypatch.setattr(models, "ALPHAS", np.array([0.05]))
    scaled = problem.scaled()
    asked = problem.asked[1]
    (ours,) = models.fit("clf-linear", MATCHED, problem._replace(asked=[asked]), None)
    kept = ~models._held_out(problem)
    share, times = models._wins(asked, len(problem.items))
    theirs = LogisticRegression(
        C=1 / (0.05 * times[kept].sum()), fit_intercept=False, tol=1e-8, max_iter=500
    ).fit(
        np.vstack([scaled.items[kept]] * 2),
        np.repeat([1, 0], kept.sum()),
        np.concatenate([share * times, (1 - share) * times])[np.tile(kept, 2)],
    )
    expected = theirs.decision_function(scaled.unseen)
    got = ours.rewards - ours.rewards.mean()
    assert_allclose(got, expected - expected.mean(), atol=0.02)


def test_boosting_on_shares_is_boosting_on_a_row_an_outcome(problem, monkeypatch):
    """The loss has the same derivatives; no leaf is refused for want of rows."""
    import lightgbm

    free = {"min_data_in_leaf": 1, "feature_fraction": 1.0}
    monkeypatch.setattr(models, "TREES", {**models.TREES, **free})
    asked = problem.asked[1]
    choice = {"learning_rate": 0.1, "num_leaves": 4}
    ours = models._trees(problem._replace(asked=[asked]), choice)[0]
    kept = ~models._held_out(problem)
    share, times = models._wins(asked, len(problem.items))
    theirs = lightgbm.LGBMClassifier(
        **{k: v for k, v in models.TREES.items() if k not in ("objective", "metric")},
        **choice,
        n_estimators=ours.training["trees"],
        boost_from_average=False,
    ).fit(
        np.vstack([problem.items[kept]] * 2),
        np.repeat([1, 0], kept.sum()),
        np.concatenate([share * times, (1 - share) * times])[np.tile(kept, 2)],
    )
    expected = theirs.predict(problem.unseen, raw_score=True)
    assert np.corrcoef(ours.rewards, expected)[0, 1] > 0.98


def test_networks_differ_in_their_objective_alone(problem, monkeypatch):
    fitted = []

    def spy(models_, *_):
        fitted.append([getattr(m, "estimator", m).get_params() for m in models_])
        raise StopIteration

    monkeypatch.setattr(models, "fit_together", spy)
    for model in "bt-mlp", "clf-mlp":
        with pytest.raises(StopIteration):
            fit(model, problem)
    for network, many in zip(fitted, ("pairs", "items"), strict=True):
        for each, asked in zip(network, problem.asked, strict=True):
            index, _, _ = models.merged(asked)
            n = {"pairs": len(index), "items": len(np.unique(index))}[many]
            assert n / 4 <= each.pop("batch_size") < n / 4 + 1
    (ours, *_), (theirs, *_) = fitted
    for name in set(ours) - set(theirs):
        assert name in ("link", "ties", "max_pairs")
    assert {k: v for k, v in ours.items() if k in theirs} == theirs
    assert theirs["validation_fraction"] == 0.2
    assert theirs["hidden_layer_sizes"] == (256, 128)


def test_candidates_are_as_many_for_every_model():
    assert {len(choices.candidates_of(model)) for model in PAPER_MODELS} == {9}
    assert choices.candidates_of("bt-linear") == []


def test_wide_is_the_paper_s_layers(problem, monkeypatch):
    made = []

    def spy(make, n_observations, problem, choice):
        made.append(make(**choice).hidden_layer_sizes)
        return []

    monkeypatch.setattr(models, "_networks", spy)
    for recipe in "matched", "matched+wide":
        fit("bt-mlp", problem, recipe)
    assert made == [(256, 128), (1024, 512)]
    for recipe, hidden in (("paper-row", (256, 128)), ("paper-row+wide", (1024, 512))):
        model = PaperRewardModel.of_recipe("bt", recipe, 0)
        assert model.hidden == hidden
        assert not model.keeps_best
        assert not model.scales
        assert model.validation_split == "row"


@pytest.mark.parametrize("recipe", ["paper-row", "paper-prompt+best+scaled"])
@pytest.mark.parametrize("model", ["bt-mlp", "clf-mlp"])
def test_the_paper_s_recipes(model, recipe, problem, data):
    (result,) = fit(model, problem._replace(asked=problem.asked[3:]), recipe)
    assert consistency(data, result.rewards) > 0.7
    assert 4 <= result.training["epochs"] <= 200
