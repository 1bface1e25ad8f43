#!/bin/sh
# What comes from the system's packages.
#
#   system.sh python VERSION [PACKAGE...]  Python, unless the base has it, and shared libraries
#   system.sh packages [PACKAGE...]        further packages
#   system.sh tools VERSION UV             a virtual environment in /build/tools with uv in it
set -eu

fail() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

install() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null \
        || fail "the base image lacks $*, and has no apt-get to install that with" \
            "name a base on Debian or Ubuntu with BASE_IMAGE=..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" >/tmp/apt.log 2>&1 || {
        tail -n 5 /tmp/apt.log >&2
        fail "the base image's packages cannot give $*" "name another base with BASE_IMAGE=..."
    }
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
        /var/log/alternatives.log /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /tmp/apt.log
}

what=$1
shift
case $what in
    python)
        version=$1
        shift
        if command -v "python$version" >/dev/null; then
            install "$@"
        else
            install "python$version" "$@"
        fi
        ;;
    packages)
        install "$@"
        ;;
    tools)
        [ ! -f /run/secrets/index ] || . /run/secrets/index
        "python$1" -c 'import ensurepip' 2>/dev/null || install "python$1-venv"
        "python$1" -m venv /build/tools
        /build/tools/bin/pip install --quiet --disable-pip-version-check --find-links /build/wheels "$2"
        ;;
esac
