#!/bin/sh
# Installs what the `tools` tests call: dciodvfy (dicom3tools), dcmtk, plastimatch, Orthanc with DICOMweb, the
# browser that opens pages (chromium), and npm, which brings OHIF's page. g++ runs the kernels' sources.
set -eu
missing=""
command -v dciodvfy >/dev/null || missing="$missing dicom3tools"
command -v dcmdump >/dev/null || missing="$missing dcmtk"
command -v chromium >/dev/null || missing="$missing chromium"
command -v plastimatch >/dev/null || missing="$missing plastimatch"
command -v g++ >/dev/null || missing="$missing g++"
[ -x /usr/sbin/Orthanc ] || command -v Orthanc >/dev/null || missing="$missing orthanc"
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing="$missing orthanc-dicomweb"
command -v npm >/dev/null || missing="$missing npm"
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    # The tests start Orthanc themselves; its service must not run, nor listen, because of them.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    # shellcheck disable=SC2086  # a list of package names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif [ "${GSIGPU_REQUIRE_TOOLS:-0}" = 1 ]; then
    echo "missing:$missing; install them as root" >&2
    exit 1
else
    echo "not installed:$missing; the tests that need them are skipped" >&2
fi
