"""Language models as functions of texts: sentence encoders and hidden states."""

import inspect
import math
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from skreward.text.cache import Cut
from skreward.text.packed import encode_packed, is_packing
from skreward.text.plan import Plan
from skreward.text.prefixes import Group, blocks, rows_that_fit, shared_prefixes
from skreward.text.shared import (
    PrefixStates,
    can_share,
    longest_shared,
    mask,
    padded,
    prefix_states,
    run,
)
from skreward.text.truncation import Tokenizer, cut_string, kept_spans
from skreward.utils.optional import wanted_by

with wanted_by("LLMEmbeddingTransformer", "torch"):
    import torch

# On a CPU a pass over more tokens than this leaves its caches and allocates anew
# every time; it is then slower per token.
CPU_TOKENS = 2048
CHARACTERS_A_TOKEN = 4
# On a device a pass has as many texts as it may, and prefixes so many tokens.
DEVICE_TOKENS = 16384
# Texts among which common prefixes are looked for at once, and their characters.
WINDOW_TEXTS, WINDOW_CHARACTERS = 4096, 1 << 24

# Held while a model is loaded or run.
LOCK = threading.RLock()


class Embedded(NamedTuple):
    """Rows of float32, and how each text was cut; None where it was not."""

    rows: np.ndarray
    cuts: list[Cut | None]


class Encoder:
    """Rows for texts; one thread at a time holds ``LOCK``."""

    def __init__(self, model, tokenizer, plan: Plan, limit, own_length):
        self.model, self.plan, self.limit = model, plan, limit
        self.max_length = plan.max_length or own_length
        self.tokenizer = None if tokenizer is None else Tokenizer(tokenizer)
        if limit is not None and (plan.max_length or 0) > limit:
            raise ValueError(
                f"max_length={plan.max_length} is more than the {limit} tokens that "
                "the model can take."
            )
        if plan.max_length is not None and self._room() < 1:
            raise ValueError(
                f"max_length={plan.max_length} leaves no room for a text: the model "
                f"takes {plan.max_length - self._room()} special tokens with it."
            )

    def passes(
        self, texts: list[str], batch_size: int
    ) -> Iterator[tuple[list[str], Embedded]]:
        """Embed texts in the order that is fastest; give some after every pass."""
        raise NotImplementedError

    def is_cut(self, text: str) -> bool:
        """Whether a text is longer than what is read of it."""
        raise NotImplementedError

    def render_chat(self, messages) -> str | None:
        """Write messages in the model's chat format; None where it has none."""
        inner: Any = None if self.tokenizer is None else self.tokenizer.inner
        if not getattr(inner, "chat_template", None):
            return None
        return inner.apply_chat_template(messages, tokenize=False)

    def _cuts(self, was_cut) -> list[Cut | None]:
        cut = Cut(self.max_length or 0, self.limit or 0)
        return [cut if is_cut else None for is_cut in was_cut]

    def _room(self) -> float:
        """Count the tokens that a text may have."""
        if self.max_length is None:
            return math.inf
        around = self.tokenizer
        n_special = 0 if around is None else len(around.before) + len(around.after)
        return self.max_length - n_special


class SentenceEncoder(Encoder):
    """A SentenceTransformer, with the pooling it was trained with.

    It tokenizes texts itself. One that may be too long is tokenized here too, and
    its string cut, which costs a fiftieth of the embedding on a CPU.
    """

    def __init__(self, model, plan):
        body = getattr(model, "transformers_model", None)
        limit = getattr(getattr(body, "config", None), "max_position_embeddings", None)
        own = getattr(model, "max_seq_length", None)
        own = own if own is not None and own < math.inf else None
        tokenizer = getattr(model, "tokenizer", None)
        prompts = getattr(model, "prompts", None) or {}
        self.prompt = prompts.get(getattr(model, "default_prompt_name", None)) or ""
        self.is_packing = is_packing(model)
        super().__init__(model, tokenizer, plan, limit, own)

    def passes(
        self, texts: list[str], batch_size: int
    ) -> Iterator[tuple[list[str], Embedded]]:
        """Embed texts, batch by batch."""
        for batch in self.batches(texts, batch_size):
            yield batch, self.encode(batch)

    def batches(self, texts: list[str], batch_size: int) -> Iterator[list[str]]:
        """Cut texts into batches of like length, the longest first."""
        texts = sorted(texts, key=len, reverse=True)
        start = 0
        while start < len(texts):
            batch = texts[start : start + batch_size]
            if self.plan.device == "cpu":
                batch = batch[: max(1, self._on_cpu(batch))]
            yield batch
            start += len(batch)

    def encode(self, texts: list[str]) -> Embedded:
        """Embed one batch."""
        strings, was_cut = zip(*map(self._shortened, texts), strict=True)
        model, was_training = self.model, self.model.training
        own_length = getattr(model, "max_seq_length", None)
        is_longer = self.plan.max_length is not None and own_length != math.inf
        try:
            if is_longer:
                model.max_seq_length = self.plan.max_length
            rows = self._rows(list(strings))
        finally:
            if is_longer:
                model.max_seq_length = own_length
            if was_training:  # going through all modules takes as long as a layer
                model.train()
        return Embedded(np.asarray(rows, dtype=np.float32), self._cuts(was_cut))

    def is_cut(self, text: str) -> bool:
        """Whether a text is longer than what is read of it."""
        return self._shortened(text)[1]

    def _rows(self, strings: list[str]) -> np.ndarray:
        if self.is_packing:
            rows = encode_packed(self.model, strings, self.prompt)
            if self.plan.normalize:
                rows = torch.nn.functional.normalize(rows, dim=1)
            return rows.numpy()
        return self.model.encode(
            strings,
            batch_size=len(strings),
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=self.plan.normalize,
        )

    def _on_cpu(self, texts) -> int:
        """Count the first of some texts, longest first, that go in one pass."""
        if self.is_packing:
            return int((np.cumsum([*map(self._about, texts)]) <= CPU_TOKENS).sum())
        return CPU_TOKENS // self._about(texts[0])

    def _about(self, text) -> int:
        """Guess the tokens of a text."""
        tokens = len(text) // CHARACTERS_A_TOKEN + 1
        return tokens if self.max_length is None else min(tokens, self.max_length)

    def _room(self):
        room = super()._room()
        if self.prompt and self.tokenizer is not None:
            room -= len(self.tokenizer.ids(self.prompt))
        return room

    def _shortened(self, text: str) -> tuple[str, bool]:
        """Cut one text, and say whether it had to be."""
        room = self._room()
        # A token is a byte at least.
        if self.tokenizer is None or len(text.encode()) <= room:
            return text, False
        offsets = self.tokenizer.offsets(text)
        if len(offsets) <= room:
            return text, False
        side = self.plan.truncation_side
        if side == "right" and self.tokenizer.cuts:
            return text, True
        return cut_string(text, offsets, int(room), side, self.tokenizer), True


class StateEncoder(Encoder):
    """Hidden states of one layer: at the last attended token, or their mean.

    Padding is ours and on the right, where causal attention never looks, so neither
    the tokenizer's padding side nor its pad token matters.
    """

    tokenizer: Tokenizer

    def __init__(self, model, tokenizer, plan):
        config = model.config.get_text_config()
        limits = [
            getattr(tokenizer, "model_max_length", None),
            getattr(config, "max_position_embeddings", None),
        ]
        known = [n for n in limits if isinstance(n, int) and 0 < n < 1 << 24]
        limit = min(known, default=None)
        super().__init__(model, tokenizer, plan, limit, limit)
        takes = inspect.signature(model.forward).parameters
        self.options = {"use_cache": False} if "use_cache" in takes else {}
        n_layers = config.num_hidden_layers
        if not -n_layers - 1 <= plan.layer <= n_layers:
            raise ValueError(
                f"layer={plan.layer} is not there: the model has layers 0 (its input) "
                f"to {n_layers}, or -{n_layers + 1} to -1 from the end."
            )

    def passes(
        self, texts: list[str], batch_size: int
    ) -> Iterator[tuple[list[str], Embedded]]:
        """Embed texts; what several begin with is computed once.

        The states of a token depend on the tokens before it alone, so those of a
        common beginning are the same in every text.
        """
        for window in _windows(sorted(texts)):
            ids, was_cut = zip(*map(self._token_ids, window), strict=True)
            cuts = self._cuts(was_cut)
            # Texts may be cut to the same tokens.
            alike: dict[bytes, list[int]] = {}
            for k, row in enumerate(ids):
                alike.setdefault(row.tobytes(), []).append(k)
            same = list(alike.values())
            for of, rows in self._computed([ids[k[0]] for k in same], batch_size):
                texts_of = [text for k in of for text in same[k]]
                counts = [len(same[k]) for k in of]
                yield (
                    [window[text] for text in texts_of],
                    Embedded(rows.repeat(counts, 0), [cuts[k] for k in texts_of]),
                )

    def _computed(self, ids, batch_size) -> Iterator[tuple[list[int], np.ndarray]]:
        """Give rows for token sequences that differ, by their numbers."""
        n_tokens = CPU_TOKENS if self.plan.device == "cpu" else DEVICE_TOKENS
        groups = self._groups(ids)
        lengths = [len(row) for row in ids]
        for block in blocks(groups, lengths, batch_size, n_tokens):
            prefixes = self._prefixes(block, ids)
            for members, owners in block.rests:
                starts = [block.groups[k].length for k in owners]
                rest = [ids[k][n:] for k, n in zip(members, starts, strict=True)]
                yield members, self._rows_after(prefixes, rest, owners)
        together = {k for group in groups for k in group.members}
        alone = sorted(set(range(len(ids))) - together, key=lambda k: -lengths[k])
        while alone:
            n = batch_size
            if self.plan.device == "cpu":
                n = rows_that_fit(lengths[alone[0]], batch_size, n_tokens)
            some, alone = alone[:n], alone[n:]
            yield some, self._rows([ids[k] for k in some])

    @torch.inference_mode()
    def _groups(self, ids) -> list[Group]:
        """Find what may be computed once, by a model that can."""
        at_most = longest_shared(self.model.config.get_text_config())
        short = [k for k, row in enumerate(ids) if len(row) <= at_most]
        groups = [
            group._replace(members=[short[k] for k in group.members])
            for group in shared_prefixes([ids[k] for k in short])
        ]
        if groups and not can_share(self.model, ids[groups[0].members[0]]):
            return []
        return groups

    @torch.inference_mode()
    def _prefixes(self, block, ids) -> PrefixStates:
        prefixes = [ids[group.members[0]][: group.length] for group in block.groups]
        return prefix_states(self.model, self.plan.layer, prefixes)

    @torch.inference_mode()
    def _rows_after(self, prefixes, ids, owners) -> np.ndarray:
        states, length = prefixes.states_after(ids, owners)
        return self._pooled(
            states, length, prefixes.sums[owners], prefixes.length[owners]
        )

    @torch.inference_mode()
    def _rows(self, ids) -> np.ndarray:
        tokens, length = padded(ids)
        device = self.model.device
        states, _ = run(
            self.model,
            self.plan.layer,
            input_ids=tokens.to(device),
            attention_mask=mask(tokens, length).long().to(device),
            **self.options,
        )
        return self._pooled(states, length)

    def _pooled(self, states, length, sums=0.0, before=0) -> np.ndarray:
        """Read rows from states; ``sums`` of the ``before`` tokens before them."""
        if self.plan.pooling == "last":
            rows = states[torch.arange(len(length)), length - 1].float()
        else:
            attended = mask(states, length)[:, :, None].to(states.device)
            total = (states.float() * attended).sum(1) + sums
            rows = total / (length + before)[:, None].to(states.device)
        if self.plan.normalize:
            rows = torch.nn.functional.normalize(rows, dim=1)
        return rows.cpu().numpy()

    def is_cut(self, text: str) -> bool:
        """Whether a text is longer than what is read of it."""
        return self._token_ids(text)[1]

    def _token_ids(self, text: str) -> tuple[np.ndarray, bool]:
        words = self.tokenizer
        ids = words.ids(text)
        before, after = words.before, words.after
        if words.begin is not None and text.startswith(words.begin):
            # A chat template writes the beginning itself; it is not put again.
            before, after, ids = ids[:1], [], ids[1:]
        room = (self.max_length or math.inf) - len(before) - len(after)
        is_cut = len(ids) > room
        if is_cut:
            spans = kept_spans(len(ids), int(room), self.plan.truncation_side)
            ids = [token for start, end in spans for token in ids[start:end]]
        return np.array([*before, *ids, *after] or [self._stand_in()]), is_cut

    def _stand_in(self) -> int:
        """Give the one token that stands for an empty text."""
        inner = self.tokenizer.inner
        known: tuple[Any, ...] = (
            inner.bos_token_id,
            inner.eos_token_id,
            inner.pad_token_id,
        )
        return next((token for token in known if token is not None), 0)


def _windows(texts: list[str]) -> Iterator[list[str]]:
    """Cut texts into parts that are small enough to be tokenized at once."""
    window: list[str] = []
    n_characters = 0
    for text in texts:
        window.append(text)
        n_characters += len(text)
        if len(window) == WINDOW_TEXTS or n_characters > WINDOW_CHARACTERS:
            yield window
            window, n_characters = [], 0
    if window:
        yield window
