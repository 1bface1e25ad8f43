#!/bin/sh
# Makes sure of what an image of a framework must and must not hold.
#
#   check.sh DEVICE CUDNN
#
# DEVICE is cpu or gpu, CUDNN says who brings cuDNN: base, wheels or nobody.
set -eu

device=$1
cudnn=$2
root=${ROOT:-}

fail() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

for nvidia in "$root"/opt/venv/lib/python*/site-packages/nvidia; do
    if [ "$device" = cpu ] && [ -d "$nvidia" ]; then
        fail "what was installed is a build for CUDA, in an image for CPU" \
            "name an index of CPU builds with PIP_EXTRA_INDEX_URL, or a folder with PIP_FIND_LINKS"
    fi
done

found=$(find "$root/" -xdev -name 'libcudnn.so*' | sed 's|/[^/]*$||' | sort -u)
count=$(printf '%s' "$found" | grep -c . || true)
in_wheels=$(printf '%s' "$found" | grep -c "^$root/opt/venv/" || true)
case $cudnn in
    nobody) wanted='0 0' ;;
    base) wanted='1 0' ;;
    wheels) wanted='1 1' ;;
esac
if [ "$count $in_wheels" != "$wanted" ]; then
    fail "cuDNN is in $count places${found:+ ($(printf '%s' "$found" | tr '\n' ' '))}, not as wanted: $cudnn" \
        "exactly one cuDNN may be in an image; name a fitting base with BASE_IMAGE=..."
fi
