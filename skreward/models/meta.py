"""What models that fit other models share: what is passed on, and to whom."""

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from skreward.model_selection import take


def fit_parameters(meta, estimator, sample_weight, params):
    """What the ``fit`` of the wrapped estimator gets besides X and y, by name.

    With metadata routing what it asks for; else everything, a Pipeline's weights
    being those of its last step.
    """
    if get_config()["enable_metadata_routing"]:
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        return dict(process_routing(meta, "fit", **params).estimator.fit)
    params = dict(params)
    if sample_weight is not None:
        is_pipeline = isinstance(estimator, Pipeline)
        prefix = f"{estimator.steps[-1][0]}__" if is_pipeline else ""
        params[prefix + "sample_weight"] = sample_weight
    return params


def take_parameters(params, positions, n_samples):
    """Pick samples of every parameter that has one value a sample."""
    return {
        name: take(value, positions) if _length(value) == n_samples else value
        for name, value in params.items()
    }


def _length(value):
    """Length of an array, a list or a table; None for anything else."""
    if isinstance(value, str) or not (
        hasattr(value, "__len__") or hasattr(value, "shape")
    ):
        return None
    return value.shape[0] if getattr(value, "shape", ()) else len(value)
