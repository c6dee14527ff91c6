"""The reward models of the study, fitted on many labellings of the same items at once.

Matched training: every model sees items centred and scaled by those of the training
prompts; holds out a share of the training prompts; and stops, or chooses its penalty,
by the log-loss on them of what it models: preferences for Bradley-Terry, wins for
classifiers. The two networks have one trainer, one shape and one batch size; what is
chosen beside, from as many candidates for each, is in `choices`.
"""

import time
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from benchmarks.study.baselines import STATISTICS
from benchmarks.study.paper_recipe import HIDDEN, NARROW, PaperRewardModel
from benchmarks.study.settings import PAPER_RECIPES, WIDE
from skreward import (
    BradleyTerryMLPRegressor,
    BradleyTerryRegressor,
    EmbeddingPairs,
    PairwiseClassifierReward,
    RewardMLPClassifier,
)
from skreward.models.network import fit_together

# With a strong penalty, or labels that tell little, the loss hardly falls at first.
# In float32, whatever the processor is fast at.
NETWORK = {"tol": 1e-5, "n_iter_no_change": 5, "device": "cpu", "precision": "full"}
# Batches an epoch, were nothing held out. With sixteen, and a tenth of the prompts held
# out, the first epoch was the best of 38 % of the Bradley-Terry networks; now of 17 %.
BATCHES = 4
# Labellings of one stack: their weights, and Adam's, stay in the cache.
TOGETHER = 4
# Share of the prompts held out; a tenth, two dozen, says less well when to stop.
HELD_OUT = 0.2
ALPHAS = np.geomspace(10, 0.01, 7)
MAX_TREES = 300
PATIENCE = 20
TREES = {
    "objective": "cross_entropy",
    "metric": "cross_entropy",
    "feature_fraction": 0.1,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class Asked(NamedTuple):
    """One labelling: pairs as positions of items, and 1 where the first won."""

    index: np.ndarray
    y: np.ndarray


class Problem(NamedTuple):
    """Training items, their prompts, labellings of their pairs, and unseen items."""

    items: np.ndarray
    prompts: np.ndarray
    asked: list
    unseen: np.ndarray
    seed: int

    def scaled(self):
        """Give the problem with items centred and scaled by the training items."""
        scaler = StandardScaler().fit(self.items)
        return self._replace(
            items=scaler.transform(self.items), unseen=scaler.transform(self.unseen)
        )


class Fitted(NamedTuple):
    """Rewards of the unseen items, how training ended, and what it took."""

    rewards: np.ndarray
    n_features: int
    training: dict
    core_seconds: float


def fit(model, recipe, problem, choice):
    """Fit a model on every labelling of a problem; gives a list of `Fitted`."""
    if recipe in PAPER_RECIPES:
        return _by_paper(model, recipe, problem)
    problem = problem.scaled()
    hidden = HIDDEN if recipe == WIDE else NARROW
    return {
        "bt-mlp": partial(_networks, partial(BradleyTerryMLPRegressor, hidden), len),
        "clf-mlp": partial(_networks, partial(_classifier_network, hidden), _n_items),
        "clf-lgbm": _trees,
        "bt-linear": partial(_linear, _preferences),
        "clf-linear": partial(_linear, _wins_over_nothing),
        STATISTICS: partial(_linear, _preferences),
    }[model](problem, choice)


def merged(asked):
    """Make pairs that were asked several times one, with its share of wins.

    Returns
    -------
    index : array of shape (n_distinct, 2)
    share : array of shape (n_distinct,)
        In which the first won.
    times : array of shape (n_distinct,)
    """
    code, is_turned = pair_codes(asked.index)
    distinct, which, times = np.unique(code, return_inverse=True, return_counts=True)
    won = np.where(is_turned, 1 - asked.y, asked.y)
    index = np.column_stack(np.divmod(distinct, asked.index.max() + 1))
    return index, np.bincount(which, won) / times, times.astype(float)


def pair_codes(index):
    """Number pairs, whichever item comes first; gives whether it is the larger too."""
    low, high = np.sort(index, axis=1).T
    return low * (index.max() + 1) + high, index[:, 0] != low


def _networks(make, n_observations, problem, choice):
    fitted, n_features = [], problem.items.shape[1]
    for first in range(0, len(problem.asked), TOGETHER):
        asked = problem.asked[first : first + TOGETHER]
        start = time.process_time()
        index, share, times = zip(*map(merged, asked), strict=True)
        models = [
            make(
                **NETWORK,
                **choice,
                batch_size=-(-n_observations(pairs) // BATCHES),
                validation_fraction=HELD_OUT,
                random_state=problem.seed,
            )
            for pairs in index
        ]
        pairs = [EmbeddingPairs(problem.items, i, problem.prompts) for i in index]
        fit_together(models, pairs, share, times)
        rewards = [model.predict(problem.unseen) for model in models]
        seconds = (time.process_time() - start) / len(asked)
        for model, reward in zip(models, rewards, strict=True):
            network = getattr(model, "estimator_", model)
            training = {
                "epochs": network.n_iter_,
                "best_epoch": network.best_iter_,
                "held_out_loss": min(network.validation_loss_curve_),
            }
            fitted.append(Fitted(reward, n_features, training, seconds))
    return fitted


def _n_items(index):
    return len(np.unique(index))


def _classifier_network(hidden, **parameters):
    return PairwiseClassifierReward(RewardMLPClassifier(hidden, **parameters))


def _held_out(problem):
    """Choose the items of some of the prompts."""
    prompts = np.unique(problem.prompts)
    order = np.random.RandomState(problem.seed).permutation(len(prompts))
    held = prompts[order[: max(1, round(HELD_OUT * len(prompts)))]]
    return np.isin(problem.prompts, held)


def _wins(asked, n_items):
    """Give the share of wins of every item, and in how many pairs it was."""
    times = np.bincount(asked.index.ravel(), minlength=n_items).astype(float)
    won = np.bincount(asked.index[:, 0], asked.y, n_items)
    won += np.bincount(asked.index[:, 1], 1 - asked.y, n_items)
    return np.divide(won, times, out=np.full(n_items, 0.5), where=times > 0), times


def _trees(problem, choice):
    """Boost trees on shares of wins; the items are binned once for all labellings."""
    import lightgbm

    start = time.process_time()
    held = _held_out(problem)
    parameters = {**TREES, **choice, "seed": problem.seed}
    training = lightgbm.Dataset(
        problem.items[~held], params=parameters, free_raw_data=False
    )
    validation = lightgbm.Dataset(
        problem.items[held], reference=training, free_raw_data=False
    )
    shared = time.process_time() - start
    fitted, n_features = [], problem.items.shape[1]
    for asked in problem.asked:
        start = time.process_time()
        share, times = _wins(asked, len(problem.items))
        for data, mask in (training, ~held), (validation, held):
            data.set_label(share[mask]).set_weight(times[mask])
        booster = lightgbm.train(
            parameters,
            training,
            MAX_TREES,
            valid_sets=[validation],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        rewards = booster.predict(problem.unseen, raw_score=True)
        training_ = {
            "trees": booster.best_iteration,
            "held_out_loss": booster.best_score["valid_0"]["cross_entropy"],
        }
        seconds = time.process_time() - start + shared / len(problem.asked)
        fitted.append(Fitted(rewards, n_features, training_, seconds))
    return fitted


def _linear(as_pairs, problem, choice):
    """Fit linear rewards of several penalties, and keep the best on held out prompts.

    One convex solver serves both: a logistic classifier is Bradley-Terry against an
    item that is nothing.
    """
    held = _held_out(problem)
    items = np.vstack([problem.items, np.zeros_like(problem.items[:1])])
    fitted, n_features = [], problem.items.shape[1]
    for asked in problem.asked:
        start = time.process_time()
        index, share, times = as_pairs(asked, len(problem.items))
        sides = np.append(held, False)[index]
        kept = ~sides.any(axis=1)
        watched = (sides | (index == len(held))).all(axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            models = BradleyTerryRegressor(tol=1e-2).fit_path(
                EmbeddingPairs(items, index[kept]),
                share[kept],
                times[kept],
                alphas=ALPHAS,
            )
        losses = [
            _log_loss(
                model.predict(items), index[watched], share[watched], times[watched]
            )
            for model in models
        ]
        best = int(np.argmin(losses))
        rewards = models[best].predict(problem.unseen)
        training = {"alpha": float(ALPHAS[best]), "held_out_loss": losses[best]}
        seconds = time.process_time() - start
        fitted.append(Fitted(rewards, n_features, training, seconds))
    return fitted


def _preferences(asked, n_items):
    return merged(asked)


def _wins_over_nothing(asked, n_items):
    share, times = _wins(asked, n_items)
    (seen,) = np.nonzero(times)
    index = np.column_stack([seen, np.full(len(seen), n_items)])
    return index, share[seen], times[seen]


def _log_loss(rewards, index, share, times):
    margin = rewards[index[:, 0]] - rewards[index[:, 1]]
    return float(np.average(np.logaddexp(0, margin) - share * margin, weights=times))


def _by_paper(model, recipe, problem):
    fitted, n_features = [], problem.items.shape[1]
    for asked in problem.asked:
        start = time.process_time()
        pairs = EmbeddingPairs(problem.items, asked.index, problem.prompts)
        objective = model.partition("-")[0]
        trained = PaperRewardModel.of_recipe(objective, recipe, problem.seed)
        trained.fit(pairs, asked.y)
        rewards = trained.predict(problem.unseen)
        training = {"epochs": trained.n_epochs_}
        seconds = time.process_time() - start
        fitted.append(Fitted(rewards, n_features, training, seconds))
    return fitted
