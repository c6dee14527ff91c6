"""What the commands do that take a fitted model to where it is used."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from skreward.cli.columns import decoded, find_form, is_blank, text_cells
from skreward.cli.features import embedding_of
from skreward.cli.files import DataError, Table, read_table
from skreward.cli.output import make_writer
from skreward.cli.preferences import read_rows
from skreward.cli.printing import count, say, warn
from skreward.cli.ranks import ranked
from skreward.datasets.preferences import LayoutError
from skreward.text.items import TextItems, TextPairs


def export(fitted, target: str, output: Path, dtype: str | None, data, delimiter):
    """Write a model in another library's form, compared with the model."""
    from skreward import export as room

    texts = None
    if data is not None:
        table = read_table(data, delimiter)
        read = read_rows(table, find_form(table), drop_bad_rows=True).read
        texts = read.items if isinstance(read, TextPairs) else read
    if dtype is not None and target != "sequence-classifier":
        raise click.UsageError("--dtype goes with --to sequence-classifier")
    if target == "onnx":
        rows = None if texts is None else fitted[0].transform(texts)
        about = room.to_onnx(fitted, output, rows)
    elif target == "sentence-transformer":
        about = room.to_sentence_transformer(fitted, output, texts)
    else:
        about = room.to_sequence_classifier(fitted, output, dtype or "float32", X=texts)
    compared = about["compared"]
    say(
        f"{target} written to {output}: on {count(compared['n_compared'], 'row')} its "
        f"rewards differ from the model's by at most "
        f"{compared['largest_difference']:.2g}, at rewards up to "
        f"{compared['largest_reward']:.2g}"
    )
    if "shift" in about:
        say(f"a reward is the logit plus {about['shift']:.6g}")
    return {"output": str(output), "to": target, **compared}


def best(fitted, data, output, *, n, pairs, suffix, delimiter) -> dict[str, Any]:
    """Write the best responses of every prompt, or its best and its worst."""
    table = _with_responses(read_table(data, delimiter))
    form = find_form(table)
    if form != ("response",):
        raise table.error(
            None, "wanted the columns prompt, response, or prompt, responses"
        )
    items = read_rows(table, form).read
    assert isinstance(items, TextItems)
    prompt_ids = np.asarray(items.prompt_ids)
    rewards = np.asarray(fitted.predict(items), dtype=float)
    if not np.isfinite(rewards).all():
        raise DataError(data, None, "the model gives rewards that are not finite")
    groups = ranked(rewards, prompt_ids)
    if pairs:
        return _write_pairs(table, groups, rewards, data, output, suffix, delimiter)
    chosen = [k for group in groups for k in group[:n]]
    ranks = [rank + 1 for group in groups for rank in range(min(n, len(group)))]
    writer = make_writer(
        table.take(chosen), output, [f"reward{suffix}", f"rank{suffix}"],
        delimiter if output.suffix.lower() == ".csv" else None,
    )  # fmt: skip
    writer.write([rewards[chosen], ranks])
    few = sum(len(group) < n for group in groups)
    if few:
        warn(f"{count(few, 'prompt')} of {len(groups)} have fewer than {n} responses")
    say(
        f"the best {n} of {count(len(table), 'response')} to "
        f"{count(len(groups), 'prompt')} written to {output}"
    )
    return {"n_rows": len(chosen), "n_prompts": len(groups), "output": str(output)}


def rewardbench(fitted, data, output, *, delimiter) -> dict[str, Any]:
    """Score RewardBench's file, print its sections, and write its columns."""
    from skreward.integrations import run_rewardbench

    table = read_table(data, delimiter)
    rows = [
        {name: _list_of(cell, name, table) for name, cell in row.items()}
        for row in table.rows
    ]
    try:
        result = run_rewardbench(fitted, rows)
    except LayoutError as error:
        raise table.error(error.row, error.problem) from None
    except ValueError as error:
        raise DataError(data, None, str(error)) from None
    say(f"RewardBench {result.version}, {count(len(rows), 'prompt')}")
    width = max(map(len, result.scores))
    say(f"{'':{width}}   model  length")
    for name, value in result.scores.items():
        say(f"{name:{width}}   {value:.3f}   {result.length[name]:.3f}")
    if output is not None:
        written = Table(output, result.rows, range(1, len(rows) + 1))
        make_writer(written, output, []).write([])
        say(f"{count(len(rows), 'row')} with rewards written to {output}")
    return {
        "version": result.version,
        "scores": result.scores,
        "length": result.length,
        "output": None if output is None else str(output),
    }


def serve(fitted, host, port, max_body, max_rows) -> dict[str, Any]:
    """Answer requests until interrupted."""
    from skreward.integrations.serve import TOKEN_VARIABLE, run

    name = embedding_of(fitted[0]).model_name_
    say(
        f"serving {name} on http://{host}:{port} (/get_reward, "
        f"/score, /health, /info); {TOKEN_VARIABLE} in the environment asks for a token"
    )
    run(fitted, host, port, max_body=max_body, max_rows=max_rows)
    return {"host": host, "port": port}


def _with_responses(table: Table) -> Table:
    """Give a table of one response a row, where rows hold lists of them."""
    if "responses" not in table.names or "response" in table.names:
        return table
    rows, lines = [], []
    for k, row in enumerate(table.rows):
        responses = _list_of(row.get("responses"), "responses", table)
        if not isinstance(responses, list) or not responses:
            raise table.error(k, "column 'responses': wanted a list of texts")
        if any(is_blank(response) for response in responses):
            raise table.error(k, "column 'responses': a response is empty")
        rest = {name: cell for name, cell in row.items() if name != "responses"}
        rows += [rest | {"response": response} for response in responses]
        lines += [table.lines[k]] * len(responses)
    return Table(table.path, rows, lines, None, table.header)


def _list_of(cell, name, table: Table):
    """Read a list that a text cell holds as JSON."""
    if name in ("responses", "chosen", "rejected") and isinstance(cell, str):
        return decoded(cell, "[") if table.is_json_in_text else cell
    if name == "num_correct" and isinstance(cell, str) and cell.isdigit():
        return int(cell)
    return cell


def _write_pairs(table, groups, rewards, data, output, suffix, delimiter):
    told_apart = [g for g in groups if rewards[g[0]] > rewards[g[-1]]]
    if not told_apart:
        raise DataError(data, None, "no prompt has two responses with unequal rewards")
    prompts, responses = text_cells(table, "prompt"), text_cells(table, "response")
    rows = [
        {
            "prompt": prompts[g[0]],
            "chosen": responses[g[0]],
            "rejected": responses[g[-1]],
        }
        for g in told_apart
    ]
    made = Table(data, rows, [table.lines[g[0]] for g in told_apart])
    writer = make_writer(
        made, output, [f"reward_chosen{suffix}", f"reward_rejected{suffix}"],
        delimiter if output.suffix.lower() == ".csv" else None,
    )  # fmt: skip
    writer.write([rewards[[g[k] for g in told_apart]] for k in (0, -1)])
    n_left = len(groups) - len(told_apart)
    if n_left:
        warn(
            f"{count(n_left, 'prompt')} of {len(groups)} left out: one response, or "
            "equal rewards"
        )
    say(
        f"best and worst of {count(len(told_apart), 'prompt')} written to {output}, as "
        "prompt, chosen, rejected"
    )
    return {
        "n_rows": len(rows),
        "n_prompts": len(groups),
        "n_left_out": n_left,
        "output": str(output),
    }
