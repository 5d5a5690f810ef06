#!/usr/bin/env bash
# How much is taken in with PostgreSQL on the same machine, beside SQLite, in turns. Installs PostgreSQL from Debian's packages
# where it is missing, and starts a server of its own with settings that forget no commit.
#
#   bash benches/postgres.sh
#   UNHANG_BINARY=a bash benches/postgres.sh --only repeats --rounds 3
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# shellcheck source=/dev/null
source tests/packages.sh
missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
install_packages "" "${missing[@]}"
bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)

if [ -z "${UNHANG_BINARY:-}" ]; then
  cargo build --locked --release --package unhang --bin unhang
fi
cargo build --locked --profile load --package intake-bench

folder=$(mktemp -d)
as=()
if [ "$(id -u)" -eq 0 ]; then
  chown postgres: "$folder"
  as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
export PGHOST=127.0.0.1 PGUSER=postgres PGPORT=${PGPORT:-54321}
(cd "$folder" && "${as[@]}" "$bin/initdb" --auth=trust --encoding=UTF8 --locale=C.UTF-8 --username=postgres --pgdata=data >/dev/null)
(cd "$folder" && exec "${as[@]}" "$bin/postgres" -D data -p "$PGPORT" -k "$folder" -c listen_addresses=127.0.0.1 -c max_connections=200) \
  >"$folder/log" 2>&1 &
server=$!
trap 'kill -INT "$server"; wait "$server" || true; rm -rf "$folder"' EXIT
until "$bin/pg_isready" --quiet; do :; done

# In the place of the binary: the same process, with its store on the server. The bench clears the environment.
binary=$(realpath "${UNHANG_BINARY:-target/release/unhang}")
cat >"$folder/on-postgres" <<END
#!/bin/sh
name=bench_\$(pwd | sha256sum | head -c 16)
psql --quiet --host 127.0.0.1 --port $PGPORT --username postgres --dbname postgres --command "CREATE DATABASE \$name" 2>/dev/null
UNHANG__STORE__URL=postgres://postgres@127.0.0.1:$PGPORT/\$name UNHANG__STORE__FOLDER=. exec "$binary" "\$@"
END
chmod 755 "$folder" "$folder/on-postgres"
[ "$#" -gt 0 ] || set -- --only repeats,fresh
target/load/intake-bench run --binary "$binary" --against "$folder/on-postgres" --no-peers "$@"
