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
# What changed is told in one place; this names the version, and the day of its last commit, so that a second build makes the same.
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
day=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
cat >"$made/changelog" <<END
unhang ($version-1) unstable; urgency=medium

  * Version $version; what changed is in changelog.gz beside this file.

 -- The unhang maintainers <maintainers@unhang.example>  $(LC_ALL=C date --utc --date="@$day" '+%a, %d %b %Y %H:%M:%S +0000')
END
exec cargo deb --locked --no-build --profile "$profile" "$@"
