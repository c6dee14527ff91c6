"""The paper's own training, as it is, with a switch for each of its peculiarities."""

import copy

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

HIDDEN = (1024, 512)
# Of the study's networks: a sixth of the time, and they order as well.
NARROW = (256, 128)
BATCH = 10_240
MAX_EPOCHS = 30
MAX_EPOCHS_TO_BEST = 200
PATIENCE = 3
LEARNING_RATE = 1e-3
VALIDATION = 0.2


class PaperRewardModel(BaseEstimator):
    """The Siamese or the pointwise network, trained as the released code does.

    Every pair becomes two rows: the pair and its mirror image for ``objective=
    "bt"``, the winner and the loser for ``"clf"``. A fifth of the rows validates.
    Adam takes one step a batch; the batches of an epoch are drawn independently of
    each other. Training stops when the validation loss exceeds all of the previous
    three, and keeps the last weights, not the best.

    Parameters
    ----------
    objective : {"bt", "clf"}
        Which of the paper's two networks.
    validation_split : {"row", "pair", "prompt"}
        "row" is the released code: a pair may train and its mirror image validate,
        which for "bt" is the same loss. "pair" keeps both rows of a pair together;
        "prompt" keeps all pairs of a prompt together (a pair across prompts goes by
        its first prompt, and is dropped if its second is on the other side).
    random_state : int
        Seed of weights, split and batches.
    keeps_best : bool
        Stop once the validation loss has not improved for three epochs, 200 at most,
        and restore the weights that were best.
    scales : bool
        Centre and scale the items by those in the pairs.
    hidden : tuple of int
        Widths of the two hidden layers.
    """

    def __init__(
        self,
        objective,
        validation_split,
        random_state=0,
        *,
        keeps_best=False,
        scales=False,
        hidden=HIDDEN,
    ):
        self.objective = objective
        self.validation_split = validation_split
        self.random_state = random_state
        self.keeps_best = keeps_best
        self.scales = scales
        self.hidden = hidden

    @classmethod
    def of_recipe(cls, objective, recipe, random_state):
        """Build the model that a recipe names, such as "paper-row+scaled"."""
        split, *changes = recipe.removeprefix("paper-").split("+")
        return cls(
            objective,
            split,
            random_state,
            keeps_best="best" in changes,
            scales="scaled" in changes,
            hidden=HIDDEN if "wide" in changes else NARROW,
        )

    def fit(self, X, y):
        """Train on `EmbeddingPairs` with labels 0 and 1."""
        X = X.compact()
        rng = np.random.default_rng(self.random_state)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        items = np.asarray(X.embeddings, dtype=np.float32)
        self.shift_, self.scale_ = np.float32(0), np.float32(1)
        if self.scales:
            self.shift_, scale = items.mean(axis=0), items.std(axis=0)
            # A constant feature keeps its unit: some encoders have one.
            self.scale_ = np.where(scale > 0, scale, np.float32(1))
        items = torch.from_numpy((items - self.shift_) / self.scale_)
        rows, labels = self._rows(X.index, np.asarray(y))
        training, validating = self._split(X, len(rows) // 2, rng)
        self.network_ = _network(items.shape[1], self.hidden, generator)
        self._train(items, rows, labels, training, validating, generator)
        return self

    def predict(self, X):
        """Give the rewards of items."""
        with torch.no_grad():
            items = (np.asarray(X, dtype=np.float32) - self.shift_) / self.scale_
            items = torch.from_numpy(items)
            return self.network_(items).squeeze(1).numpy().astype(np.float64)

    def _rows(self, index, y):
        """Give rows of items and their labels; rows k and n + k belong together."""
        winner = np.where(y == 1, index[:, 0], index[:, 1])
        loser = np.where(y == 1, index[:, 1], index[:, 0])
        if self.objective == "bt":
            rows = np.vstack([np.c_[winner, loser], np.c_[loser, winner]])
        else:
            rows = np.concatenate([winner, loser])[:, np.newaxis]
        labels = np.repeat([1.0, 0.0], len(index)).astype(np.float32)
        return torch.from_numpy(rows), torch.from_numpy(labels)

    def _split(self, X, n_pairs, rng):
        if self.validation_split == "row":
            order = rng.permutation(2 * n_pairs)
            n_validating = int(VALIDATION * 2 * n_pairs)
            return order[n_validating:], order[:n_validating]
        if self.validation_split == "pair":
            # A pair that was asked several times stays together too.
            distinct, which = np.unique(
                np.sort(X.index, axis=1), axis=0, return_inverse=True
            )
            held_out = rng.permutation(len(distinct)) < VALIDATION * len(distinct)
            validates = held_out[which.ravel()]
            trains = ~validates
        else:
            prompts, first = np.unique(X.pair_prompt_ids, return_inverse=True)
            held_out = rng.permutation(len(prompts)) < VALIDATION * len(prompts)
            side = held_out[first.reshape(-1, 2)]
            validates, trains = side.all(axis=1), ~side.any(axis=1)
        return tuple(
            np.concatenate([pairs, pairs + n_pairs])
            for pairs in (np.flatnonzero(trains), np.flatnonzero(validates))
        )

    def _loss(self, items, rows, labels):
        output = self._output(items, rows)
        logit = output[:, 0] - output[:, 1] if self.objective == "bt" else output[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(logit, labels)

    def _output(self, items, rows):
        """Compute every item once; the released code does so once a row."""
        used, inverse = torch.unique(rows, return_inverse=True)
        return self.network_(items[used]).squeeze(1)[inverse]

    def _train(self, items, rows, labels, training, validating, generator):
        optimiser = torch.optim.Adam(self.network_.parameters(), lr=LEARNING_RATE)
        losses, best = [], None
        for _ in range(MAX_EPOCHS_TO_BEST if self.keeps_best else MAX_EPOCHS):
            for _ in range(-(-len(training) // BATCH)):
                order = torch.randperm(len(training), generator=generator)[:BATCH]
                batch = training[order.numpy()]
                optimiser.zero_grad()
                self._loss(items, rows[batch], labels[batch]).backward()
                optimiser.step()
            with torch.no_grad():
                loss = float(self._loss(items, rows[validating], labels[validating]))
            losses.append(loss)
            if self.keeps_best and loss == min(losses):
                best = copy.deepcopy(self.network_.state_dict())
            if self._is_over(losses):
                break
        if best is not None:
            self.network_.load_state_dict(best)
        self.n_epochs_ = len(losses)

    def _is_over(self, losses):
        if self.keeps_best:
            return len(losses) - 1 - np.argmin(losses) >= PATIENCE
        return len(losses) > PATIENCE and losses[-1] > max(losses[-1 - PATIENCE : -1])


class AsPublished(PaperRewardModel):
    """The same training at the released code's speed."""

    def _output(self, items, rows):
        return self.network_(items[rows.reshape(-1)]).view(rows.shape)


def _network(n_features, hidden, generator):
    """Build the network with torch's default initialisation, seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        widths = (n_features, *hidden)
        layers = []
        for n_in, n_out in zip(widths, hidden, strict=False):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(hidden[-1], 1))
