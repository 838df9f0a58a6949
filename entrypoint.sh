#!/bin/sh
# Starts the service with the Python that `make setup` made, or else with the system's.
here=$(cd -- "$(dirname -- "$(readlink -f -- "$0")")" && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m nim "$@"
