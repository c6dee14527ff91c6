"""``python -m skreward`` is the command ``skreward``."""

import sys

from skreward.cli.main import main

sys.exit(main())
