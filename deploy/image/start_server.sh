#!/bin/sh
# The image's entry point. Without arguments it serves; flags and a model go to the engine; a verb of `nim` and
# a command of the image do what they are called. What this starts becomes PID 1.
first=${1-}
case $first in
  '' | -*) exec /opt/nim/bin/nim "$@" ;;
  */*) [ ! -d "$first" ] || exec /opt/nim/bin/nim "$@" ;;
esac
found=$(command -v -- "$first")
case $found in
  */*) [ -x "$found" ] || found= ;;
esac
# What the shell can do by itself, such as `echo`, is a program, too, and has no path here.
[ -z "$found" ] || exec "$@"
exec /opt/nim/bin/nim "$@"
