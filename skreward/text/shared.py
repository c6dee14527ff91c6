"""Keys and values of prefixes, computed once for all the texts that begin with them."""

import inspect
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from weakref import WeakKeyDictionary

import numpy as np

from skreward.text.cascade import OwnLayer, Run, Unsuited, cascaded
from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch
    from torch.nn.utils.rnn import pad_sequence
with wanted_by("LLMEmbeddingTransformer", "transformers"):
    from transformers.cache_utils import DynamicCache, DynamicLayer

# Attention whose keys and values are all that later tokens see of earlier ones.
PLAIN_ATTENTION = {"full_attention", "sliding_attention"}

_tried: WeakKeyDictionary = WeakKeyDictionary()


class PrefixStates:
    """Some prefixes after one pass: keys and values of every layer, summed states.

    Prefixes end where the rest of their texts begins: keys of shorter ones stand at
    the right, so that the distance of any two tokens of a text is that of their
    places, as sliding windows want it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    layer : int
        Whose states are read.
    ids : sequence of arrays of int
        Tokens of the prefixes.

    Attributes
    ----------
    length : tensor of int, shape (n_prefixes,)
    sums : tensor of float32, shape (n_prefixes, n_features)
        States of each prefix, added up.
    """

    def __init__(self, model, layer: int, ids: Sequence[np.ndarray]):
        self.model, self.layer = model, layer
        tokens, self.length = padded(ids)
        attended = mask(tokens, self.length).to(model.device)
        # Without a configuration no layer drops what has left its window: a shorter
        # prefix of the pass may still need it.
        self.states, cache = run(
            model,
            layer,
            input_ids=tokens.to(model.device),
            attention_mask=attended.long(),
            past_key_values=DynamicCache(),
            use_cache=True,
        )
        self.sums = (self.states.float() * attended[:, :, None]).sum(1)
        width = tokens.shape[1]
        place = (torch.arange(width) - (width - self.length[:, None])) % width
        place = place[:, None, :, None].to(model.device)
        self.keys_values = [
            tuple(
                tensor.gather(2, place.expand(-1, tensor.shape[1], -1, tensor.shape[3]))
                for tensor in (layer.keys, layer.values)
            )
            for layer in cache.layers
        ]

    def states_after(self, ids: Sequence[np.ndarray], owners: Sequence[int]):
        """Give the states of what follows the prefixes ``owners``, and its lengths."""
        device = self.model.device
        owner = torch.tensor(owners)
        before = self.length[owner]
        tokens, length = padded(ids)
        width = int(before.max())
        attended = torch.cat(
            [torch.arange(width) >= width - before[:, None], mask(tokens, length)], 1
        )
        inputs = {}
        if "position_ids" in inspect.signature(self.model.forward).parameters:
            # Padding beyond the last position that a model knows has none of its own.
            step = torch.minimum(torch.arange(tokens.shape[1]), length[:, None] - 1)
            inputs["position_ids"] = (before[:, None] + step).to(device)
        cache = DynamicCache()
        cache.layers = [
            _PrefixLayer(keys, values, owner.to(device), width)
            for keys, values in self.keys_values
        ]
        states, _ = run(
            self.model,
            self.layer,
            input_ids=tokens.to(device),
            attention_mask=attended.long().to(device),
            past_key_values=cache,
            use_cache=True,
            **inputs,
        )
        return states, length


class CascadedStates(PrefixStates):
    """Prefixes that are attended to where they are, by all their texts at once.

    Texts beyond the window of a layer have the keys copied even so.
    """

    def states_after(self, ids: Sequence[np.ndarray], owners: Sequence[int]):
        """Give the states of what follows the prefixes ``owners``, and its lengths."""
        try:
            return self.cascaded_after(ids, owners)
        except Unsuited:
            return super().states_after(ids, owners)

    def cascaded_after(self, ids: Sequence[np.ndarray], owners: Sequence[int]):
        """Give the same without copies; best where texts of a prefix stand together."""
        length = [len(row) for row in ids]
        before = self.length[list(owners)].tolist()
        ends = [n + m for n, m in zip(before, length, strict=True)]
        if max(ends) > window(self.model.config.get_text_config()):
            raise Unsuited
        cache = DynamicCache()
        cache.layers = [OwnLayer(max(before), max(ends)) for _ in self.keys_values]
        places = [torch.arange(*span) for span in zip(before, ends, strict=True)]
        with cascaded(self.model):
            states, _ = run(
                self.model,
                self.layer,
                input_ids=torch.from_numpy(np.concatenate(ids))[None],
                position_ids=torch.cat(places)[None],
                past_key_values=cache,
                use_cache=True,
                runs=list(self._runs(length, owners)),
            )
        states = pad_sequence(states[0].split(length), batch_first=True)
        return states, torch.tensor(length)

    def _runs(self, length, owners):
        end = 0
        for owner, some in groupby(zip(owners, length, strict=True), itemgetter(0)):
            texts = []
            for _, n in some:
                texts.append(slice(end, end + n))
                end += n
            n_before = int(self.length[owner])
            yield Run(
                [
                    (keys[owner, :, -n_before:], values[owner, :, -n_before:])
                    for keys, values in self.keys_values
                ],
                texts,
            )


class _PrefixLayer(DynamicLayer):
    """Keys and values of prefixes, put before those of a pass and not kept with them.

    They are copied for the rows of a pass while its layer runs, so that the copies of
    one layer are in memory at a time.
    """

    def __init__(self, keys, values, owner, width):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = self.prefix = keys, values
        self.owner, self.width = owner, width

    def get_seq_length(self, *args) -> int:
        """Count the tokens before those of a pass."""
        return self.width

    def update(self, key_states, value_states, *args, **kwargs):
        """Give keys and values of the whole texts."""
        return tuple(
            torch.cat([prefix[:, :, -self.width :][self.owner], new], dim=2)
            for prefix, new in zip(self.prefix, (key_states, value_states), strict=True)
        )


def run(model, layer: int, **inputs):
    """Give the states of a layer, and the cache, of one pass through a model."""
    out = model(**inputs, output_hidden_states=layer != -1)
    states = out.last_hidden_state if layer == -1 else out.hidden_states[layer]
    return states, getattr(out, "past_key_values", None)


def longest_shared(config) -> float:
    """Count the tokens of the longest text that may be computed in two parts.

    "longrope" takes other frequencies for all tokens of a text that is longer than
    the model was first trained for.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    each = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    bounds = [
        one["original_max_position_embeddings"]
        for one in each
        if one.get("rope_type") == "longrope"
    ]
    return min(bounds, default=np.inf)


def window(config) -> float:
    """Count the tokens that every layer sees of those before it, and itself."""
    return getattr(config, "sliding_window", None) or np.inf


def can_share(model, ids: np.ndarray) -> bool:
    """Whether a model gives the same states in two parts as in one; tried once.

    Recurrent models, encoders that look ahead, caches of another form: what a model
    does is seen more surely in its states than read from its configuration.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    ids : array of int
        Tokens of a text, of which twelve are taken; those of a shorter one again.
    """
    if model not in _tried:
        _tried[model] = _way_to_share(model, ids)
    return _tried[model] is not None


def prefix_states(model, layer: int, ids: Sequence[np.ndarray]) -> PrefixStates:
    """Compute prefixes as suits a model that `can_share`."""
    return _tried[model](model, layer, ids)


def _way_to_share(model, ids):
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    takes = inspect.signature(model.forward).parameters
    if not set(kinds or ()) <= PLAIN_ATTENTION or "past_key_values" not in takes:
        return None
    is_cascaded = _is_same(model, ids, CascadedStates.cascaded_after)
    if is_cascaded and window(config) == np.inf:
        return CascadedStates
    if not _is_same(model, ids, PrefixStates.states_after):
        return None
    return CascadedStates if is_cascaded else PrefixStates


def _is_same(model, ids, states_after):
    ids = np.resize(ids, 12)
    texts, parts = [ids, ids[1:9]], [7, 3]
    tokens, length = padded(texts)
    inputs = {"input_ids": tokens, "attention_mask": mask(tokens, length).long()}
    whole, _ = run(model, -1, **{k: v.to(model.device) for k, v in inputs.items()})
    rest = [text[n:] for text, n in zip(texts, parts, strict=True)]
    try:
        first = CascadedStates(
            model, -1, [text[:n] for text, n in zip(texts, parts, strict=True)]
        )
        after, _ = states_after(first, rest, [0, 1])
    except Exception:  # whatever a model of unknown code says of a cache it cannot use
        return False
    return all(
        _near(torch.cat([first.states[k, :n], after[k, : len(rest[k])]]), whole[k])
        for k, n in enumerate(parts)
    )


def _near(states, wanted):
    """Whether states agree as far as their numbers allow."""
    tolerance = 1e-3 if wanted.dtype == torch.float32 else 0.1
    wanted = wanted[: len(states)].float()
    gap = (states.float() - wanted).norm(dim=1)
    return bool((gap <= tolerance * wanted.norm(dim=1)).all())


def padded(ids: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Put texts into rows, with zeros at the right; also give their lengths."""
    length = torch.tensor([len(row) for row in ids])
    tokens = torch.zeros(len(ids), int(length.max()), dtype=torch.long)
    for k, row in enumerate(ids):
        tokens[k, : len(row)] = torch.from_numpy(np.asarray(row, dtype=np.int64))
    return tokens, length


def mask(tokens, length) -> torch.Tensor:
    """Mask what is no padding."""
    return torch.arange(tokens.shape[1]) < length[:, None]
