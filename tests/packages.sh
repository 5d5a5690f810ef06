# shellcheck shell=bash
# Installs packages of Debian as root or through sudo, or says which are missing. Sourced by scripts that need real parts.

# What to say beside the names where they cannot be installed, then the packages; none is nothing to do.
install_packages() {
  local otherwise=$1 as_root=()
  shift
  [ "$#" -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      printf 'missing packages: %s\ninstall them, or run this as root%s\n' "$*" "$otherwise" >&2
      exit 1
    fi
  fi
  "${as_root[@]}" apt-get update -qq
  # The packages would start their services at once; ours run on ports of their own.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@"
}
