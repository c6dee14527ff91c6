"""Which texts are computed together: groups of common prefixes and their passes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skreward.text.prefixes import (
    LEAST_SAVED,
    PASS_TOKENS,
    blocks,
    n_common,
    shared_prefixes,
)


def rows(*texts):
    return [np.array(text) for text in texts]


def under(prefix, n, length=10, first=1000):
    """Give ``n`` texts of a prefix, each followed by tokens of its own."""
    tail = np.arange(first, first + n * length).reshape(n, length)
    return [np.concatenate([prefix, some]) for some in tail]


def found(ids):
    return sorted((g.length, sorted(g.members)) for g in shared_prefixes(ids))


def test_responses_of_a_prompt_share_it():
    ids = under(np.arange(100), 5) + under(np.arange(50, 170), 3, first=2000)
    ids = [ids[k] for k in (7, 0, 6, 1, 5, 2, 3, 4)]
    assert found(ids) == [(100, [1, 3, 5, 6, 7]), (120, [0, 2, 4])]


def test_a_prompt_is_kept_where_all_prompts_begin_alike():
    system = np.arange(40)
    prompts = [np.r_[system, np.arange(k, k + 60)] for k in (100, 300, 500)]
    ids = [row for k in (0, 1) for row in under(prompts[k], 5, first=1000 * (k + 1))]
    ids += under(prompts[2], 1, first=9000) + under(system, 4, first=5000)
    # Texts that have no prompt in common with others share the beginning of all.
    assert found(ids) == [
        (40, [10, 11, 12, 13, 14]),
        (100, [0, 1, 2, 3, 4]),
        (100, [5, 6, 7, 8, 9]),
    ]


def test_few_common_tokens_are_left_alone():
    assert shared_prefixes(under(np.arange(10), 3)) == []
    assert shared_prefixes(under(np.arange(100), 1)) == []
    # A twentieth of every text.
    assert shared_prefixes(under(np.arange(50), 100, length=1000)) == []


def test_the_prefix_leaves_a_token_of_every_text():
    prompt = np.arange(100)
    ids = [prompt, *under(prompt, 4)]
    assert found(ids) == [(99, [0, 1, 2, 3, 4])]


def test_a_text_that_is_the_common_token_leaves_no_prefix():
    assert shared_prefixes(rows([1], *([1, k] for k in range(2, 60)))) == []


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_texts_to_share(n):
    assert shared_prefixes(rows([1, 2, 3])[:n]) == []


texts_of_few_tokens = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 80), st.integers(1, 12)),
    max_size=30,
)


@given(texts_of_few_tokens, st.integers(1, 8), st.integers(1, 400))
@settings(deadline=None)
def test_groups_and_passes_are_sound(drawn, batch_size, n_tokens):
    """Every text of a group is in one pass, after its own prefix."""
    made = {
        (*([prompt] * length), *range(100, 100 + rest))
        for prompt, length, rest in drawn
    }
    ids = rows(*sorted(made))
    groups = shared_prefixes(ids)
    together = [k for group in groups for k in group.members]
    assert len(together) == len(set(together))
    for length, members in groups:
        first = ids[members[0]]
        assert all(len(ids[k]) > length for k in members)
        assert all(n_common(ids[k], first) >= length for k in members)
    lengths = [len(row) for row in ids]
    seen = []
    for some, rests in blocks(groups, lengths, batch_size, n_tokens):
        longest = max(group.length for group in some)
        assert len(some) == 1 or len(some) * longest <= n_tokens
        for members, owners in rests:
            rest = [
                lengths[k] - some[owner].length
                for k, owner in zip(members, owners, strict=True)
            ]
            assert all(
                k in some[owner].members
                for k, owner in zip(members, owners, strict=True)
            )
            assert owners == sorted(owners)
            assert len(members) <= batch_size
            assert len(members) == 1 or len(members) * max(rest) <= n_tokens
            seen += members
    assert sorted(seen) == sorted(together)


@given(texts_of_few_tokens)
@settings(deadline=None)
def test_groups_save_what_they_cost(drawn):
    made = {
        (*([prompt] * length), *range(100, 100 + rest))
        for prompt, length, rest in drawn
    }
    ids = rows(*sorted(made))
    for length, members in shared_prefixes(ids):
        n_tokens = sum(len(ids[k]) for k in members)
        # One token less where a text is the prefix itself.
        saved = (length + 1) * len(members) - LEAST_SAVED * n_tokens
        assert saved > length + PASS_TOKENS
