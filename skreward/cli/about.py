"""What `info` does: say what a model file holds, read as any model is."""

from typing import Any

from sklearn.pipeline import Pipeline

from skreward import persistence
from skreward.cli.features import embedding_of
from skreward.cli.printing import count, say
from skreward.data.leaks import MAX_KEPT, known_prompts
from skreward.persistence.schema import check_file
from skreward.text.endpoint import EndpointEmbeddingTransformer


def info(path, *, trust, trust_remote_code, max_bytes) -> dict[str, Any]:
    """Print and report what a model file holds."""
    fitted = persistence.load(
        path, trust, trust_remote_code=trust_remote_code, max_bytes=max_bytes
    )
    with open(path, "rb") as file:
        types = check_file(file, frozenset(trust), trust_remote_code, max_bytes)
    report = {
        "model": str(path),
        "bytes": path.stat().st_size,
        "steps": list(_steps(fitted)),
        "embedding": _embedding(fitted),
        "trained_on": _trained_on(fitted),
        "fit": getattr(fitted, "fit_report_", None),
        "n_types": len(types),
        "trusted": sorted(set(types) & set(trust)),
    }
    _show(report)
    return report


def _steps(model):
    """Name the steps of a pipeline, and of pipelines within, with what they are."""
    if not isinstance(model, Pipeline):
        yield repr(model).replace("\n", " ")
        return
    for name, step in model.steps:
        if isinstance(step, Pipeline):
            yield from (f"{name}: {inner}" for inner in _steps(step))
        else:
            yield f"{name}: {' '.join(repr(step).split())}"


def _embedding(fitted) -> dict[str, Any] | None:
    first = fitted[0] if isinstance(fitted, Pipeline) else fitted
    try:
        embed = embedding_of(first)
    except TypeError:
        return None
    if embed is None:
        return None
    if isinstance(embed, EndpointEmbeddingTransformer):
        return {"name": embed.model_name_, "url": embed.url}
    return {
        "name": embed.model_name_,
        "digest": embed.model_digest_,
        "revision": embed.revision_,
        "n_features": embed.n_features_out_,
        "pooling": embed.pooling,
        "template": embed.template,
        "max_length": embed.max_length,
        "truncation_side": embed.truncation_side,
        "dtype": embed.dtype_,
        "versions": dict(embed.versions_),
    }


def _trained_on(fitted) -> dict[str, Any] | None:
    known = known_prompts(fitted)
    if known is None:
        return None
    n = len(known["hashes"])
    return {"n_pairs": int(known["n_pairs"]), "n_prompts": n, "all": n < MAX_KEPT}


def _show(report):
    say(f"{report['model']}: {report['bytes']:,} bytes, read without running any of it")
    for step in report["steps"]:
        say(f"step       {step}")
    embedding = report["embedding"] or {}
    for name, value in embedding.items():
        if name == "versions":
            value = ", ".join(f"{library} {v}" for library, v in value.items())
        say(f"embedding  {name}: {'the default' if value is None else value}")
    trained = report["trained_on"]
    if trained is not None:
        more = "" if trained["all"] else " or more"
        say(
            f"trained on {count(trained['n_pairs'], 'pair')}, "
            f"{count(trained['n_prompts'], 'prompt')}{more}"
        )
    _show_fit(report["fit"])
    trusted = ", ".join(report["trusted"]) or "none beyond those known"
    say(f"types      {report['n_types']}; trusted: {trusted}")


def _show_fit(fit):
    if fit is None:
        say("at fit     nothing was stored: it was not saved by skreward fit")
        return
    spread = fit["order_consistency_std"]
    around = "" if spread is None else f" +- {spread:.3f} over {fit['n_folds']} folds"
    say(
        f"at fit     order consistency {fit['order_consistency']:.3f}{around}, on "
        f"{fit['data']}; "
        + ", ".join(f"{name} {value:.3f}" for name, value in fit["compared"].items())
    )
    versions = ", ".join(f"{name} {v}" for name, v in fit["versions"].items())
    say(f"at fit     {versions}")
    for note in fit["notes"]:
        say(f"note       {note}")
