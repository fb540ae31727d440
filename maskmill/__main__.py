"""`python -m maskmill` is the `maskmill` command."""

import sys

from maskmill.cli import main

sys.exit(main())
