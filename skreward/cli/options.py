"""Options of the commands: what they are called, take, and do by default."""

from math import isfinite
from pathlib import Path

import click

from skreward.cli import formats

LAYOUTS = (
    "auto", "arena-55k", "arena-140k", "arena", "helpsteer3", "helpsteer2-preference",
    "helpsteer2", "nectar", "pku-saferlhf", "shp", "summarize", "rewardbench2", "pairs",
    "labelled", "ratings",
)  # fmt: skip
TEXTS = {
    "prompt": "the prompt",
    "chosen": "the preferred response",
    "rejected": "the other response",
    "response_a": "the first of two responses, which the label compares",
    "response_b": "the second",
    "response": "the response, in a table of one response a row",
}
SEED = click.IntRange(0, 2**32 - 1)
PATH = click.Path(path_type=Path)
DATA_SECTION, MODEL_SECTION, OUTPUT_SECTION = "Data", "Model", "Output"


class Option(click.Option):
    """An option that knows the heading it stands under in the help."""

    def __init__(self, *args, section="General", **kwargs):
        self.section = section
        super().__init__(*args, **kwargs)


class Command(click.Command):
    """A command whose help lists options by heading."""

    def format_options(self, ctx, formatter):
        """Write the options, those of one section together."""
        sections: dict[str, list] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "section", "General")
                sections.setdefault(section, []).append(record)
        general = sections.pop("General", [])
        for section, records in [*sections.items(), ("General", general)]:
            with formatter.section(section):
                formatter.write_dl(records)


class Group(click.Group):
    """The group of all commands."""

    command_class = Command


class Listed(click.ParamType):
    """Values with commas between them, of which `spelt` gives the text again."""

    def convert(self, value, param, ctx):
        """Read a text; what was read already stays."""
        return self.read(value, param, ctx) if isinstance(value, str) else value

    def read(self, value, param, ctx):
        """Read a text."""
        raise NotImplementedError

    def spelt(self, value) -> str:
        """Write a value as the text that is read as it."""
        return ",".join(map(str, value))


class Widths(Listed):
    """Numbers of units of hidden layers."""

    name = "N[,N...]"

    def read(self, value, param, ctx):
        """Read widths, as in 64,32."""
        try:
            widths = tuple(int(part) for part in value.split(","))
        except ValueError:
            widths = ()
        if not widths or min(widths) < 1:
            self.fail(f"{value!r}: wanted widths of layers, as in 64 or 64,32.")
        return widths


class Parts(Listed):
    """Features that a reward learns from."""

    name = "PART[,PART]"
    known = ("embedding", "statistics")

    def read(self, value, param, ctx):
        """Read parts, in the order in which the features stand."""
        given = [part.strip() for part in value.split(",")]
        if not set(given) <= set(self.known) or len(set(given)) < len(given):
            self.fail(
                f"{value!r}: wanted embedding, statistics or embedding,statistics."
            )
        return tuple(part for part in self.known if part in given)

    def shell_complete(self, ctx, param, incomplete):
        """Complete a part, or both."""
        words = (*self.known, ",".join(self.known))
        item = click.shell_completion.CompletionItem
        return [item(word) for word in words if word.startswith(incomplete)]


class LabelMap(Listed):
    """What the values of a label mean: P(first preferred)."""

    name = "VALUE=P[,VALUE=P...]"

    def read(self, value, param, ctx):
        """Read a mapping, as in A=1,B=0,tie=.5."""
        meaning: dict[str, float] = {}
        for part in value.split(","):
            name, equals, share = part.rpartition("=")
            name = name.strip()
            try:
                number = float(share)
            except ValueError:
                number = -1.0
            if not (equals and name and 0 <= number <= 1):
                self.fail(
                    f"{part!r}: wanted a value of the label and how likely the first "
                    "is preferred there, from 0 to 1, as in A=1,B=0,tie=.5."
                )
            if any(_alike(name, other) for other in meaning):
                self.fail(f"{name!r} is there twice.")
            meaning[name] = number
        return meaning

    def spelt(self, value):
        """Write a mapping as it is read."""
        return ",".join(f"{name}={share!r}" for name, share in value.items())


def _alike(one, other):
    try:
        return float(one) == float(other)
    except ValueError:
        return one.lower() == other.lower()


def _delimiter(context, parameter, value):
    value = {"tab": "\t", "\\t": "\t"}.get(value, value)
    if value is not None and (len(value) != 1 or value in '"\r\n'):
        raise click.BadParameter("wanted one character, or tab.")
    return value


def finite(context, parameter, value):
    """Refuse infinity and NaN, which ranges let through."""
    if value is not None and not isfinite(value):
        raise click.BadParameter(f"wanted a number, got {value}.")
    return value


def option(*names, section="General", **kwargs):
    """Make an option of a section; its default is shown where it has one."""
    if kwargs.get("default") not in (None, "") and not kwargs.get("is_flag"):
        kwargs.setdefault("show_default", True)
    return click.option(*names, cls=Option, section=section, **kwargs)


def with_(*options):
    """Give a decorator that adds options, in this order."""

    def decorate(command):
        for add in reversed(options):
            command = add(command)
        return command

    return decorate


def columns(*texts):
    """Give the options that name columns of texts."""
    return [
        option(
            f"--{text.replace('_', '-')}-column",
            metavar="COLUMN",
            section=DATA_SECTION,
            help=f"Column that holds {TEXTS[text]}.  [default: {text}]",
        )
        for text in texts
    ]


def take_columns(options):
    """Take the columns that were named out of the options of a command."""
    named = {text: options.pop(f"{text}_column", None) for text in TEXTS}
    return {text: name for text, name in named.items() if name is not None}


DATA = click.argument("data", type=PATH)
MODEL = click.argument("model_file", metavar="MODEL", type=PATH)
OUTPUT = option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    section=OUTPUT_SECTION,
    help="File or folder to write.",
)
FORCE = option(
    "--force", is_flag=True, section=OUTPUT_SECTION, help="Replace an existing output."
)
JSON = option(
    "--json",
    "as_json",
    is_flag=True,
    section=OUTPUT_SECTION,
    help="Print a JSON object as the last line, for programs.",
)
SUFFIX = option(
    "--suffix",
    default="",
    section=OUTPUT_SECTION,
    help="Text that ends the names of the new columns, for a table that has them "
    "already.  [default: none]",
)
CACHE = option(
    "--cache-dir",
    type=PATH,
    section=MODEL_SECTION,
    help="Folder that keeps embeddings for the next run.  [default: none is kept]",
)
DEVICE = option(
    "--device",
    section=MODEL_SECTION,
    help="Where it is computed: auto, cpu, cuda or cuda:N; auto is a CUDA device where "
    "there is one.  [default: auto]",
)
BATCH = option(
    "--batch-size",
    type=click.IntRange(1),
    section=MODEL_SECTION,
    help="Texts that the embedding model takes at once, at most; fewer need less "
    "memory.  [default: 32]",
)
DROP = option(
    "--drop-bad-rows",
    is_flag=True,
    section=DATA_SECTION,
    help="Leave out rows with an empty or unreadable text or an empty label, and say "
    "which; else the first is an error.",
)
DELIMITER = option(
    "--delimiter",
    metavar="CHAR",
    callback=_delimiter,
    section=DATA_SECTION,
    help="Character between the fields of a .csv file, or tab.  [default: ,]",
)
FORMAT = option(
    "--format",
    metavar="FORMAT",
    type=click.Choice(formats.NAMES),
    section=DATA_SECTION,
    help=f"What DATA is, where its name does not say: {', '.join(formats.NAMES)}.  "
    "[default: by the name; of a pipe, by its first bytes where they tell]",
)
TABLE = [*columns(*TEXTS), FORMAT, DELIMITER, DROP]
LABELS = [
    option(
        "--layout",
        metavar="NAME",
        default="auto",
        type=click.Choice(LAYOUTS),
        section=DATA_SECTION,
        help="Published data set whose columns DATA has, such as helpsteer3, shp or "
        "arena-140k; auto tells it by the columns.",
    ),
    option(
        "--label",
        metavar="COLUMN",
        section=DATA_SECTION,
        help="Column that says which response is preferred: 1 / 0 and numbers between, "
        "1 / -1, A / B, first / second, True / False, tie; for prompt, response "
        "tables: a rating.  [default: label]",
    ),
    option(
        "--label-map",
        type=LabelMap(),
        section=DATA_SECTION,
        help="How likely the first response is preferred, for every value of the "
        "label, as in A=1,B=0,tie=.5.  [default: the values that --label names]",
    ),
]
READING = [*LABELS, *TABLE]
LOADING = [
    option(
        "--trust",
        multiple=True,
        metavar="TYPE|URL",
        section=MODEL_SECTION,
        help="Further type, or an endpoint's address, to allow in MODEL; may be given "
        "several times.  [default: none]",
    ),
    option(
        "--trust-remote-code",
        is_flag=True,
        section=MODEL_SECTION,
        help="Run the Python code that lies with MODEL's language model.",
    ),
    option(
        "--max-bytes",
        type=click.IntRange(1),
        default=2**30,
        section=MODEL_SECTION,
        help="Memory, in bytes, beyond which MODEL is refused.",
    ),
]
EXPECTED = [
    option(
        "--model",
        section=MODEL_SECTION,
        help="Embedding model to expect: another is refused.  [default: that of MODEL]",
    ),
    option(
        "--template",
        section=MODEL_SECTION,
        help="Template to expect: another is refused.  [default: that of MODEL]",
    ),
    DEVICE,
    option(
        "--batch-size",
        type=click.IntRange(1),
        section=MODEL_SECTION,
        help="Texts that the embedding model takes at once, at most; fewer need less "
        "memory.  [default: that of MODEL]",
    ),
    CACHE,
    *LOADING,
]
