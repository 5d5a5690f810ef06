#!/usr/bin/env bash
# The whole pipeline on a fresh Debian machine with Rust: installs what it needs, builds, lints, tests, ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
source tests/packages.sh

step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

# Real senders, from Debian's packages. Their services are not started: the tests start their own.
need() {
  local missing=()
  command -v prometheus >/dev/null || missing+=(prometheus)
  command -v prometheus-alertmanager >/dev/null || missing+=(prometheus-alertmanager)
  command -v systemd-analyze >/dev/null || missing+=(systemd)
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
  command -v curl >/dev/null || missing+=(curl)
  command -v cc >/dev/null || missing+=(gcc)
  command -v c++ >/dev/null || missing+=(g++)
  command -v chromium >/dev/null || [ -n "${CHROMIUM:-}" ] || missing+=(chromium)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
  install_packages "" "${missing[@]}"
}

step "tools"
need
cargo --version

step "format"
cargo fmt --all --check

step "planted bugs still apply"
bash tests/planted.sh --check

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "tests"
cargo test --locked --workspace --no-run
# The campaigns wait more than they compute, so that beside the rest they take little time of their own.
mkdir -p target/tmp
cargo test --locked --package unhang --test campaigns >target/tmp/campaigns.log 2>&1 &
campaigns=$!
others=()
for file in tests/*.rs tests/*/main.rs; do
  name=${file#tests/} name=${name%/main.rs} name=${name%.rs}
  [ "$name" = campaigns ] || others+=(--test "$name")
done
cargo test --locked --package unhang --lib --bins "${others[@]}"
cargo test --locked --package unhang --doc
cargo test --locked --workspace --exclude unhang
campaigns_failed=0
wait "$campaigns" || campaigns_failed=$?
cat target/tmp/campaigns.log
[ "$campaigns_failed" -eq 0 ]

step "the service on PostgreSQL"
UNHANG_TEST_STORE=postgres cargo test --locked --package unhang --test service -- outcomes:: receiver:: rotation:: storm:: why::

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

step "crates"
if command -v cargo-deny >/dev/null; then
  cargo deny --offline check licenses bans sources 2>&1 | tail -n 1
else
  printf 'NOT CHECKED: cargo-deny is not installed; building it takes minutes\n'
fi

step "release build"
cargo build --locked --release

step "the binary"
target/release/unhang --help >/dev/null
target/release/unhang version
target/release/unhang check-config --config config/example.toml
target/release/unhang demo --once

step "browser"
bash tests/browser/run.sh

step "schemathesis"
bash tests/schemathesis.sh

step "chart and compose file"
bash tests/containers.sh

step "fuzzing, short"
bash fuzz/run.sh "${UNHANG_FUZZ_SECONDS:-20}"

step "done"
