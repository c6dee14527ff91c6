"""What the command learns from: the embedding of a text, and statistics of it."""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import StandardScaler

from skreward.models.itemwise import ItemwiseTransformer
from skreward.text.endpoint import EndpointEmbeddingTransformer
from skreward.text.statistics import TextStatisticsTransformer
from skreward.text.transformer import LLMEmbeddingTransformer

EMBEDDING, STATISTICS = "embedding", "statistics"


def make_features(embed, which="both"):
    """Put statistics of the texts beside their embedding, or leave it alone."""
    if which == EMBEDDING:
        return embed
    return ItemwiseTransformer(
        FeatureUnion([(EMBEDDING, embed), (STATISTICS, TextStatisticsTransformer())])
    )


def embedding_of(features) -> Any:
    """Find the fitted embedding in what a pipeline begins with, or raise."""
    union = getattr(features, "transformer_", None)
    if isinstance(union, FeatureUnion):
        features = dict(union.transformer_list).get(EMBEDDING)
    if not isinstance(features, LLMEmbeddingTransformer | EndpointEmbeddingTransformer):
        raise TypeError(f"{type(features).__name__} embeds no text")
    return features


def embedding_width(features) -> int:
    """Number of columns, the first ones, that are the embedding's."""
    return embedding_of(features).n_features_out_


def forget_machine(features):
    """Take out what belongs to this machine: folders and devices."""
    if isinstance(features, LLMEmbeddingTransformer):
        features.set_params(cache_dir=None, device="auto")
        return
    for union in (features.transformer, features.transformer_):
        union.set_params(embedding__cache_dir=None, embedding__device="auto")


def scaled(n_embedding, parts=(EMBEDDING, STATISTICS)) -> ItemwiseTransformer:
    """Standardise both parts, or one of them alone.

    The columns of the embedding weigh together as much as one statistic: each says
    little, and a penalty that lets hundreds of them in drowns the few that say much.
    ``n_embedding=None`` tells that all columns are the embedding's.
    """
    if n_embedding is None:
        # Exports write a scaler as a layer, and no choice of columns.
        return ItemwiseTransformer(StandardScaler())
    columns = {
        EMBEDDING: slice(0, n_embedding),
        STATISTICS: slice(n_embedding, None),
    }
    return ItemwiseTransformer(
        ColumnTransformer(
            [(name, StandardScaler(), columns[name]) for name in parts],
            transformer_weights={EMBEDDING: n_embedding**-0.5},
        )
    )
