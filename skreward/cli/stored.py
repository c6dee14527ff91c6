"""Folders of embeddings in place of texts: read as pairs, and as rows for a model."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skreward.cli.arrays import ArrayItems, Arrays, is_arrays, read_arrays
from skreward.cli.columns import FORMS
from skreward.cli.features import (
    EMBEDDING,
    STATISTICS,
    make_features,
)
from skreward.cli.preferences import Preferences, Texts, pairs_of_ratings, read_data
from skreward.cli.printing import count, listed, warn
from skreward.cli.table import DataError, Table
from skreward.data.shards import EmbeddingFolder, FolderError, is_folder, open_folder
from skreward.models.itemwise import ItemwiseTransformer
from skreward.text.embedding_job import about_encoder, difference, encoder_of
from skreward.text.items import TextItems, TextPairs
from skreward.text.statistics import TextStatisticsTransformer
from skreward.text.transformer import LLMEmbeddingTransformer

WHERE = "with a folder of embeddings"


class StoredItems:
    """Items of a folder, as `TextItems` are those of texts.

    ``rows`` says which items of the folder these are.
    """

    def __init__(self, folder: EmbeddingFolder, rows: np.ndarray):
        self.folder, self.rows = folder, rows
        self.prompt_ids = folder.prompt_ids[rows]
        self.lengths = folder.lengths[rows]

    def __len__(self):
        return len(self.rows)

    def encoder(self) -> LLMEmbeddingTransformer:
        """Make the transformer that embedded them."""
        about = self.folder.about
        try:
            return encoder_of(about["encoder"], about["n_features"])
        except ValueError as error:
            raise DataError(self.folder.path, None, str(error)) from None

    def features(self, parts):
        """Make what turns texts into rows like those of `rows_by`; it is fitted."""
        embed = self.encoder()
        embed.show_progress = "lines"
        features = make_features(embed, parts)
        if isinstance(features, ItemwiseTransformer):
            fitted = make_features(embed, parts).transformer
            features.transformer_ = fitted
        return features

    def rows_by(self, features) -> np.ndarray:
        """Give the rows that a fitted transformer would make of the texts.

        Raises
        ------
        DataError
            Where it would make others; where the folder holds numbers that are not
            finite.
        """
        parts = [
            self._embeddings(part)
            if isinstance(part, LLMEmbeddingTransformer)
            else self._statistics(part)
            for part in self._parts(features)
        ]
        width = sum(part.shape[1] for part in parts)
        out = np.empty((len(self), width), dtype=np.float32)
        step = self.folder.about["shard_rows"]
        for start in range(0, len(self), step):
            rows = self.rows[start : start + step]
            at = 0
            for part in parts:
                columns = slice(at, at + part.shape[1])
                out[start : start + step, columns] = part[rows]
                at = columns.stop
            self._check_finite(out[start : start + step], rows)
        return out

    def _parts(self, features):
        union = getattr(features, "transformer_", None)
        if union is None:
            return [features]
        named = dict(union.transformer_list)
        if list(named) != [EMBEDDING, STATISTICS] or union.transformer_weights:
            raise self._error("the model puts other features beside the embedding")
        return list(named.values())

    def _embeddings(self, embed):
        about = self.folder.about
        own, other = about_encoder(self.encoder()), about_encoder(embed)
        found = difference(own, other)
        if found is not None:
            name, here, wanted = (str(value)[:60] for value in found)
            raise self._error(
                f"its embeddings are not the model's: {name} {here!r}, and the model "
                f"was fitted with {wanted!r}"
            )
        if embed.n_features_out_ != about["n_features"]:
            raise self._error(
                f"holds {about['n_features']} features, and the model's encoder gives "
                f"{embed.n_features_out_}"
            )
        if own["dtype_"] != other["dtype_"]:
            warn(
                f"{self.folder.path}: was computed in {own['dtype_']}, and the model "
                f"was fitted in {other['dtype_']}: rewards differ a little"
            )
        return self.folder.embeddings

    def _statistics(self, statistics):
        if not isinstance(statistics, TextStatisticsTransformer):
            kind = type(statistics).__name__
            raise self._error(f"the model embeds by {kind}, the folder does not")
        names = statistics.get_feature_names_out().tolist()
        if names != self.folder.about["statistics"]:
            raise self._error(
                "its text statistics are not the model's, of another version of "
                "skreward maybe: run skreward embed again, into another folder"
            )
        return self.folder.statistics

    def _check_finite(self, out, rows):
        is_finite = np.isfinite(out).all(axis=1)
        if not is_finite.all():
            k = int(rows[is_finite.argmin()])
            shard = k // self.folder.about["shard_rows"]
            raise self._error(f"item {k}, in shard {shard:05d}, is not finite")

    def _error(self, problem):
        return DataError(self.folder.path, None, problem)


def read_pairs(path: Path, *, seed: int = 0, **reading) -> Preferences:
    """Read pairs and preferences out of a folder of embeddings, or of a table."""
    if not is_stored(path):
        return read_data(path, seed=seed, **reading)
    folder = opened(path)
    if folder.is_pairs:
        return _pairs(folder)
    if folder.labels is None:
        raise DataError(
            path,
            None,
            "its rows are single responses without a rating (--label of embed, or an "
            "array ratings)",
        )
    ratings = folder.labels
    items = _items(folder, folder.rows)
    texts = texts_of(folder, folder.lines)
    index, y = pairs_of_ratings(path, "label", ratings, items.prompt_ids, seed)
    return Preferences(items, index, y, texts, ratings, layout="ratings")


def _pairs(folder):
    """Give the pairs of two texts, over the items that occur in them."""
    if folder.labels is None and folder.about["data"]["form"] != ["chosen", "rejected"]:
        raise DataError(
            folder.path,
            None,
            "its pairs have no label; embed them with --label, or a column label",
        )
    kept = folder.rows[:, 0] != folder.rows[:, 1]
    equal = folder.lines[~kept].tolist()
    said = f"{count(len(equal), 'pair')} of equal texts ({listed(equal)})"
    if not kept.any():
        raise DataError(folder.path, None, f"there is nothing but {said}")
    if equal:
        warn(f"{folder.path}: {said} left out: they say nothing of a reward")
    used, index = np.unique(folder.rows[kept], return_inverse=True)
    y = None if folder.labels is None else folder.labels[kept]
    if y is not None and ((y < 0) | (y > 1)).any():
        raise DataError(folder.path, None, "a label of a pair is not within 0 and 1")
    texts = texts_of(folder, folder.lines[kept])
    items = _items(folder, used)
    layout = str(folder.about["data"].get("layout", ""))
    return Preferences(items, index.reshape(-1, 2), y, texts, None, equal, layout)


def is_stored(path: Path) -> bool:
    """Whether something holds embeddings, and no texts."""
    return is_arrays(path) or is_folder(path)


def _items(folder, rows):
    if isinstance(folder, Arrays):
        return ArrayItems(folder, rows)
    return StoredItems(folder, rows)


def opened(path: Path) -> EmbeddingFolder | Arrays:
    """Open a folder, or a file of arrays; DataError where it cannot be used."""
    if is_arrays(path):
        return read_arrays(path)
    try:
        folder = open_folder(path)
    except FolderError as error:
        problem = str(error).removeprefix(f"{path}: ")
        raise DataError(path, None, problem.removesuffix(".")) from None
    form = folder.about["data"].get("form")
    if form not in [list(known) for known in FORMS] or folder.is_pairs != (
        len(form) == 2
    ):
        raise DataError(path, None, "the manifest does not say what a row of data is")
    return folder


def texts_of(folder: EmbeddingFolder | Arrays, lines, read=None) -> Texts:
    """Give what stands for a table of texts: of every row, its place alone."""
    name, places = "row" if isinstance(folder, Arrays) else "line", lines.tolist()
    table = Table.of_columns(folder.path, {name: places}, places)
    n_skipped = folder.about["data"].get("n_skipped_rows", 0)
    form = tuple(folder.about["data"]["form"])
    return Texts(table, read, form, {}, n_skipped if type(n_skipped) is int else 0)


class StoredPairs(NamedTuple):
    """Items of a folder, and the two that each row of the data holds."""

    items: StoredItems | ArrayItems
    pairs: np.ndarray


def stored_texts(path: Path) -> Texts:
    """Give what a folder has in place of the rows of a table, to be scored."""
    folder = opened(path)
    if folder.is_pairs:
        used, index = np.unique(folder.rows, return_inverse=True)
        read = StoredPairs(_items(folder, used), index.reshape(-1, 2))
        return texts_of(folder, folder.lines, read)
    return texts_of(folder, folder.lines, _items(folder, folder.rows))


def items_of(texts: Texts) -> tuple[Any, np.ndarray | None]:
    """Give the items of texts, stored or not, and the pairs where rows are pairs."""
    read = texts.read
    if isinstance(read, TextPairs | StoredPairs):
        return read.items, read.pairs
    return read, None


def fitted_rows(items, embed, parts) -> tuple[Any, np.ndarray]:
    """Fit the features to items; give them, and the rows that they make."""
    if not isinstance(items, TextItems):
        features = items.features(parts)
        return features, items.rows_by(features)
    features = make_features(embed, parts)
    return features, features.fit_transform(items)


def rows_of(items, features) -> np.ndarray:
    """Give the rows that fitted features make of items."""
    if not isinstance(items, TextItems):
        return items.rows_by(features)
    return features.transform(items)
