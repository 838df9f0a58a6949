#!/bin/sh
# Start the service with the Python of `make setup`, or else with the system's.
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
[ ! -L "$0" ] || here=$(dirname -- "$(readlink -f -- "$0")")
python=$here/.venv/bin/python
if [ ! -x "$python" ]; then
  if [ -d "$here/.venv" ]; then
    echo "nim: cannot run $python as user $(id -u): it, or the Python it links to, is not executable for this user" >&2
    echo "  hint: make setup, as this user or with a Python that every user may execute (PYTHON=/usr/bin/python3)" >&2
    exit 7
  fi
  python=python3
fi
exec "$python" -m nim "$@"
