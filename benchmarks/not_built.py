"""What was tried and is not built, beside what is: small trials on judged responses.

    python -m benchmarks.not_built judged_dev_minilm.npz

Every seed holds out its own fifth of the prompts, as in `benchmarks.order_consistency`;
scores are order consistency on same-prompt pairs of held-out prompts, unless said.
Annotators are logistic, beta = 3 (19 % of labels wrong) unless said.
"""

import argparse
import warnings
from importlib.util import find_spec

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from benchmarks.calibration import draw
from benchmarks.order_consistency import make_task, score
from benchmarks.ratings import N_RANKED, make_ratings, rankings
from skreward import (
    BradleyTerryRegressor,
    CalibratedReward,
    EmbeddingPairs,
    ItemwiseTransformer,
    RewardEnsemble,
)
from skreward.annotation import pairs_from_rankings
from skreward.datasets import load_judged
from skreward.metrics import order_consistency_scorer, risk_coverage_curve
from skreward.model_selection import PromptDisjointKFold, train_test_split_pairs

ALPHA = 5e-4
ALPHAS = tuple(10.0 ** np.arange(-4, 0.1, 0.5))


def fit(data, index, y, weight=None, alpha=ALPHA):
    """Fit the linear reward; gives those of all items."""
    pairs = EmbeddingPairs(data.embeddings, index, data.prompt_ids)
    model = BradleyTerryRegressor(alpha=alpha).fit(pairs, y, weight)
    return model.predict(data.embeddings)


def minimised(items, value_gradient, n_features):
    """Minimise a mean loss of rewards and the penalty; gives rewards of all items."""

    def penalised(coef):
        value, gradient = value_gradient(items @ coef)
        return value + ALPHA / 2 * coef @ coef, items.T @ gradient + ALPHA * coef

    found = minimize(penalised, np.zeros(n_features), jac=True, method="L-BFGS-B",
                     options={"maxiter": 500})  # fmt: skip
    return items @ found.x


# -- rankings


def plackett_luce(data, items, ranks):
    """Fit Plackett-Luce, linear in the embedding, to rankings of four."""
    order = np.argsort(ranks.reshape(-1, N_RANKED), axis=1)
    ordered = np.take_along_axis(items.reshape(-1, N_RANKED), order, axis=1)
    n_choices = len(ordered) * (N_RANKED - 1)

    def value_gradient(reward):
        of_ranked, gradient, value = reward[ordered], np.zeros(len(reward)), 0.0
        for first in range(N_RANKED - 1):
            rest = of_ranked[:, first:]
            total = logsumexp(rest, axis=1)
            value += (total - rest[:, 0]).sum()
            share = np.exp(rest - total[:, None])
            share[:, 0] -= 1
            np.add.at(gradient, ordered[:, first:], share)
        return value / n_choices, gradient / n_choices

    return minimised(data.embeddings, value_gradient, data.embeddings.shape[1])


def trial_rankings(data, seed):
    task = make_task(data, seed)
    items, ranks, ids = rankings(data, task, make_ratings(data, 3.0, seed), seed)
    index, y = pairs_from_rankings(ranks, ids, random_state=seed)
    return {
        "all pairs of rankings of 4": score(task, fit(data, items[index], y))[0],
        "Plackett-Luce": score(task, plackett_luce(data, items, ranks))[0],
    }


# -- wrong labels


def chosen_alpha(data, index, y, seed):
    """Choose the penalty by prompt-disjoint folds, a path a fold."""
    pairs = EmbeddingPairs(data.embeddings, index, data.prompt_ids)
    total = np.zeros(len(ALPHAS))
    for train, test in PromptDisjointKFold(5, random_state=seed).split(pairs):
        path = BradleyTerryRegressor().fit_path(pairs[train], y[train], alphas=ALPHAS)
        total += [order_consistency_scorer(m, pairs[test], y[test]) for m in path]
    return ALPHAS[int(total.argmax())]


def unbiased_loss(data, index, y, error):
    """Fit rDPO's loss, unbiased for labels that are wrong with a known probability."""
    sign = np.where(y == 1, 1.0, -1.0)
    first, second = index.T

    def value_gradient(reward):
        margin = sign * (reward[first] - reward[second])
        value = (1 - error) * np.logaddexp(0, -margin) - error * np.logaddexp(0, margin)
        slope = sign * (-(1 - error) * expit(-margin) - error * expit(margin))
        scale = (1 - 2 * error) * len(y)
        gradient = np.bincount(first, slope, len(reward))
        gradient -= np.bincount(second, slope, len(reward))
        return value.sum() / scale, gradient / scale

    return minimised(data.embeddings, value_gradient, data.embeddings.shape[1])


def trial_wrong_labels(data, seed, n_pairs=5_000, error=0.4):
    task = make_task(data, seed, n_pairs=n_pairs)
    rng = np.random.RandomState(seed)
    index = task.pairs.index
    true = (np.diff(data.rewards[index])[:, 0] < 0).astype(int)
    y = np.where(rng.uniform(size=len(true)) < error, 1 - true, true)
    alpha = chosen_alpha(data, index, y, seed)
    smoothed = np.where(y == 1, 1 - error, error)
    rewards = {
        "default penalty": fit(data, index, y),
        "chosen penalty": fit(data, index, y, alpha=alpha),
        "cDPO (labels smoothed by the error)": fit(data, index, smoothed),
        "cDPO, chosen penalty": fit(data, index, smoothed, alpha=alpha),
        "rDPO (unbiased loss)": unbiased_loss(data, index, y, error),
    }
    return {name: score(task, reward)[0] for name, reward in rewards.items()}


# -- which predictions to trust


def trial_rejection(data, seed):
    """Area under the risk-coverage curve: smaller is better."""
    task = make_task(data, seed)
    ensemble = RewardEnsemble(n_estimators=10, random_state=seed)
    ensemble.fit(task.pairs, task.y)
    members = np.stack([m.predict(data.embeddings) for m in ensemble.estimators_])
    margins = members[:, task.unseen[:, 0]] - members[:, task.unseen[:, 1]]
    margin = margins.mean(axis=0)
    spread = np.maximum(margins.std(axis=0), np.finfo(np.float32).eps)
    trusts = {
        "|margin|": None,
        "small variance of the members": -spread,
        "|margin| over its standard deviation": np.abs(margin) / spread,
        "agreement of the members": np.abs(np.mean(margins > 0, axis=0) - 0.5),
        "at random": np.random.RandomState(seed).uniform(size=len(margin)),
    }
    return {
        f"area, rejected by {name}": risk_coverage_curve(
            task.golden, margin, confidence=trust
        ).area
        for name, trust in trusts.items()
    }


def conformal_threshold(model, pairs, y, level):
    """Find the |margin| up to which both orders are in the set, from labelled pairs."""
    margin = model.predict(pairs).astype(np.float64)
    strangeness = np.sort(np.where(y == 1, -margin, margin))
    rank = min(int(np.ceil((len(y) + 1) * (1 - level))), len(y))
    return max(strangeness[rank - 1], 0.0)


def probable_threshold(proba, level):
    """Find the |log-odds| beyond which so many pairs are expected wrong, of all."""
    certain = np.sort(np.maximum(proba, 1 - proba))[::-1]
    wrong = np.cumsum(1 - certain) / len(certain)
    return logit(certain[np.searchsorted(wrong, level)])


def trial_conformal(data, seed, level=0.1):
    """Decide pairs so that one label of ten is missed, by two rules from one margin."""
    pairs, y, unseen, labels = draw(data, seed)
    train, held, y_train, y_held = train_test_split_pairs(pairs, y, random_state=seed)
    plain = BradleyTerryRegressor().fit(train, y_train)
    calibrated = CalibratedReward(BradleyTerryRegressor()).fit(pairs, y)
    log_odds = calibrated.predict(unseen).astype(np.float64)
    decisions = {
        "conformal set": (
            plain.predict(unseen), conformal_threshold(plain, held, y_held, level)
        ),
        "calibrated probability": (
            log_odds, probable_threshold(expit(log_odds), level)
        ),
    }  # fmt: skip
    results = {}
    for name, (margin, threshold) in decisions.items():
        is_decided = np.abs(margin) > threshold
        is_wrong = (margin > 0) != (labels == 1)
        results[f"{name}: labels missed"] = np.mean(is_decided & is_wrong)
        results[f"{name}: pairs decided"] = np.mean(is_decided)
    return results


# -- which pairs to label


def information(mean, variance):
    """Entropy of a label less that once the margin is known: BALD, in nats."""
    node, weight = np.polynomial.hermite_e.hermegauss(20)
    proba = expit(mean[:, None] + np.sqrt(variance)[:, None] * node)
    share = weight / weight.sum()
    return entropy(proba @ share) - entropy(proba) @ share


def entropy(proba):
    """Entropy of a label, in nats."""
    proba = np.clip(proba, 1e-12, 1 - 1e-12)
    return -proba * np.log(proba) - (1 - proba) * np.log1p(-proba)


def worth(rule, data, labelled, y, rest, rng):
    """Say what a label of each of the remaining pairs is worth by a rule."""
    if rule == "at random":
        return rng.uniform(size=len(rest))
    reward = fit(data, labelled, y).astype(np.float64)
    margin = reward[rest[:, 0]] - reward[rest[:, 1]]
    if rule == "smallest |margin|":
        return -np.abs(margin)
    items = data.embeddings
    seen = items[labelled[:, 0]] - items[labelled[:, 1]]
    slope = 0.25
    if rule == "largest information (BALD)":
        proba = expit(reward[labelled[:, 0]] - reward[labelled[:, 1]])
        slope = (proba * (1 - proba))[:, None]
    curvature = (seen * slope).T @ seen + ALPHA * len(y) * np.eye(seen.shape[1])
    z = items[rest[:, 0]] - items[rest[:, 1]]
    variance = (z @ np.linalg.inv(curvature) * z).sum(axis=1)
    if rule == "largest variance (D-optimal)":
        return variance
    return information(margin, variance)


RULES = (
    "at random",
    "smallest |margin|",
    "largest variance (D-optimal)",
    "largest information (BALD)",
)


def trial_selection(data, seed, sizes=(250, 500, 1_000, 2_000, 4_000, 8_000)):
    """Choose pairs of a pool in rounds that double, by what the reward says of them."""
    task = make_task(data, seed)
    index, y = task.pairs.index, task.y
    is_wrong = y != (np.diff(data.rewards[index])[:, 0] < 0)
    rng = np.random.RandomState(seed)
    first = rng.permutation(len(index))[: sizes[0]]
    results = {}
    for rule in RULES:
        chosen = first
        for size in sizes[1:]:
            rest = np.setdiff1d(np.arange(len(index)), chosen)
            value = worth(rule, data, index[chosen], y[chosen], index[rest], rng)
            added = rest[np.argsort(-value)[: size - len(chosen)]]
            chosen = np.concatenate([chosen, added])
            reward = fit(data, index[chosen], y[chosen])
            results[f"{size} pairs chosen {rule}"] = score(task, reward)[0]
        added = chosen[sizes[0] : sizes[2]]
        results[f"wrong labels of the first {len(added)} chosen {rule}"] = np.mean(
            is_wrong[added]
        )
    return results


# -- other rewards


def boosted(data, task, seed, n_rounds=200):
    """Boost trees of items on the pairwise logistic loss."""
    import lightgbm as lgb

    index, y = task.pairs.index, task.y
    used, flat = np.unique(index, return_inverse=True)
    first, second = flat.reshape(index.shape).T

    def objective(reward, _):
        slope = expit(reward[first] - reward[second]) - y
        curvature = np.abs(slope) * (1 - np.abs(slope))
        gradient = np.bincount(first, slope, len(used))
        gradient -= np.bincount(second, slope, len(used))
        hessian = np.bincount(first, curvature, len(used))
        return gradient, hessian + np.bincount(second, curvature, len(used)) + 1e-6

    params = {"objective": objective, "learning_rate": 0.05, "num_leaves": 15,
              "verbosity": -1, "num_threads": 1, "seed": seed,
              "feature_fraction": 0.3}  # fmt: skip
    rows = lgb.Dataset(data.embeddings[used], label=np.zeros(len(used)))
    return lgb.train(params, rows, n_rounds).predict(data.embeddings)


def heads(data, task, n_heads):
    """Decompose preferences: principal directions of differences, then weights."""
    index = np.where(task.y[:, None] == 1, task.pairs.index, task.pairs.index[:, ::-1])
    z = data.embeddings[index[:, 0]] - data.embeddings[index[:, 1]]
    directions = np.linalg.svd(z, full_matrices=False)[2][:n_heads]
    items = data.embeddings @ directions.T
    pairs = EmbeddingPairs(items, task.pairs.index, data.prompt_ids)
    return BradleyTerryRegressor().fit(pairs, task.y).predict(items)


def trial_rewards(data, seed):
    task = make_task(data, seed)
    results = {"linear Bradley-Terry": fit(data, task.pairs.index, task.y)}
    if find_spec("lightgbm"):
        results["boosted Bradley-Terry, 200 trees"] = boosted(data, task, seed)
    for n_heads in (10, 50, 100):
        results[f"{n_heads} heads by PCA (DRM)"] = heads(data, task, n_heads)
    reduced = make_pipeline(ItemwiseTransformer(PCA(100)), BradleyTerryRegressor())
    results["linear on PCA(100)"] = reduced.fit(task.pairs, task.y).predict(
        data.embeddings
    )
    return {name: score(task, reward)[0] for name, reward in results.items()}


TRIALS = {
    "rankings": trial_rankings,
    "5,000 pairs, 40 % of labels wrong": trial_wrong_labels,
    "rejection": trial_rejection,
    "conformal sets": trial_conformal,
    "selection": trial_selection,
    "rewards": trial_rewards,
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="judged responses, as load_judged reads them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", help="part of a trial's name")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    data = load_judged(options.data)
    data.embeddings = data.embeddings.astype(np.float32)
    print(f"seeds 0 to {options.seeds - 1}: mean and standard deviation")
    for title, trial in TRIALS.items():
        if options.only and options.only not in title:
            continue
        results = [trial(data, seed) for seed in range(options.seeds)]
        print(f"\n| {title} | |\n|---|---|")
        for name in results[0]:
            values = [result[name] for result in results]
            print(
                f"| {name} | {np.mean(values):.3f} ± {np.std(values):.3f} |", flush=True
            )


if __name__ == "__main__":
    main()
