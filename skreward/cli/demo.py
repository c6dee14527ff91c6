"""The main job from texts to best-of-N, on data whose true reward is known."""

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skreward import persistence
from skreward.cli.comparison import score_pairs, threads_for
from skreward.cli.features import (
    ANYWHERE,
    embedding_width,
    make_features,
    set_everywhere,
)
from skreward.cli.output import named_errors
from skreward.cli.printing import say, show_results, written
from skreward.cli.rewards import Recipe
from skreward.datasets import make_text_preferences, text_reward
from skreward.metrics import best_of_n_curve
from skreward.model_selection import train_test_split_pairs
from skreward.plotting.axes import _require_matplotlib
from skreward.text.transformer import LLMEmbeddingTransformer

MODEL_NAME = "demo.skops"
PICTURE_NAME = "best_of_n.png"
TRUE = "true reward"
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
    features = make_features(LLMEmbeddingTransformer(show_progress="lines"))
    pairs = features.fit_transform(train)
    rewards = _fit(pairs, y_train, seed, embedding_width(features))
    model = Pipeline([("features", features), ("reward", rewards["linear"])])
    results = _compare(rewards, features.transform(test), test, y_test, seed)
    unseen = {row["prompt"] for row in test}
    curves = _best_of_n(model, data, unseen)
    with named_errors(folder / PICTURE_NAME):
        draw(*curves).savefig(folder / PICTURE_NAME, dpi=120)
    set_everywhere(model, **ANYWHERE)
    with named_errors(folder / MODEL_NAME):
        persistence.save(model, folder / MODEL_NAME)
    with written(folder):
        show_results(
            f"{len(test)} pairs of {len(unseen)} unseen prompts",
            results,
            "std error over prompts",
            "linear",
            "the model that is saved and drawn",
        )
        _explain(results, *curves)
        say(f"model: {folder / MODEL_NAME}\npicture: {folder / PICTURE_NAME}")
    curve, longest, _ = curves
    n, gain = int(curve.n[-1]), float(curve.improvement[-1])
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
    with threads_for(pairs.embeddings.size, rewards.values()):
        return {name: reward.fit(pairs, y) for name, reward in rewards.items()}


def _compare(rewards, pairs, test, y_test, seed):
    first, second = (
        np.array([(text_reward(r["prompt"], r[k]), len(r[k])) for r in test]).T
        for k in ("response_a", "response_b")
    )
    true, length = first - second
    coin = np.random.default_rng(seed).uniform(-1, 1, len(test))
    return [
        *(
            score_pairs(name, reward, pairs, y_test, reward.predict(pairs))
            for name, reward in rewards.items()
        ),
        score_pairs(TRUE, None, pairs, y_test, true),
        score_pairs("longer response", None, pairs, y_test, length),
        score_pairs("coin", None, pairs, y_test, coin),
    ]


def _best_of_n(model, data, prompts):
    """Give the curves of the model, of the longest response, and of the true best."""
    held = np.array([row["prompt"] in prompts for row in data.texts])
    items = [row for row, is_held in zip(data.texts, held, strict=True) if is_held]
    length = np.array([len(row["response"]) for row in items])
    true = data.rewards[held]
    return [
        best_of_n_curve(true, reward, data.prompt_ids[held], n_values=N_VALUES)
        for reward in (model.predict(items), length, true)
    ]


def _explain(results, curve, longest, best):
    """Say what the numbers mean, in those of this run."""
    share = {result.name: result.order_consistency for result in results}
    n, gain, most = curve.n[-1], curve.improvement[-1], best.improvement[-1]
    say(
        f"The linear reward orders {share['linear']:.1%} of these pairs as the "
        f"annotator did. Nothing can do much better than the true reward, "
        f"{share[TRUE]:.1%}: the rest are the annotator's errors.\n"
        f"Of {n} responses to a prompt it picks one whose true reward is {gain:.2f} "
        f"above a random one's, with a standard error over prompts of "
        f"{curve.improvement_stderr[-1]:.2f}: {gain / most:.0%} of what can be gained, "
        f"the best being {most:.2f} above. The longest is "
        f"{longest.improvement[-1]:.2f} above."
    )


def draw(curve, longest, best):
    """Draw what is gained by choosing among n, beneath the most that can be.

    A band is of the gap to that: what a curve lacks on each prompt, so that what
    makes prompts differ for every choice alike widens no band, and none leads beyond.
    """
    # Without pyplot: no window, and no state that outlives the picture.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="tight")
    axes = figure.subplots()
    axes.plot(best.n, best.improvement, "k:", label="the best of n: the most there is")
    for line, name in (
        (curve, "picked by the linear reward"),
        (longest, "the longest"),
    ):
        gap = best.prompt_improvement - line.prompt_improvement
        half = 1.96 * gap.std(axis=1, ddof=1) / gap.shape[1] ** 0.5
        low, high = (np.maximum(gap.mean(axis=1) + s * half, 0) for s in (1, -1))
        (drawn,) = axes.plot(line.n, line.improvement, marker="o", label=name)
        axes.fill_between(
            line.n, best.improvement - low, best.improvement - high,
            color=drawn.get_color(), alpha=0.2, linewidth=0,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(curve.n, labels=[str(n) for n in curve.n])
    axes.minorticks_off()
    axes.set(
        # Room for the legend, which else hides a line.
        ylim=(None, 1.4 * best.improvement[-1]),
        title=f"What a reward is for: choosing among n responses\n(to "
        f"{len(curve.prompts)} prompts it was not trained on)",
        xlabel="n, the responses to choose from",
        ylabel="true reward above a random response's",
    )
    axes.legend(title="band: 95 % interval over prompts, of the gap to the best")
    return figure
