#!/bin/sh
# Starts the service with the Python that `make setup` made, or else with the system's.
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
[ ! -L "$0" ] || here=$(dirname -- "$(readlink -f -- "$0")")
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m nim "$@"
