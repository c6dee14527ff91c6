"""Save and load fitted models in files that execute nothing."""

import importlib
from pathlib import Path

from skreward.utils.atomic import replacing
from skreward.utils.compat import without_array_libraries

__all__ = ["load", "save"]


def save(model, path):
    """Write a fitted model to a ``.skops`` file, all of it or nothing.

    Parameters
    ----------
    model : estimator
        A reward model, or a Pipeline that ends in one.
    path : str or path-like
        Where to. An existing file is replaced at once when the new one is complete.

    See Also
    --------
    load : Read it back.

    Examples
    --------
    >>> import os, tempfile
    >>> import skreward
    >>> from skreward.datasets import make_preferences
    >>> data = make_preferences(n_pairs=500, random_state=0)
    >>> model = skreward.BradleyTerryRegressor().fit(data.pairs, data.y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skops")
    ...     skreward.save(model, path)
    ...     loaded = skreward.load(path)
    >>> bool((loaded.coef_ == model.coef_).all())
    True
    """
    with without_array_libraries():
        import skops.io

    with replacing(path) as draft:
        skops.io.dump(model, draft)


def load(path, trusted=()):
    """Read a model that `save` wrote, without executing anything in the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : sequence of str, default=()
        Full names of further types to allow, such as
        ``"lightgbm.sklearn.LGBMClassifier"``. This package's classes and
        scikit-learn's are trusted; name others only where you know the file.

    Returns
    -------
    model : estimator

    Raises
    ------
    ValueError
        If the file is no model, or holds types that are not trusted; it names them,
        and nothing in the file has run.

    See Also
    --------
    save : Write it.
    """
    with without_array_libraries():
        import skops.io

    path = Path(path)
    try:
        found = skops.io.get_untrusted_types(file=path)
    except (KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is no model file of skreward.save.") from error
    except Exception as error:
        if type(error).__name__ != "BadZipFile":
            raise
        raise ValueError(f"{path} is no model file of skreward.save.") from error
    foreign = [
        name for name in found if name not in trusted and not _is_trusted_class(name)
    ]
    if foreign:
        raise ValueError(
            f"{path} holds types that are not trusted: {', '.join(foreign)}. Nothing "
            "in it was executed. If you know where the file comes from, name them in "
            "trusted."
        )
    return skops.io.load(path, trusted=found)


def _is_trusted_class(name):
    """Whether a name is of a class that this package or scikit-learn defines."""
    module, _, attribute = name.rpartition(".")
    if module.split(".")[0] not in ("skreward", "sklearn"):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.split(".")[0] in (
        "skreward",
        "sklearn",
    )
