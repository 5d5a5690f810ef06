#!/usr/bin/env bash
# What cargo calls in place of the compiler for the packages of this workspace: adds LLVM's sanitizer-coverage pass to the
# two that are fuzzed, and has sums and our own doubts checked; everything else is taken as it was built for the release.
if [[ " $* " == *" --crate-name unhang "* || " $* " == *" --crate-name fuzz "* ]]; then
  exec "$@" -Coverflow-checks=on -Cdebug-assertions=on -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
fi
exec "$@"
