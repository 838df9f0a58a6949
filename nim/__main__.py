"""`python -m nim`."""

import gc

# A verb ends, or becomes another program, before garbage matters; looking for it would cost milliseconds.
gc.disable()

import sys  # noqa: E402

from nim.cli import main  # noqa: E402

sys.exit(main())
