"""Save and load fitted models in files that execute nothing."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

from skreward.persistence.refusal import Refused
from skreward.persistence.schema import check_file
from skreward.utils.atomic import replacing
from skreward.utils.compat import without_array_libraries

__all__ = ["load", "save"]

MAX_BYTES = 2**30


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted model to a ``.skops`` file, all of it or nothing.

    Parameters
    ----------
    model : estimator
        A reward model, or a Pipeline that ends in one.
    path : str or path-like
        Where to. An existing file is replaced at once when the new one is complete,
        and keeps its permissions; a link stays, and the file it names is replaced.

    Raises
    ------
    OSError
        If ``path`` cannot be written.

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


def load(
    path: str | PathLike[str],
    trusted: Sequence[str] = (),
    *,
    trust_remote_code: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Read a model that `save` wrote, without executing anything in the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : sequence of str, default=()
        Full names of further types and functions to allow, such as
        ``"lightgbm.sklearn.LGBMClassifier"``, and addresses to which an
        `EndpointEmbeddingTransformer` in the file may send texts and a key. Name them
        only where you know the file.
    trust_remote_code : bool, default=False
        Allow an `LLMEmbeddingTransformer` that was saved with
        ``trust_remote_code=True``: it runs Python code that lies with its language
        model, whoever put it there.
    max_bytes : int, default=2**30
        Refuse a file whose arrays and names take more memory than this, compressed
        or not. Nothing is read into memory before it is counted.

    Returns
    -------
    model : estimator

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        Whatever else is wrong with it: it is no model, is damaged, is too large, or
        holds types that are not trusted. It names them, and nothing in the file has
        run.

    See Also
    --------
    save : Write it.

    Notes
    -----
    A file may hold this package's public estimators, scikit-learn's
    (`sklearn.utils.all_estimators`), and a fixed list of what these are made of, such
    as arrays, losses, kernels and trees. The names are compared with that list before
    any of them is imported, and nothing is called but what builds these types. Trees
    are checked to lead nowhere outside themselves; other numbers reach scikit-learn's
    compiled code as they are in the file (support vector machines', for one). A model
    of somebody whom you do not trust may still give any reward.
    """
    trusted = _check_names(trusted)
    with open(path, "rb") as file:
        try:
            names = check_file(file, trusted, trust_remote_code, max_bytes)
        except Refused as refusal:
            raise ValueError(f"{path} {refusal}") from None
        except Exception as error:
            raise _no_model(path) from error
        with without_array_libraries():
            import skops.io

        try:
            return skops.io.load(file, trusted=names)
        except Exception as error:
            raise _no_model(path) from error


def _check_names(trusted):
    if isinstance(trusted, str) or not all(isinstance(name, str) for name in trusted):
        raise TypeError(
            f"trusted must be a sequence of full names of types, got {trusted!r}."
        )
    return frozenset(trusted)


def _no_model(path):
    return ValueError(f"{path} is no model file of skreward.save.")
