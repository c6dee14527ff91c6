"""What a model is: its steps, its encoder, what it was trained on, versions."""

import inspect
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from skreward._version import __version__
from skreward.data.leaks import MAX_KEPT, known_prompts
from skreward.models.itemwise import ItemwiseTransformer
from skreward.text.endpoint import EndpointEmbeddingTransformer
from skreward.text.transformer import LLMEmbeddingTransformer

ENCODERS = (LLMEmbeddingTransformer, EndpointEmbeddingTransformer)
# Of the machine, and no part of what a model is; folders are nobody's business.
OF_THE_MACHINE = {"cache_dir", "device", "n_jobs", "verbose", "show_progress"}
OF_THE_MACHINE |= {"batch_size", "n_connections", "memory", "trust_remote_code"}
OF_THE_MACHINE |= {"url", "api_key_variable", "timeout", "max_retries"}
LIBRARIES = ("scikit-learn", "numpy", "torch", "sentence-transformers")
LONGEST = 120


@dataclass(frozen=True)
class Step:
    """One estimator in a model, and its parameters that are not the defaults."""

    depth: int
    name: str
    kind: str
    settings: dict[str, str]


@dataclass(frozen=True)
class About:
    """What a model is.

    Attributes
    ----------
    name : str
        As given.
    steps : tuple of Step
        The estimators in it, from the outside in.
    encoder : dict
        Facts of the model of texts, by name; empty where there is none.
    training : dict
        What is known of the training data.
    versions : dict
        Of the libraries here, by name.
    file : dict
        Of the file that it was read from: bytes, SHA-256.
    """

    name: str
    steps: tuple[Step, ...]
    encoder: dict[str, str]
    training: dict[str, str]
    versions: dict[str, str]
    file: dict[str, str] = field(default_factory=dict)


def describe(model: Any, name: str, file: dict[str, str] | None = None) -> About:
    """Describe a fitted model."""
    encoder = find_encoder(model)
    return About(
        name,
        tuple(_steps(model)),
        {} if encoder is None else _about_encoder(encoder),
        _about_training(model),
        _versions(),
        file or {},
    )


def find_encoder(model: Any) -> Any:
    """Give the fitted transformer that embeds texts, wherever it stands, or None."""
    return next((m for _, _, m in _walk(model) if isinstance(m, ENCODERS)), None)


def public_name(value: Any) -> str:
    """Name a model without the folder that it lies in on this machine."""
    text = str(value)
    is_path = text.startswith((".", "~", "/", "\\")) or text[1:3] in (":\\", ":/")
    return text.rstrip("/\\").replace("\\", "/").rpartition("/")[2] if is_path else text


def _walk(model, name="", depth=0):
    """Give depth, name and estimator of a model and of everything in it."""
    if not isinstance(model, BaseEstimator):
        return
    yield depth, name, model
    for inner_name, inner in _inside(model):
        yield from _walk(inner, inner_name, depth + 1)


def _inside(model):
    if isinstance(model, Pipeline):
        return model.steps
    if isinstance(model, FeatureUnion):
        return model.transformer_list
    if isinstance(model, ColumnTransformer):
        fitted = getattr(model, "transformers_", model.transformers)
        return [(name, inner) for name, inner, _ in fitted]
    if isinstance(model, ItemwiseTransformer):
        return [("", getattr(model, "transformer_", model.transformer))]
    members = getattr(model, "estimators_", None)
    if isinstance(members, list) and members:
        return [(f"one of {len(members)}", members[0])]
    for attribute in ("best_estimator_", "estimator_"):
        if hasattr(model, attribute):
            return [("", getattr(model, attribute))]
    return []


def _steps(model):
    for depth, name, inner in _walk(model):
        yield Step(depth, name, type(inner).__name__, _settings(inner))


def _settings(model):
    """Give the parameters that are neither the default nor another estimator."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(model)).parameters.items()
    }
    settings = {}
    for name, value in model.get_params(deep=False).items():
        if name in OF_THE_MACHINE or _holds_estimators(value):
            continue
        if repr(value) != repr(defaults.get(name, inspect.Parameter.empty)):
            shown = repr(public_name(value) if name == "model" else value)
            settings[name] = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
    return settings


def _holds_estimators(value):
    if isinstance(value, list | tuple):
        return any(map(_holds_estimators, value))
    return isinstance(value, BaseEstimator)


def _about_encoder(encoder):
    facts = {"model": public_name(encoder.model_name_)}
    for label, attribute in (
        ("revision", "revision_"),
        ("digest", "model_digest_"),
        ("numbers", "dtype_"),
        ("width", "n_features_out_"),
    ):
        value = getattr(encoder, attribute, None)
        if value is not None:
            facts[label] = str(value)
    for name in ("pooling", "layer", "template", "max_length", "truncation_side"):
        if hasattr(encoder, name):
            value = getattr(encoder, name)
            facts[name.replace("_", " ")] = "its own" if value is None else str(value)
    made_by = getattr(encoder, "versions_", {})
    if made_by:
        listed = ", ".join(f"{name} {number}" for name, number in made_by.items())
        facts["made with"] = listed
    return facts


def _about_training(model):
    known = known_prompts(model)
    facts = {}
    if known is not None:
        n = len(known["hashes"])
        facts["pairs"] = str(known["n_pairs"])
        facts["prompts"] = f"{n} or more" if n >= MAX_KEPT else str(n)
    for _, _, inner in _walk(model):
        if hasattr(inner, "alpha_"):
            facts["penalty chosen"] = f"{inner.alpha_:.3g}"
        if hasattr(inner, "temperature_"):
            facts["temperature"] = f"{inner.temperature_:.3g}"
        if hasattr(inner, "best_iter_"):
            facts["epochs kept"] = f"{inner.best_iter_} of {inner.n_iter_}"
    return facts


def _versions():
    found = {"skreward": __version__, "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
