"""Batches of pairs: every pair once, every item of a batch once, clumps together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skreward.data.groups import chosen_first, sharing_groups
from skreward.networks.batches import CLUMPS_A_BATCH, cut_into_batches, shuffle


@st.composite
def epochs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_pairs, n_items = draw(st.integers(1, 60)), draw(st.integers(2, 20))
    index = rng.integers(n_items, size=(n_pairs, 2))
    batch_size = draw(st.integers(1, 70))
    return index, rng.permutation(n_pairs), batch_size


@given(epochs())
def test_a_plan_holds_every_pair_once_and_every_item_of_a_batch_once(problem):
    index, order, batch_size = problem
    epoch = cut_into_batches(index, order, batch_size)
    assert len(epoch) == -(-len(order) // batch_size)
    seen = []
    for batch in range(len(epoch)):
        pairs = epoch.pairs(batch)
        items = epoch.items_of(batch)
        assert len(np.unique(items)) == len(items)
        assert_array_equal(items[epoch.place[pairs]], index[epoch.order[pairs]])
        # Numbered by first appearance, so the numbers of the items do not matter.
        assert_array_equal(np.unique(epoch.place[pairs]), np.arange(len(items)))
        flat = epoch.place[pairs].ravel()
        assert (flat <= np.maximum.accumulate(np.r_[-1, flat[:-1]]) + 1).all()
        seen += epoch.order[pairs].tolist()
    assert_array_equal(seen, order)


@given(epochs(), st.permutations(range(20)))
def test_renumbered_items_are_planned_the_same(problem, numbers):
    index, order, batch_size = problem
    ours = cut_into_batches(index, order, batch_size)
    theirs = cut_into_batches(np.array(numbers)[index], order, batch_size)
    assert_array_equal(ours.place, theirs.place)
    assert_array_equal(np.array(numbers)[ours.items], theirs.items)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 64),
    st.integers(0, 99),
)
def test_a_shuffle_keeps_clumps_together(sizes, batch_size, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(groups)
    order = shuffle(groups, batch_size, np.random.RandomState(seed))
    assert_array_equal(np.sort(order), np.arange(len(groups)))
    largest = max(1, batch_size // CLUMPS_A_BATCH)
    runs = 1 + np.count_nonzero(np.diff(groups[order]))
    assert runs <= sum(-(-size // largest) for size in sizes)


def test_a_large_group_is_dealt_to_many_batches():
    groups = np.repeat([0, 1], [900, 100])
    order = shuffle(groups, 80, np.random.RandomState(0))
    with_small_group = [
        1 in groups[order[start : start + 80]] for start in range(0, 1000, 80)
    ]
    # Ten clumps of the small group would fill less than two batches.
    assert sum(with_small_group) > 4


def test_pairs_without_anything_in_common_are_in_random_order():
    orders = [shuffle(np.arange(1000), 64, np.random.RandomState(s)) for s in (0, 1)]
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1
    assert not np.array_equal(*orders)


def test_a_prompt_costs_its_responses_not_its_pairs():
    rng = np.random.default_rng(0)
    prompt = rng.integers(50, size=4000)
    index = (
        10 * prompt[:, np.newaxis]
        + rng.permuted(np.tile(np.arange(10), (4000, 1)), axis=1)[:, :2]
    )
    prompt_ids = np.repeat(np.arange(50), 10)
    groups = sharing_groups(index, prompt_ids)
    clumped = cut_into_batches(
        index, shuffle(groups, 1000, np.random.RandomState(0)), 1000
    )
    scattered = cut_into_batches(index, rng.permutation(4000), 1000)
    assert len(clumped.items) < 0.4 * len(scattered.items)
    assert len(clumped.items) < 0.1 * index.size


@pytest.mark.parametrize("knows_prompts", [True, False])
def test_sharing_groups_do_not_depend_on_how_pairs_are_written(knows_prompts):
    rng = np.random.default_rng(0)
    index = np.column_stack([rng.integers(0, 30, 200), rng.integers(30, 60, 200)])
    prompt_ids = rng.integers(8, size=60) if knows_prompts else None
    y = rng.integers(2, size=200)
    groups = sharing_groups(chosen_first(index, y), prompt_ids)
    turned = sharing_groups(chosen_first(index[:, ::-1], 1 - y), prompt_ids)
    assert_array_equal(turned, groups)
    numbers = rng.permutation(60)
    renumbered_ids = None
    if knows_prompts:
        renumbered_ids = np.empty_like(prompt_ids)
        renumbered_ids[numbers] = prompt_ids
    renumbered = sharing_groups(chosen_first(numbers[index], y), renumbered_ids)
    assert_array_equal(renumbered, groups)
