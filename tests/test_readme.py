"""The README's Python runs as printed, block by block."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(number, capsys):
    code = compile(BLOCKS[number], f"README block {number}", "exec")
    exec(code, {"__name__": "readme"})
    printed = re.search(r"unseen prompts: ([0-9.]+)", capsys.readouterr().out)
    assert (printed is not None) == ("unseen prompts" in BLOCKS[number])
    if printed:
        assert float(printed[1]) > 0.7


def test_the_readme_has_blocks_to_run():
    assert sum("unseen prompts" in block for block in BLOCKS) == 1
