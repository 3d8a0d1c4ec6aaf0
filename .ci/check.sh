#!/usr/bin/env bash
# The footprint check as the GitHub action calls it; the GitLab template has a script of its own. Everything comes by the
# environment: CANDIDATE, and optionally BASELINE, BUDGETS, AGAINST, STRICT, NAME, RESULTS.
# Exits with 0 when fine, 1 when regressed, 2 when nothing could be checked; inconclusive and incomparable are
# warnings (exit 0) unless STRICT is true.
set -uo pipefail

results=${RESULTS:-footprint}
arguments=("$CANDIDATE" --format text,json,junit,sarif,markdown,github,badge --output "$results")
[ -n "${BASELINE:-}" ] && arguments+=(--baseline "$BASELINE")
[ -n "${BUDGETS:-}" ] && arguments+=(--budgets "$BUDGETS")
[ -n "${AGAINST:-}" ] && arguments+=(--against "$AGAINST" --install)
[ -n "${NAME:-}" ] && arguments+=(--name "$NAME")
mkdir -p "$results"

greenpose check "${arguments[@]}"
code=$?

verdict=error
document=$(ls -t "$results"/*.json 2>/dev/null | grep -v '\.shields\.json$' | head -n 1)
if [ $code != 2 ] && [ -n "$document" ]; then
  verdict=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["outcome"])' "$document")
fi
[ -n "${GITHUB_OUTPUT:-}" ] && echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
if [ $code = 3 ] && [ "${STRICT:-false}" != true ]; then
  echo "The check is $verdict: shown as a warning. Set STRICT to true to fail on that."
  exit 0
fi
[ $code = 3 ] && exit 1
exit $code
