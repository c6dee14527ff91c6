"""Options together: which cannot act beside another, and files of them."""

import json
import re
import tomllib
from difflib import get_close_matches

import click
from click.core import ParameterSource

from skreward.cli.options import OUTPUT_SECTION, PATH, TEXTS, Listed, option
from skreward.cli.table import DataError

# Not of what is done, but of how it is asked for.
UNWRITTEN = ("config", "print_config")


def given(context: click.Context) -> set[str]:
    """Name the parameters that were given, by the command line or by a file."""
    sources = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    return {name for name in context.params if _source(context, name) in sources}


def _source(context, name):
    return context.get_parameter_source(name)


def refuse(context: click.Context, names, where: str):
    """Refuse options that were given, and cannot act ``where`` something is so."""
    found = given(context)
    for parameter in context.command.params:
        if parameter.name in names and parameter.name in found:
            raise click.UsageError(f"{parameter.opts[-1]} cannot act {where}")


def read_config(context, parameter, path):
    """Take options out of a TOML file, beneath those of the command line."""
    if path is None:
        return
    known = {
        parameter.opts[-1].lstrip("-"): parameter
        for parameter in context.command.params
        if isinstance(parameter, click.Option) and parameter.name not in UNWRITTEN
    }
    try:
        text = path.read_text("utf-8-sig")
        settings = tomllib.loads(text)
    except OSError as error:
        raise DataError(path, None, error.strerror or str(error)) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(path, None, f"no TOML file ({error})") from None
    except tomllib.TOMLDecodeError as error:
        line = _line_in(str(error)) or len(text.splitlines())
        raise DataError(path, line, f"broken TOML: {error}") from None
    context.default_map = {}
    for name, value in settings.items():
        line = _line_of(name, text)
        option = known.get(name)
        if option is None:
            near = get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            what = f"{context.command.name} has no option {name!r}{hint}"
            raise DataError(path, line, f"{what}; known are {', '.join(known)}")
        context.default_map[option.name] = _checked(
            context, option, value, path, line, name
        )


def _checked(context, option, value, path, line, name):
    """Give a value as the command line would; DataError for what it would refuse."""
    is_flag = isinstance(value, bool)
    if is_flag != option.is_flag or not isinstance(value, bool | int | float | str):
        wanted = "true or false" if option.is_flag else "a number or a string"
        raise DataError(path, line, f"{name}: wanted {wanted}")
    value = value if is_flag else str(value)
    try:
        option.process_value(context, value)
    except click.BadParameter as error:
        raise DataError(path, line, f"{name}: {error.message}") from None
    return value


def _line_of(name, text):
    """Find the line that sets a key."""
    key = re.escape(name)
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*\[?\s*[\"']?{key}[\"']?\s*[=.\]]", line):
            return number
    return None


def _line_in(said):
    found = re.search(r"line (\d+)", said)
    return int(found[1]) if found else None


def written_config(context: click.Context) -> str:
    """Write the options of `fit` that act as a file that gives them again."""
    inert = inert_of_fit(context.params)
    lines = [f"# skreward {context.command.name} DATA --config FILE"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        if not isinstance(parameter, click.Option) or parameter.name in UNWRITTEN:
            continue
        if value is None or value == "" or parameter.name in inert:
            continue
        if isinstance(parameter.type, Listed):
            value = parameter.type.spelt(value)
        lines.append(f"{parameter.opts[-1].lstrip('-')} = {_toml(value)}")
    return "\n".join(lines)


def _toml(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # The escapes of JSON are TOML's, which wants one more of them.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


CONFIG = [
    option(
        "--config",
        type=PATH,
        is_eager=True,
        expose_value=False,
        callback=read_config,
        section=OUTPUT_SECTION,
        help="TOML file of options by their long names, as --print-config writes it; "
        "those of the command line come before it.  [default: none]",
    ),
    option(
        "--print-config",
        is_flag=True,
        section=OUTPUT_SECTION,
        help="Print these options as a file for --config, and do nothing else.",
    ),
]


OF_EMBEDDING = (
    "model", "template", "max_length", "truncation_side", "pooling", "dtype",
    "batch_size", "revision", "cache_dir",
)  # fmt: skip
OF_REWARDS = {
    "alpha": ("auto", "linear", "network"),
    "hidden": ("auto", "network"),
    "classifier": ("auto", "classifier"),
}


def inert_of_fit(options) -> dict[str, str]:
    """Name the options of `fit` that cannot act beside its others, and beside which."""
    inert: dict[str, str] = {}
    if "embedding" not in options["features"]:
        where = "with --features statistics, which embeds none"
        inert |= dict.fromkeys(OF_EMBEDDING, where)
    for name, rewards in OF_REWARDS.items():
        if options["reward"] not in rewards:
            inert[name] = f"with --reward {options['reward']}"
    return inert


OF_READING = (
    "layout", "label", "label_map", "format", "delimiter", "drop_bad_rows",
    *(f"{text}_column" for text in TEXTS),
)  # fmt: skip


def refuse_of_stored(context: click.Context, data) -> None:
    """Refuse options that read or embed texts, where DATA holds embeddings."""
    from skreward.cli.arrays import is_arrays  # loads NumPy
    from skreward.data.shards import is_folder

    if is_arrays(data):
        names = {*OF_READING, *OF_EMBEDDING, "features"}
        refuse(context, names, "with arrays, which hold no texts")
    elif is_folder(data):
        names = set(OF_READING) | set(OF_EMBEDDING) - {"template"}
        if context.command.name == "fit":
            names.add("template")
        refuse(context, names, "with a folder of embeddings: skreward embed takes it")


def refuse_of_fit(context: click.Context) -> None:
    """Refuse options of `fit` that were given, and cannot act."""
    for name, where in inert_of_fit(context.params).items():
        refuse(context, (name,), where)
