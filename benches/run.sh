#!/usr/bin/env bash
# How much is taken in, and at what cost, beside Alertmanager and webhook: prints figures, goals and verdicts.
#
#   bash benches/run.sh            all scenarios, under 15 minutes
#   bash benches/run.sh --quick    repeats of known incidents only, about 90 s
#   bash benches/run.sh --long     ten million rows, ten minutes of memory, curves to their far ends; under 45 minutes
#   bash benches/run.sh --only repeats,fresh --rounds 8
#   bash benches/run.sh --only curves --plots docs/performance      the plots, where the documents want them
#   UNHANG_BINARY=a bash benches/run.sh --quick --against b --no-peers      two binaries in turns
#
# The load generator is a package of its own with a profile of its own (`load`: optimised, no LTO), because it drives the
# release binary from outside: a change to it rebuilds nothing of the service, and a change to the service nothing of it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
source tests/packages.sh

need() {
  local missing=()
  case " $* " in
    *" --no-peers "*) ;;
    *)
      command -v prometheus-alertmanager >/dev/null || missing+=(prometheus-alertmanager)
      command -v webhook >/dev/null || missing+=(webhook)
      ;;
  esac
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  install_packages "; --no-peers does without Alertmanager and webhook" "${missing[@]}"
}

need "$@"
if [ -z "${UNHANG_BINARY:-}" ]; then
  cargo build --locked --release --package unhang --bin unhang
fi
cargo build --locked --profile load --package intake-bench
mkdir -p target/intake-bench
cc -O2 -shared -fPIC -o target/intake-bench/slowsync.so benches/slowsync.c -ldl
exec target/load/intake-bench run --binary "${UNHANG_BINARY:-target/release/unhang}" \
  --slow-disk target/intake-bench/slowsync.so "$@"
