"""What the commands do that take a fitted model to where it is used."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skreward.cli.arrays import is_arrays
from skreward.cli.columns import decoded, find_form, is_blank, text_cells, with_columns
from skreward.cli.features import embedding_of
from skreward.cli.files import read_table
from skreward.cli.formats import delimiter_for
from skreward.cli.loading import check_there, load_model
from skreward.cli.output import make_writer, refuse_clash
from skreward.cli.preferences import Texts, read_rows, told, warn_of_left_out
from skreward.cli.printing import DROPS, count, say, warn
from skreward.cli.ranks import ranked
from skreward.cli.stored import is_stored, items_of, rows_of, stored_texts
from skreward.cli.table import DataError, Table
from skreward.datasets.preferences import LayoutError
from skreward.text.items import TextPairs


def export(
    path, target: str, output: Path, dtype: str | None, data, *, expected, reading
) -> dict[str, Any]:
    """Write a model in another library's form, compared with the model."""
    from skreward import export as room

    check_there(path)
    texts = None
    if data is not None:
        read = read_texts_of(data, **reading).read
        texts = read.items if isinstance(read, TextPairs) else read
    fitted = load_model(path, **expected)
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


def best(path, data, output, *, n, pairs, suffix, expected, reading) -> dict[str, Any]:
    """Write the best responses of every prompt, or its best and its worst."""
    check_there(path)
    delimiter = reading["delimiter"]
    has_texts = not is_stored(data)
    texts = read_texts_of(data, **reading) if has_texts else stored_texts(data)
    table, (items, index) = texts.table, items_of(texts)
    if pairs and not has_texts:
        raise DataError(data, None, "holds no texts, which --pairs writes")
    if index is not None:
        raise table.error(
            None, "wanted the columns prompt, response, or prompt, responses"
        )
    added = [f"{name}{suffix}" for name in ("reward", "rank")]
    if not pairs:
        refuse_clash(table.origin, added)
    fitted = load_model(path, **expected, takes_rows=is_arrays(data))
    prompt_ids = np.asarray(items.prompt_ids)
    rows = rows_of(items, fitted[0])
    rewards = np.asarray(fitted[1:].predict(rows), dtype=float)
    if not np.isfinite(rewards).all():
        raise DataError(data, None, "the model gives rewards that are not finite")
    groups = ranked(rewards, prompt_ids)
    if pairs:
        return _write_pairs(table, groups, rewards, data, output, suffix, delimiter)
    chosen = [k for group in groups for k in group[:n]]
    ranks = [rank + 1 for group in groups for rank in range(min(n, len(group)))]
    writer = make_writer(
        table.take(chosen).origin, output, added, delimiter_for(output, delimiter)
    )
    writer.write([rewards[chosen], ranks])
    few = sum(len(group) < n for group in groups)
    if few:
        warn(f"{count(few, 'prompt')} of {len(groups)} have fewer than {n} responses")
    say(
        f"the best {n} of {count(len(table), 'response')} to "
        f"{count(len(groups), 'prompt')} written to {output}"
    )
    return {"n_rows": len(chosen), "n_prompts": len(groups), "output": str(output)}


def rewardbench(path, data, output, *, format, delimiter, expected) -> dict[str, Any]:
    """Score RewardBench's file, print its sections, and write its columns."""
    from skreward.integrations import run_rewardbench

    check_there(path)
    table = read_table(data, delimiter, format)
    fitted = load_model(path, **expected)
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

    embed = embedding_of(fitted[0])
    name = "text statistics" if embed is None else embed.model_name_
    say(
        f"serving {name} on http://{host}:{port} (/get_reward, "
        f"/score, /health, /info); {TOKEN_VARIABLE} in the environment asks for a token"
    )
    run(fitted, host, port, max_body=max_body, max_rows=max_rows)
    return {"host": host, "port": port}


def read_texts_of(data, *, format, delimiter, columns, drop_bad_rows) -> Texts:
    """Read the texts of a table, and say what is left out of it."""
    table = read_table(data, delimiter, format)
    skipped: dict[str, list[int]] = {}
    is_named = "response" in columns or "response" in table.names
    if "responses" in table.names and not is_named:
        table, skipped = _one_a_row(table, drop_bad_rows)
    table = with_columns(table, columns)
    texts = read_rows(table, find_form(table), drop_bad_rows=drop_bad_rows)
    texts = replace(texts, skipped=skipped | texts.skipped)
    warn_of_left_out(texts)
    return texts


def _one_a_row(table: Table, drop_bad_rows):
    """Give a table of one response a row of one whose rows hold lists of them."""
    rows, lines, skipped = [], [], defaultdict(list)
    for k, row in enumerate(table.rows):
        responses = _list_of(row.get("responses"), "responses", table)
        problem = None
        if not isinstance(responses, list) or not responses:
            problem = "column 'responses': wanted a list of texts"
        elif any(is_blank(response) for response in responses):
            problem = "column 'responses': a response is empty"
        if problem is not None and not drop_bad_rows:
            raise table.error(k, problem + DROPS)
        if problem is not None:
            skipped[problem].append(table.lines[k])
            continue
        rest = {name: cell for name, cell in row.items() if name != "responses"}
        rows += [rest | {"response": response} for response in responses]
        lines += [table.lines[k]] * len(responses)
    if not rows:
        raise DataError(table.path, None, f"every row is bad: {told(skipped)}")
    return Table(table.path, rows, lines, table.header), dict(skipped)


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
    columns = {
        "prompt": [prompts[g[0]] for g in told_apart],
        "chosen": [responses[g[0]] for g in told_apart],
        "rejected": [responses[g[-1]] for g in told_apart],
    }
    made = Table.of_columns(data, columns, [table.lines[g[0]] for g in told_apart])
    writer = make_writer(
        made, output, [f"reward_chosen{suffix}", f"reward_rejected{suffix}"],
        delimiter_for(output, delimiter),
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
        "n_rows": len(told_apart),
        "n_prompts": len(groups),
        "n_left_out": n_left,
        "output": str(output),
    }
