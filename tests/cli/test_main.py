"""The command as a process: how it starts, how it ends."""

import subprocess
import sys


def test_help_imports_no_science():
    code = (
        "import sys\n"
        "from skreward.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'numpy', 'sklearn', 'torch', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
