"""scikit-learn's own checks of transformers of texts.

scikit-learn checks its own vectorizers little: it has no texts to give. Here rows of
its numbers become texts, and every check is run. Those of the input itself (its NaNs,
its shape) then see `validate_data`; what is no text has tests elsewhere.
"""

import pytest
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    parametrize_with_checks,
)
from sklearn.utils.validation import validate_data

from skreward import LLMEmbeddingTransformer, TextStatisticsTransformer
from skreward.text.cache import clear_memory
from tests.support import assert_many_common_checks, run_common_check
from tests.tiny_models import WORDS, save_tiny


class NumbersAsTexts:
    """Write every row of numbers in words."""

    def fit(self, X, y=None):
        return super().fit(self._texts(X, reset=True), y)

    def _transform(self, X):
        return super()._transform(self._texts(X, reset=False))

    def _fit_transform(self, X):
        return super()._fit_transform(self._texts(X, reset=True))

    def _texts(self, X, reset):
        rows = validate_data(self, X, reset=reset)
        return [" ".join(WORDS[int(8 * v) % len(WORDS)] for v in row) for row in rows]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


class Statistics(NumbersAsTexts, TextStatisticsTransformer):
    def _fit_transform(self, X):
        return self.fit(X)._transform(X)


class Embedding(NumbersAsTexts, LLMEmbeddingTransformer):
    pass


ESTIMATORS = [
    Statistics(groups=("length", "form", "words", "stance")),
    Embedding(device="cpu"),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture
def ready(tiny):
    """Give an estimator a model that is there."""
    clear_memory()
    yield (
        lambda estimator: (
            clone(estimator).set_params(model=tiny)
            if isinstance(estimator, Embedding)
            else estimator
        )
    )
    clear_memory()


@parametrize_with_checks(ESTIMATORS)
def test_common(estimator, check, ready):
    run_common_check(ready(estimator), check)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_all_common_checks_are_run(estimator):
    assert_many_common_checks(estimator, 44)


@pytest.mark.filterwarnings("ignore:X has feature", "ignore:X does not have valid")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize(
    "check",
    [
        check_param_validation,
        check_set_output_transform,
        check_set_output_transform_pandas,
        check_global_output_transform_pandas,
        check_set_output_transform_polars,
        check_global_set_output_transform_polars,
    ],
)
def test_checks_that_only_scikit_learn_runs(estimator, check, ready):
    check(type(estimator).__name__, ready(estimator))


def test_names_need_a_fit_where_they_are_of_a_model(ready):
    check_get_feature_names_out_error("Embedding", ready(ESTIMATORS[1]))


@pytest.mark.parametrize("kind", [TextStatisticsTransformer, LLMEmbeddingTransformer])
def test_tags(kind):
    tags = get_tags(kind())
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.transformer_tags.preserves_dtype == []
    assert tags.requires_fit == (kind is LLMEmbeddingTransformer)
