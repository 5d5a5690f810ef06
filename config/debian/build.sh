#!/usr/bin/env bash
# The Debian package, in target/debian: `cargo install --locked cargo-deb` once, and Debian's package dpkg-dev.
#
#   bash config/debian/build.sh             builds the binary as well; PROFILE=dev takes the debug build that is there
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=${PROFILE:-release}
if [ "$profile" = release ]; then
  cargo build --release --locked --package unhang --bin unhang
  binary=target/release/unhang
else
  binary=target/debug/unhang
fi
made=target/debian-files
rm -rf "$made"
mkdir -p "$made"
"$binary" man "$made/man1" >/dev/null
"$binary" completions bash >"$made/unhang.bash"
"$binary" completions zsh >"$made/_unhang"
"$binary" completions fish >"$made/unhang.fish"
exec cargo deb --locked --no-build --profile "$profile" "$@"
