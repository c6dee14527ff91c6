import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skreward import EmbeddingPairs
from skreward.data.groups import components, validation_split
from skreward.datasets import make_preferences
from skreward.model_selection import PromptDisjointKFold, train_test_split_pairs

pytestmark = pytest.mark.filterwarnings("ignore:.*pairs.*compare prompts")


@pytest.fixture(scope="module")
def crossed():
    return make_preferences(
        n_prompts=40, n_pairs=600, n_features=4, cross_prompt=True, random_state=0
    )


@given(
    n_splits=st.integers(2, 6), n_prompts=st.integers(6, 20), seed=st.integers(0, 99),
    crossed=st.booleans(),
)  # fmt: skip
def test_no_prompt_is_on_both_sides(n_splits, n_prompts, seed, crossed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_prompts, size=(200, 2))
    if not crossed:
        groups[:, 1] = groups[:, 0]
    X = np.zeros((200, 2, 1))
    cv = PromptDisjointKFold(n_splits, random_state=seed)
    tested = np.zeros(200, dtype=int)
    if len(np.unique(groups)) < n_splits:
        return
    try:
        splits = list(cv.split(X, groups=groups))
    except ValueError:
        assert crossed, "every pair of one prompt finds a side"
        return
    assert len(splits) == cv.get_n_splits() == n_splits
    for train, test in splits:
        assert not np.isin(groups[train], groups[test]).any()
        tested[test] += 1
    assert tested.max() == 1
    if not crossed:
        assert tested.min() == 1
        assert all(len(train) + len(test) == 200 for train, test in splits)


def test_folds_are_of_like_size():
    groups = np.repeat(np.arange(50), np.arange(50) % 7 + 1)
    sizes = [
        len(test)
        for _, test in PromptDisjointKFold(5, random_state=0).split(
            np.zeros((len(groups), 2, 1)), groups=groups
        )
    ]
    assert max(sizes) - min(sizes) <= 2


def test_shuffle_and_seed():
    X, groups = np.zeros((60, 2, 1)), np.repeat(np.arange(20), 3)

    def first(cv):
        return next(iter(cv.split(X, groups=groups)))[1]

    same = [first(PromptDisjointKFold(4, random_state=1)) for _ in range(2)]
    assert_array_equal(*same)
    assert (first(PromptDisjointKFold(4, random_state=2)) != same[0]).any()
    plain = [first(PromptDisjointKFold(4, shuffle=False)) for _ in range(2)]
    assert_array_equal(*plain)


def test_groups_win_over_the_container_and_may_be_words():
    pairs = EmbeddingPairs(np.eye(8), np.arange(8).reshape(4, 2), np.arange(8) // 4)
    cv = PromptDisjointKFold(2, shuffle=False)
    by_container = next(iter(cv.split(pairs)))[1]
    assert_array_equal(by_container, [0, 1])
    by_groups = next(iter(cv.split(pairs, groups=list("abab"))))[1]
    assert_array_equal(by_groups, [0, 2])


def test_straddling_pairs_are_counted(crossed):
    cv = PromptDisjointKFold(5, random_state=0)
    with pytest.warns(UserWarning, match=r"of 600 pairs .* compare prompts"):
        splits = list(cv.split(crossed.pairs))
    sides = crossed.pairs.pair_prompt_ids
    for train, test in splits:
        assert not np.isin(sides[train], sides[test]).any()
        assert len(train) + len(test) < 600


def test_train_test_split(preferences):
    pairs, y = preferences.pairs, preferences.y
    weight = list(range(len(y)))
    X_train, X_test, y_train, y_test, w_train, w_test = train_test_split_pairs(
        pairs, y, weight, test_size=0.3, random_state=0
    )
    assert not np.isin(X_train.pair_prompt_ids, X_test.pair_prompt_ids).any()
    assert len(X_train) + len(X_test) == len(pairs)
    assert 0.2 < len(X_test) / len(pairs) < 0.4
    assert_array_equal(y_train, y[w_train])
    assert_array_equal(X_test.index, pairs.index[w_test])
    assert len(y_test) == len(w_test)
    again = train_test_split_pairs(pairs, None, test_size=0.3, random_state=0)
    assert_array_equal(again[0].index, X_train.index)
    assert again[2] is again[3] is None


def test_train_test_split_of_cross_prompt_pairs(crossed):
    with pytest.warns(UserWarning, match="compare prompts"):
        X_train, X_test, *_ = train_test_split_pairs(
            crossed.pairs, crossed.y, test_size=0.4, random_state=0
        )
    assert not np.isin(X_train.pair_prompt_ids, X_test.pair_prompt_ids).any()


def test_the_validation_split_keeps_prompts_apart(preferences):
    pairs, rng = preferences.pairs, np.random.RandomState(0)
    kept, held = validation_split(pairs.index, pairs.prompt_ids, 0.2, rng)
    sides = pairs.pair_prompt_ids
    assert held.any()
    assert (kept | held).all()
    assert not np.isin(sides[kept], sides[held]).any()


def test_the_validation_split_keeps_shared_items_apart(preferences):
    index = preferences.pairs.index
    kept, held = validation_split(index, None, 0.2, np.random.RandomState(0))
    component = components(index)
    assert (component[:, 0] == component[:, 1]).all()
    assert held.any()
    assert not np.isin(component[kept], component[held]).any()


def test_the_validation_split_of_one_component_deals_items():
    rng = np.random.default_rng(0)
    index = rng.permuted(np.tile(np.arange(30), (500, 1)), axis=1)[:, :2]
    assert len(np.unique(components(index))) == 1
    kept, held = validation_split(index, None, 0.3, np.random.RandomState(0))
    assert held.any()
    assert kept.any()
    assert not np.isin(index[kept], index[held]).any()
