"""``python -m skreward`` is the command ``skreward``."""

import sys

from skreward.cli import main

sys.exit(main())
