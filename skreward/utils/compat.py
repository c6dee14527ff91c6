"""The one place that imports names scikit-learn does not promise to keep."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.base import _fit_context as fit_context
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._set_output import _wrap_data_with_container as wrap_output
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "GroupsConsumerMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "without_array_libraries",
    "wrap_output",
]


@contextmanager
def without_array_libraries() -> Iterator[None]:
    """Keep what lists scikit-learn's estimators from loading torch, dask and cupy.

    `sklearn.utils.all_estimators`, which skops calls when it is imported, imports every
    module of scikit-learn, its wrappers of these libraries among them. It passes over
    those that cannot be imported, as these are inside.
    """
    wrappers = [
        name
        for library in ("cupy", "dask", "torch")
        if (name := f"sklearn.externals.array_api_compat.{library}") not in sys.modules
    ]
    for name in wrappers:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in wrappers:
            del sys.modules[name]
