"""`python -m nim`."""

import sys

from nim.cli import main

sys.exit(main())
