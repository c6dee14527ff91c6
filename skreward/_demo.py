"""The main job from texts to best-of-N, on data whose true reward is known."""

from typing import Any

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skreward import persistence
from skreward._commands import print_results
from skreward._evaluation import score_pairs
from skreward.bradley_terry import BradleyTerryRegressor
from skreward.compose import ItemwiseTransformer
from skreward.datasets import make_text_preferences
from skreward.embedding import LLMEmbeddingTransformer
from skreward.metrics import best_of_n_curve, order_consistency_scorer
from skreward.model_selection import PromptDisjointKFold, train_test_split_pairs
from skreward.plotting import BestOfNDisplay

MODEL_NAME = "demo.skops"
PICTURE_NAME = "best_of_n.png"


def run(folder, seed) -> dict[str, Any]:
    """Make data, search a grid over a text pipeline, evaluate, save, draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    data = make_text_preferences(
        n_prompts=100, n_responses=16, n_pairs=3000, random_state=seed
    )
    train, test, y_train, y_test = train_test_split_pairs(
        data.pairs, data.y, test_size=0.25, random_state=seed
    )
    first = data.pairs[0]
    print(
        f"{len(data.pairs)} noisy preferences over {len(data.texts)} responses to 100 "
        f"prompts, for example:\n  {first['prompt']}\n  a: {first['response_a']}\n"
        f"  b: {first['response_b']}\n  preferred: {'ba'[int(data.y[0])]}"
    )
    search = GridSearchCV(
        make_pipeline(
            LLMEmbeddingTransformer(),
            ItemwiseTransformer(StandardScaler()),
            BradleyTerryRegressor(),
        ),
        {"bradleyterryregressor__alpha": [0.01, 0.1, 1.0]},
        scoring=order_consistency_scorer,
        cv=PromptDisjointKFold(5, random_state=seed),
    ).fit(train, y_train)
    model = search.best_estimator_
    pairs = model[0].transform(test)
    length = np.array([len(row["response_a"]) - len(row["response_b"]) for row in test])
    coin = np.random.default_rng(seed).uniform(-1, 1, len(test))
    results = [
        score_pairs("linear", model[1:], pairs, y_test, model.predict(test)),
        score_pairs("longer response", None, pairs, y_test, length),
        score_pairs("coin", None, pairs, y_test, coin),
    ]
    print_results(
        f"{len(test)} pairs of {len({row['prompt'] for row in test})} unseen prompts",
        results,
        "std error over prompts",
        "linear",
    )
    unseen = {row["prompt"] for row in test}
    held = np.array([row["prompt"] in unseen for row in data.texts])
    items = [row for row, is_held in zip(data.texts, held, strict=True) if is_held]
    truth, groups = data.rewards[held], data.prompt_ids[held]
    length_of = np.array([len(row["response"]) for row in items])
    curve, longest = (
        best_of_n_curve(truth, reward, groups, n_values=(1, 2, 4, 8, 16))
        for reward in (model.predict(items), length_of)
    )
    figure = Figure(figsize=(6, 4), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    BestOfNDisplay(curve).plot(axes, name="Bradley-Terry on MiniLM")
    BestOfNDisplay(longest).plot(axes, name="Longest response")
    figure.savefig(folder / PICTURE_NAME, dpi=120)
    persistence.save(model, folder / MODEL_NAME)
    n = int(curve.n[-1])
    print(
        f"best of {n}: the true reward improves by {curve.improvement[-1]:.2f} "
        f"+- {curve.improvement_stderr[-1]:.2f} over a random response (the longest "
        f"response: {longest.improvement[-1]:.2f}; the true best: "
        f"{curve.improvement[-1] + curve.regret[-1]:.2f})\n"
        f"model and picture: {folder / MODEL_NAME}, {folder / PICTURE_NAME}"
    )
    return {
        "order_consistency": results[0].order_consistency,
        "order_consistency_stderr": results[0].spread,
        "n_pairs": len(data.pairs),
        "n_prompts": 100,
        "model": str(folder / MODEL_NAME),
        "picture": str(folder / PICTURE_NAME),
        "compared": {r.name: r.order_consistency for r in results},
        "best_of_n": n,
        "best_of_n_improvement": float(curve.improvement[-1]),
        "best_of_n_improvement_longest": float(longest.improvement[-1]),
    }
