"""How often 95 % intervals of the linear reward's coefficients cover them.

    python -m benchmarks.coverage --draws 300

20 features, 3,000 pairs of 150 prompts with 8 responses each, drawn anew every time.
Settings beside the model itself: "items" have something to them that the features do
not tell, "slopes" differ by prompt, and "tripled" gives every label three times. What
is to be covered is what the fit tends to with ever more prompts.

    python -m benchmarks.coverage --data judged_dev_minilm.npz

does the same for margins of unseen prompts on real embeddings, where a reward fitted to
the judge's is the truth, at the default penalty: "penalised" intervals are around plain
margins.
"""

import argparse
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from benchmarks.order_consistency import make_task
from skreward import BradleyTerryRegressor, EmbeddingPairs
from skreward.datasets import load_judged

N_FEATURES, N_PAIRS, N_PROMPTS, N_RESPONSES = 20, 3000, 150, 8
SETTINGS = ("model", "items", "slopes", "tripled")
ITEM_EFFECT, SLOPE_EFFECT = 1.0, 0.5
REACH = 1.96


@cache
def truth():
    """Coefficients of the features."""
    return np.random.default_rng(0).normal(scale=0.3, size=N_FEATURES)


@cache
def shrinkage(setting):
    """What coefficients tend to, relative to the truth; less than 1 for extra noise.

    Features are isotropic, so the limit has the truth's direction, and its length
    solves E[(F(m) - F(k u)) u] = 0 for the margin u by the features alone.
    """
    rng = np.random.default_rng(1)
    length = np.linalg.norm(truth())
    along = np.sqrt(2) * rng.normal(size=400_000)
    across = 2 * rng.chisquare(N_FEATURES - 1, size=len(along))
    extra = rng.normal(size=len(along))
    if setting == "items":
        extra *= np.sqrt(2) * ITEM_EFFECT
    elif setting == "slopes":
        extra *= SLOPE_EFFECT * np.sqrt(along**2 + across)
    else:
        return 1.0
    u = length * along
    return brentq(lambda k: np.mean((expit(u + extra) - expit(k * u)) * u), 0.01, 2)


def draw(setting, rng):
    """Draw pairs and labels."""
    items = rng.normal(size=(N_PROMPTS * N_RESPONSES, N_FEATURES))
    prompt_ids = np.repeat(np.arange(N_PROMPTS), N_RESPONSES)
    coef = truth()
    if setting == "slopes":
        of_prompts = rng.normal(scale=SLOPE_EFFECT, size=(N_PROMPTS, N_FEATURES))
        coef = coef + of_prompts[prompt_ids]
    reward = (items * coef).sum(axis=1)
    if setting == "items":
        reward += rng.normal(scale=ITEM_EFFECT, size=len(items))
    times = 3 if setting == "tripled" else 1
    n_labels = N_PAIRS // times
    prompt = rng.integers(N_PROMPTS, size=n_labels)
    first = rng.integers(N_RESPONSES, size=n_labels)
    second = (first + rng.integers(1, N_RESPONSES, size=n_labels)) % N_RESPONSES
    index = prompt[:, None] * N_RESPONSES + np.column_stack([first, second])
    margin = reward[index[:, 0]] - reward[index[:, 1]]
    y = (rng.uniform(size=n_labels) < expit(margin)).astype(float)
    pairs = EmbeddingPairs(items, np.tile(index, (times, 1)), prompt_ids)
    return pairs, np.tile(y, times)


def coverage(setting, covariance, n_draws, seed=0):
    """Share of coefficients that their 95 % intervals cover."""
    covered = []
    for rng in np.random.default_rng(seed).spawn(n_draws):
        pairs, y = draw(setting, rng)
        model = BradleyTerryRegressor(covariance=covariance).fit(pairs, y)
        table = model.coef_intervals()
        wanted = shrinkage(setting) * truth()
        covered.append((table["lower"] < wanted) & (wanted < table["upper"]))
    return float(np.mean(covered))


def margin_coverage(data, n_draws, *, n_pairs=20_000, seed=0):
    """Share of unseen margins that intervals cover, by kind of interval."""
    task = make_task(data, seed, n_pairs=n_pairs)
    items = data.embeddings.astype(np.float32)
    pairs = EmbeddingPairs(items, task.pairs.index, data.prompt_ids)
    unseen = EmbeddingPairs(items, task.unseen[:2000], data.prompt_ids)
    true = BradleyTerryRegressor(alpha=1e-5).fit(pairs, task.y)
    proba, wanted = true.predict_preference_proba(pairs), true.predict(unseen)
    found = {"penalised": [], "laplace": [], "cluster": []}
    for rng in np.random.default_rng(seed).spawn(n_draws):
        y = (rng.uniform(size=len(proba)) < proba).astype(float)
        for covariance in ("laplace", "cluster"):
            model = BradleyTerryRegressor(covariance=covariance).fit(pairs, y)
            margin, std = model.predict(unseen, return_std=True)
            found[covariance].append(np.abs(margin - wanted) < REACH * std)
        # What one would write: the penalised fit, and its own curvature.
        found["penalised"].append(
            np.abs(model.predict(unseen) - wanted)
            < REACH * penalised_std(model, pairs, unseen)
        )
    return {name: float(np.mean(covered)) for name, covered in found.items()}


def penalised_std(model, pairs, unseen):
    """Plain Laplace: the inverse of the penalised curvature at the penalised fit."""
    first, second = pairs.embeddings[pairs.index.T].astype(np.float64)
    proba = model.predict_preference_proba(pairs)
    z, n = first - second, len(pairs)
    curvature = (z * (proba * (1 - proba))[:, None]).T @ z / n
    covariance = np.linalg.inv(curvature + model.alpha * np.eye(z.shape[1])) / n
    first, second = unseen.embeddings[unseen.index.T].astype(np.float64)
    return np.sqrt(np.einsum("ij,jk,ik->i", d := first - second, covariance, d))


def main(arguments=None):
    """Print coverage by setting and covariance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--data", help="judged responses, as load_judged reads them")
    options = parser.parse_args(arguments)
    if options.data:
        found = margin_coverage(load_judged(options.data), options.draws)
        print(f"{options.draws} draws of 20,000 labels, seed 0: margins covered")
        print("| interval | coverage |\n|---|---|")
        for name, share in found.items():
            print(f"| {name} | {share:.3f} |")
        return
    print(f"{options.draws} draws, seed 0: coefficients covered")
    print("| setting | cluster | laplace |\n|---|---|---|")
    for setting in SETTINGS:
        shares = [
            coverage(setting, covariance, options.draws)
            for covariance in ("cluster", "laplace")
        ]
        print(f"| {setting} | {shares[0]:.3f} | {shares[1]:.3f} |")


if __name__ == "__main__":
    main()
