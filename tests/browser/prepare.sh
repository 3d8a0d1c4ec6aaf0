#!/usr/bin/env bash
# What the tests in a browser need beyond Python: Chromium, pdftotext, and axe-core, which judges accessibility.
# Installs what is missing where it may; otherwise says what to do and fails.
set -euo pipefail
cd "$(dirname "$0")"

need() {  # command, Debian package
    command -v "$1" > /dev/null && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        echo "The tests in a browser need \`$1\`; install it (Debian: apt-get install $2) and call make test-browser again." >&2
        exit 1
    fi
    echo "installing $2"
    { apt-get install -y -qq "$2" || { apt-get update -qq && apt-get install -y -qq "$2"; }; } > /dev/null
}

need chromium chromium
need pdftotext poppler-utils
if ! cmp -s package-lock.json node_modules/.lock; then
    need npm npm
    npm ci --silent --no-audit --no-fund
    cp package-lock.json node_modules/.lock
fi
