"""What the report says that is not read off the results."""

DATA = """\
Responses of ten or more language models to the same prompts, with a judge's reward as
the true one: `judged_dev` (405 prompts, ten models; a log-odds of a judge's preference
over a reference) and `arenabench` (300 prompts, 13 to 16 models; ratings from 1 to 10).
Rewards have unit variance within a data set. Each response, after its prompt, is
embedded once by each of six encoders: all-MiniLM-L6, paraphrase-MiniLM-L3,
all-mpnet-base, the last tokens of SmolLM2-135M and of Gemma 3 270M, and the static
vectors of wordllama. They stand in the place of the paper's language models.
"""

METHOD = """\
A setting is an encoder, a data set, a design (which two of six responses to a prompt,
drawn for each pair, are compared: random ones, the two in the middle by true reward, or
the best and the worst), a noise level (labels from a Bradley-Terry annotator, beta .5
to 10), a number of labels (5,000 to 40,000), a seed and a model: 6 x 2 x 3 x 6 x 4 x 5
x 3 = 12,960. The models are the paper's: a Siamese Bradley-Terry network (`bt-mlp`),
the same network as a classifier of single responses (`clf-mlp`), and LightGBM as such a
classifier (`clf-lgbm`); linear ones (`bt-linear`, `clf-linear`) stand beside them.

A seed draws which quarter of the prompts tests, the pairs, the labels and the weights
at the start. Models are compared on the same pairs and labels. **Matched training** is
the same for both networks: scaled items, the same shape (256-128) and as many batches,
stopping on the log-loss of held-out prompts, a fifth, best weights kept, learning rate
and penalty chosen per encoder, data set and model on other seeds from the same list.
The paper's networks have 1024-512 units.
"""

BY_PAPER = """\
**The paper's recipe** is its released code: raw items, rows split at random into
training and validation, last weights kept; here with 256-128 units too.
"""

MEASURES = """\
Noise is the measured share of labels that contradict the true reward, not beta; pairs
of equal reward, many in `arenabench`, have no right label and are not in it.
**Order consistency** is the share of a test prompt's pairs of responses in the true
order, averaged over prompts; **best-of-N gain** is the true reward of the response
chosen among N over the mean, in standard deviations (N = 10; the paper's measure, at
N = 500). “At similar length” counts pairs of which neither response is a tenth longer.

Every difference is of the same blocks on both sides. Intervals are 95 % and let
seeds and test prompts vary as crossed clusters, the first with all that they draw.
P-values are of no difference, raw and corrected by Holm's method over all tests of this
page; a verdict needs the corrected one under .05. Differences of order consistency
under .01 do not matter, by our choice: “no difference that matters” is a corrected
test of that too. Verdicts go by order consistency; where the gain is decided otherwise,
they say so.
"""

CLAIMS_BY_PAPER = """\
“The paper's recipe” and “matched, on its blocks” are the same blocks; the line after
them is what the training changes. “Matched” is the whole grid.
"""

CLAIMS = """\
Where nothing is decided, the verdict says which difference would have been found in
four of five such studies."""

BASELINES = """\
The longer response wins more pairs than chance, and so does a linear reward on
statistics of the text trained on the same labels. What the models order better than
these, without any of the embeddings' cost:"""

ROBUSTNESS = """\
On simulated tables of known variance the intervals here cover the truth in 91 to 98 of
100 cases, from two seeds to five. The bootstrap draws seeds and prompts with
replacement and counts the variation of single values three times. “Seeds counted as
training prompts” takes all that varies between seeds for the doing of their training
prompts, of which any two seeds share three quarters: an upper bound for results on
wholly new prompts."""

TABLES = """\
No table compares levels over different blocks: each is on the settings that all its
levels and models have, cut to the largest balanced part, and says how many.
Intervals are as in [the report](report.md). “Length alone” predicts the longer
response; “text statistics” is a linear Bradley-Terry reward on counts of the text, with
the same labels. “Wrong labels” are of pairs of different true reward; the share of
pairs of equal reward, whose labels are a coin's, is beside it."""

CHOSEN = """\
From three by three candidates each, by order consistency on test prompts of other
seeds (`python -m benchmarks.study.tune`). A star is at an edge of the candidates: a
value beyond it was not tried."""


def abstract(n_seeds, by_paper):
    """Say what was done, before what came out."""
    once_more = ", and once more as its released code trains them" if by_paper else ""
    over = (
        "the test prompts of one seed: how seeds vary is not in them"
        if n_seeds == 1
        else f"seeds ({n_seeds} at most here) and test prompts"
    )
    return (
        "The study of Sun, Shen and Ton (ICLR 2025) compared Bradley-Terry rewards "
        "with classifiers on embeddings in 12,960 runs. Here its grid is run on public "
        f"judged responses, with the two networks trained alike{once_more}. "
        f"Differences are of order consistency, with 95 % intervals over {over}."
    )


def claims(by_paper):
    """Say how the tables of claims are read."""
    return f"{CLAIMS_BY_PAPER if by_paper else ''}{CLAIMS}"


def set_up(data, pools, tasks, by_paper):
    """Say what was compared, and how; data other than the encoders' are only named."""
    other = (
        f"Responses and true rewards of {', '.join(data)}: the pools "
        f"{', '.join(pools)}, and the true rewards {', '.join(tasks)}.\n"
    )
    data = DATA if data == ["encoders"] else other
    return ["## Set-up\n", data, METHOD, *[BY_PAPER] * by_paper, MEASURES]
