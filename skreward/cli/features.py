"""What the command learns from: the embedding of a text, and statistics of it."""

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import StandardScaler

from skreward.cli.arrays import ROWS
from skreward.models.itemwise import ItemwiseTransformer
from skreward.text.endpoint import EndpointEmbeddingTransformer
from skreward.text.statistics import TextStatisticsTransformer
from skreward.text.transformer import LLMEmbeddingTransformer

EMBEDDING, STATISTICS = "embedding", "statistics"


def make_features(embed, parts=(EMBEDDING, STATISTICS)):
    """Put statistics of the texts beside their embedding, or leave either alone."""
    if parts == (EMBEDDING,):
        return embed
    if parts == (STATISTICS,):
        return TextStatisticsTransformer()
    return ItemwiseTransformer(
        FeatureUnion([(EMBEDDING, embed), (STATISTICS, TextStatisticsTransformer())])
    )


def embedding_of(features) -> Any:
    """Find the fitted embedding in what a pipeline begins with.

    None where that is statistics alone; TypeError where it is neither.
    """
    union = getattr(features, "transformer_", None)
    if isinstance(union, FeatureUnion):
        features = dict(union.transformer_list).get(EMBEDDING)
    if isinstance(features, TextStatisticsTransformer):
        return None
    if not isinstance(features, LLMEmbeddingTransformer | EndpointEmbeddingTransformer):
        raise TypeError(f"{type(features).__name__} embeds no text")
    return features


def embedding_width(features) -> int:
    """Number of columns, the first ones, that are a text's embedding.

    0 where there is none, or rows that are not known to be of texts.
    """
    if features == ROWS:
        return 0
    embed = embedding_of(features)
    return 0 if embed is None else embed.n_features_out_


# What belongs to this machine, and what it is on any other.
ANYWHERE = {"cache_dir": None, "device": "auto", "show_progress": "auto"}


def set_everywhere(model, **params) -> None:
    """Set parameters wherever an estimator has them, fitted ones within too."""
    if isinstance(model, BaseEstimator):
        own = model.get_params(deep=False)
        for name in own.keys() & params.keys():
            setattr(model, name, params[name])
        model = list(vars(model).values())
    elif isinstance(model, dict):
        model = list(model.values())
    if isinstance(model, list | tuple):
        for part in model:
            set_everywhere(part, **params)


def scaled(n_embedding, parts=(EMBEDDING, STATISTICS)) -> ItemwiseTransformer:
    """Standardise both parts, or one of them alone.

    The columns of the embedding weigh together as much as one statistic: each says
    little, and a penalty that lets hundreds of them in drowns the few that say much.
    ``n_embedding=None`` tells that all columns are the embedding's, 0 that none is.
    """
    if not n_embedding:
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
