#!/bin/sh
# Installs what the `tools` tests call: dciodvfy (dicom3tools) and dcmtk. g++ runs the kernels' sources.
set -eu
missing=""
command -v dciodvfy >/dev/null || missing="$missing dicom3tools"
command -v dcmdump >/dev/null || missing="$missing dcmtk"
command -v g++ >/dev/null || missing="$missing g++"
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of package names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif [ "${GSIGPU_REQUIRE_TOOLS:-0}" = 1 ]; then
    echo "missing:$missing; install them as root" >&2
    exit 1
else
    echo "not installed:$missing; the tests that need them are skipped" >&2
fi
