"""How rewards order the responses to unseen prompts."""

import numpy as np

from skreward.annotation import sample_pairs
from skreward.metrics import best_of_n_curve, prompt_rank_correlation

N_VALUES = (2, 5, 10, 20, 50, 100, 300, 500)
PAIRS_PER_PROMPT = 1000
CROSS_PAIRS = 20_000
SIMILAR_LENGTH = 1.1
# Best-of-N prompt by prompt is for the largest N up to here that no prompt lacks.
SHOWN_N = 10
# Of a line's figures, and of those of single prompts.
DIGITS, PROMPT_DIGITS = 5, 3


def rounded(value):
    """Give a figure as it goes into the results."""
    return (
        round(value, DIGITS) if isinstance(value, int) else round(float(value), DIGITS)
    )


class Test:
    """Test responses, and the pairs of them by which all rewards are scored."""

    __test__ = False  # for pytest, which would collect it

    def __init__(self, items, rng):
        self._items = items
        self._prompts, self._prompt = np.unique(items.prompts, return_inverse=True)
        sizes = np.bincount(self._prompt)
        n_same = min(np.sum(sizes * (sizes - 1) // 2), PAIRS_PER_PROMPT * len(sizes))
        self._same = self._ordered(
            sample_pairs(self._prompt, int(n_same), random_state=rng)
        )
        self._cross = self._ordered(
            sample_pairs(self._prompt, CROSS_PAIRS, cross_prompt=True, random_state=rng)
        )
        self._of_prompt = self._prompt[self._same[:, 0]]
        self._is_similar = None
        if items.lengths is not None:
            both = np.sort(items.lengths[self._same], axis=1)
            self._is_similar = both[:, 1] < SIMILAR_LENGTH * both[:, 0]
        self._n_values = [n for n in N_VALUES if n <= sizes.min()]

    def __call__(self, predicted):
        """Score predicted rewards of the responses."""
        items, prompt = self._items, self._prompt
        same = self._agreement(self._same, predicted)
        similar = same[:0] if self._is_similar is None else same[self._is_similar]
        correlation = prompt_rank_correlation(
            items.rewards, predicted, prompt, return_details=True
        )
        curve = best_of_n_curve(
            items.rewards, predicted, prompt, n_values=self._n_values
        )
        shown = max(k for k, n in enumerate(self._n_values) if n <= SHOWN_N)
        improvement = curve.prompt_improvement[shown]
        cross = self._agreement(self._cross, predicted)
        return {
            "order_consistency": rounded(same.mean()),
            "order_consistency_similar_length": (
                rounded(similar.mean()) if len(similar) else None
            ),
            "order_consistency_cross": rounded(cross.mean()),
            "spearman": rounded(correlation.score),
            "spearman_undefined": correlation.n_nan,
            "best_of_n": self._by_n(curve.improvement),
            "best_of_n_oracle": self._by_n(curve.improvement + curve.regret),
            "per_prompt": {
                "prompts": self._prompts.tolist(),
                "order_consistency": self._by_prompt(same),
                "n": self._n_values[shown],
                "best_of_n": improvement.round(PROMPT_DIGITS).tolist(),
            },
        }

    def _ordered(self, index):
        """Keep the pairs of different true rewards, the larger first."""
        index = np.where(
            np.diff(self._items.rewards[index], axis=1) > 0, index[:, ::-1], index
        )
        return index[np.diff(self._items.rewards[index], axis=1)[:, 0] < 0]

    def _agreement(self, index, predicted):
        """Whether the prediction has the order of each pair; a tie is one half."""
        margin = predicted[index[:, 0]] - predicted[index[:, 1]]
        return 0.5 * (1 + np.sign(margin))

    def _by_n(self, values):
        return dict(zip(map(str, self._n_values), map(rounded, values), strict=True))

    def _by_prompt(self, agrees):
        """Average by prompt; None where all true rewards of a prompt are equal."""
        n = len(self._prompts)
        total = np.bincount(self._of_prompt, agrees, minlength=n).tolist()
        count = np.bincount(self._of_prompt, minlength=n).tolist()
        return [
            round(t / c, PROMPT_DIGITS) if c else None
            for t, c in zip(total, count, strict=True)
        ]
