"""The page on where rewards are used runs as printed, block by block."""

import re
import textwrap

import pytest

import skreward
from skreward.datasets import make_text_preferences
from tests.support import ROOT, needs

PAGE = (ROOT / "docs" / "use.rst").read_text()
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(
        r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", PAGE, flags=re.MULTILINE
    )
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from sklearn.pipeline import make_pipeline

    data = make_text_preferences(10, 6, 120, random_state=0)
    model = make_pipeline(
        skreward.LLMEmbeddingTransformer(dtype="float32"),
        skreward.BradleyTerryRegressor(),
    ).fit(data.pairs, data.y)
    path = tmp_path_factory.mktemp("use")
    skreward.save(model, path / "model.skops")
    return path


def test_blocks_run_in_order(folder, monkeypatch, capsys):
    needs("onnxruntime")
    needs("starlette")
    monkeypatch.chdir(folder)
    names = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"use.rst, block {number}", "exec"), names)
        assert capsys.readouterr().out.strip(), block
    assert len(BLOCKS) == 6


def test_every_consumer_takes_less_than_ten_lines():
    assert max(block.strip().count("\n") + 1 for block in BLOCKS) < 10
