"""When a figure says little: remarks under the tables."""

from skreward.cli.comparison import standard_error
from skreward.cli.printing import count


def remarks_on_labels(preferences):
    """Say where labels contradict each other."""
    n = preferences.n_contradictions
    if n == 0:
        return []
    return [
        f"{count(n, 'pair')} of texts {'is' if n == 1 else 'are'} labelled both ways, "
        "which no reward can follow"
    ]


def remarks_on_baselines(results, model, n_pairs, n_means=1):
    """Say where the baselines do as well as a model; as in `standard_error`."""
    share, error = model.order_consistency, standard_error(model, n_pairs, n_means)
    if abs(share - 0.5) <= 2 * error:
        return [f"{share:.3f} on {count(n_pairs, 'pair')} cannot be told from a coin"]
    return [
        f"the longer response alone orders about as well: {r.order_consistency:.3f}"
        for r in results
        if r.name == "longer response" and r.order_consistency >= share - error
    ]
