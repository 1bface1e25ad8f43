#!/bin/sh
# What comes from Python's packages, by the uv in /build/tools.
#
#   install.sh framework PYTHON LOCK REQUIREMENT...  a virtual environment in /opt/venv, by a lock
#   install.sh resolve PYTHON LOCK REQUIREMENT...    whether that can be had
#   install.sh wheels PROJECT...                     wheels of our own, in /own
#   install.sh programs LOCK NAME...                 these from /build/wheels, the rest by the lock
set -eu

[ ! -f /run/secrets/index ] || . /run/secrets/index
export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 HOME="${HOME:-/tmp}"
uv=/build/tools/bin/uv
venv=/opt/venv

install() {
    lock=$1
    shift
    "$uv" pip install --python "$venv" --find-links /build/wheels \
        --constraint "/build/locks/$lock" "$@"
}

what=$1
shift
case $what in
    framework | resolve)
        python=$1
        shift
        "$uv" venv --quiet --python "python$python" "$venv"
        if [ "$what" = resolve ]; then
            install "$@" --dry-run
        else
            install "$@"
            # What the distributions bring for their own developers: a sixth of PyTorch.
            find "$venv/lib" -type d \( -name test -o -name tests \) -prune -exec rm -r {} +
            find "$venv/lib" -path '*/bin/*' -type f \( -name 'test_*' -o -name '*Test' \) -delete
            "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" || true
        fi
        ;;
    wheels)
        mkdir -p /own
        for project in "$@"; do
            "$uv" build --quiet --wheel --python /build/tools/bin/python --out-dir /own "$project"
        done
        ;;
    programs)
        before=$(mktemp)
        lock=$1
        shift
        UV_NO_CACHE=1 install "$lock" "$@"
        find "$venv/lib" -name '*.py' -cnewer "$before" >"$before.new"
        "$venv/bin/python" -m compileall -q -i - <"$before.new"
        rm "$before" "$before.new"
        ;;
esac
