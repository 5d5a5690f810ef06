#!/usr/bin/env bash
# A rolling upgrade, for real: builds an older commit and runs it beside this tree on one PostgreSQL.
#
#   bash tests/upgrade.sh [COMMIT]      COMMIT: the newest tag, or else the parent of HEAD
#
# A first run builds everything once more, into target/upgrade (about 6 GB, some minutes); later ones what differs.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=${1:-$(git describe --tags --abbrev=0 2>/dev/null || echo HEAD~1)}
source=$PWD/target/upgrade/source
build=$PWD/target/upgrade/build

git worktree prune
if [ -d "$source" ]; then git worktree remove --force "$source"; fi
git worktree add --quiet --detach "$source" "$commit"
trap 'git worktree remove --force "$source"' EXIT

# Replicas of one version compare their configurations, those of two do not. Between two releases the number differs by
# itself; between two commits it is made to, in the copy.
number() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$1/Cargo.toml"; }
if [ "$(number "$source")" = "$(number .)" ]; then
  sed -i '/^\[workspace.package\]/,/^\[/s/^version = ".*"$/version = "0.0.0-older"/' "$source/Cargo.toml"
fi
(cd "$source" && CARGO_TARGET_DIR=$build cargo build --bin unhang)

UNHANG_OLDER_BINARY=$build/debug/unhang \
  cargo test --locked --test service upgrade:: -- --ignored --nocapture
