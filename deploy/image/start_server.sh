#!/bin/sh
# The image's entry point. Without arguments it serves; flags and a model are passed to the engine; a verb of `nim`
# or a command of the image is run. The started program becomes PID 1.
first=${1-}
case $first in
  '' | -*) exec /opt/nim/bin/nim "$@" ;;
  */*) [ ! -d "$first" ] || exec /opt/nim/bin/nim "$@" ;;
esac
found=$(command -v -- "$first")
case $found in
  */*) [ -x "$found" ] || found= ;;
esac
# `command -v` prints no path for shell builtins such as `echo`, which exist as programs as well.
[ -z "$found" ] || exec "$@"
exec /opt/nim/bin/nim "$@"
