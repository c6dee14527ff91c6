"""The main job from texts to best-of-N, on data whose true reward is known."""

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skreward import persistence
from skreward.cli.comparison import score_pairs, threads_for
from skreward.cli.features import embedding_width, make_features
from skreward.cli.output import named_errors
from skreward.cli.printing import say, show_results, written
from skreward.cli.rewards import Recipe
from skreward.datasets import make_text_preferences
from skreward.metrics import best_of_n_curve
from skreward.model_selection import train_test_split_pairs
from skreward.plotting import BestOfNDisplay
from skreward.plotting.axes import _require_matplotlib
from skreward.text.transformer import LLMEmbeddingTransformer

MODEL_NAME = "demo.skops"
PICTURE_NAME = "best_of_n.png"
N_VALUES = (1, 2, 4, 8, 16)
N_FOLDS = 5
N_PROMPTS, N_RESPONSES, N_PAIRS = 100, 16, 3000


def run(folder, seed) -> dict[str, Any]:
    """Make data, search a grid over a text pipeline, evaluate, save, draw."""
    _require_matplotlib("skreward demo")
    data = make_text_preferences(N_PROMPTS, N_RESPONSES, N_PAIRS, random_state=seed)
    train, test, y_train, y_test = train_test_split_pairs(
        data.pairs, data.y, test_size=0.25, random_state=seed
    )
    _introduce(data)
    features = make_features(LLMEmbeddingTransformer())
    pairs = features.fit_transform(train)
    rewards = _fit(pairs, y_train, seed, embedding_width(features))
    model = Pipeline([("features", features), ("reward", rewards["linear"])])
    results = _compare(rewards, features.transform(test), test, y_test, seed)
    unseen = {row["prompt"] for row in test}
    curve, longest = _best_of_n(model, data, unseen)
    with named_errors(folder / PICTURE_NAME):
        _draw(curve, longest, folder / PICTURE_NAME)
    with named_errors(folder / MODEL_NAME):
        persistence.save(model, folder / MODEL_NAME)
    n, gain = int(curve.n[-1]), float(curve.improvement[-1])
    with written(folder):
        show_results(
            f"{len(test)} pairs of {len(unseen)} unseen prompts",
            results,
            "std error over prompts",
            "linear",
            "the model that is saved and drawn",
        )
        say(
            f"best of {n}: the true reward improves by {gain:.2f} +- "
            f"{curve.improvement_stderr[-1]:.2f} over a random response (the longest "
            f"response: {longest.improvement[-1]:.2f}; the true best: "
            f"{gain + curve.regret[-1]:.2f})\n"
            f"model and picture: {folder / MODEL_NAME}, {folder / PICTURE_NAME}"
        )
    return {
        "order_consistency": results[0].order_consistency,
        "order_consistency_stderr": results[0].spread,
        "n_pairs": N_PAIRS,
        "n_prompts": N_PROMPTS,
        "model": str(folder / MODEL_NAME),
        "picture": str(folder / PICTURE_NAME),
        "compared": {r.name: r.order_consistency for r in results},
        "best_of_n": n,
        "best_of_n_improvement": gain,
        "best_of_n_improvement_longest": float(longest.improvement[-1]),
    }


def _introduce(data):
    first = data.pairs[0]
    say(
        f"{N_PAIRS} noisy preferences over {len(data.texts)} responses to {N_PROMPTS} "
        f"prompts, for example:\n  {first['prompt']}\n  a: {first['response_a']}\n"
        f"  b: {first['response_b']}\n  preferred: {'ba'[int(data.y[0])]}"
    )


def _fit(pairs, y, seed, n_embedding):
    """Fit the linear reward, its penalty chosen, to all features and to each part."""
    recipe = Recipe(seed, n_embedding, N_FOLDS, "cpu")
    rewards = {"linear": recipe.linear(), **recipe.parts()}
    with threads_for(pairs.embeddings.size):
        return {name: reward.fit(pairs, y) for name, reward in rewards.items()}


def _compare(rewards, pairs, test, y_test, seed):
    length = np.array([len(row["response_a"]) - len(row["response_b"]) for row in test])
    coin = np.random.default_rng(seed).uniform(-1, 1, len(test))
    return [
        *(
            score_pairs(name, reward, pairs, y_test, reward.predict(pairs))
            for name, reward in rewards.items()
        ),
        score_pairs("longer response", None, pairs, y_test, length),
        score_pairs("coin", None, pairs, y_test, coin),
    ]


def _best_of_n(model, data, prompts):
    """Give the curves of the model and of the longest response, on some prompts."""
    held = np.array([row["prompt"] in prompts for row in data.texts])
    items = [row for row, is_held in zip(data.texts, held, strict=True) if is_held]
    length = np.array([len(row["response"]) for row in items])
    return [
        best_of_n_curve(
            data.rewards[held], reward, data.prompt_ids[held], n_values=N_VALUES
        )
        for reward in (model.predict(items), length)
    ]


def _draw(curve, longest, path):
    # Without pyplot: no window, and no state that outlives the picture.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="tight")
    axes = figure.subplots()
    BestOfNDisplay(curve).plot(axes, name="Bradley-Terry on MiniLM and statistics")
    BestOfNDisplay(longest).plot(axes, name="Longest response")
    figure.savefig(path, dpi=120)
