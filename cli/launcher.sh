#!/bin/sh
# Starts thaw. Node takes `--env-file` for its own wherever it stands before `--`, and obeys what that file says; behind `--` every word is ours.
self=$0
case $self in */*) ;; *) self=./$self ;; esac
while [ -L "$self" ]; do
  target=$(readlink "$self")
  case $target in
    /*) self=$target ;;
    *) self=${self%/*}/$target ;;
  esac
done
exec node -- "${self%/*}/thaw.mjs" "$@"
