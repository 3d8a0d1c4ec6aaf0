#!/usr/bin/env bash
# The footprint check as the GitHub action calls it; the GitLab template has a script of its own. Everything comes by the
# environment: CANDIDATE, and optionally BASELINE, BUDGETS, AGAINST, TRAIN, DATA, STRICT, OTHER_TASK, NAME, RESULTS, and
# COMMENT, for which greenpose reads the token itself: it stands in no argument.
# Exits with 0 when fine, 1 when regressed, 2 when nothing could be checked. What nobody can know is a warning (exit 0)
# unless STRICT is true; but where the candidate has become another task, of which the baseline says nothing, it fails
# (exit 1) unless OTHER_TASK is warn.
set -uo pipefail

results=${RESULTS:-footprint}
arguments=("$CANDIDATE" --format text,json,junit,sarif,markdown,github,badge --output "$results")
[ -n "${BASELINE:-}" ] && arguments+=(--baseline "$BASELINE")
[ -n "${BUDGETS:-}" ] && arguments+=(--budgets "$BUDGETS")
[ -n "${AGAINST:-}" ] && arguments+=(--against "$AGAINST")
[ "${TRAIN:-false}" = true ] && arguments+=(--train)
[ "${DATA:-false}" = true ] && arguments+=(--data)
[ -n "${NAME:-}" ] && arguments+=(--name "$NAME")
[ -n "${COMMENT:-}" ] && arguments+=(--comment "$COMMENT")
[ "${STRICT:-false}" = true ] || [ "${OTHER_TASK:-fail}" = warn ] || arguments+=(--lenient)
mkdir -p "$results"

greenpose check "${arguments[@]}"
code=$?

verdict=error
document=$(ls -t "$results"/*.json 2>/dev/null | grep -Ev '\.(shields|codequality)\.json$' | head -n 1)
if [ $code != 2 ] && [ -n "$document" ]; then
  verdict=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["outcome"])' "$document")
fi
[ -n "${GITHUB_OUTPUT:-}" ] && echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
if [ "${STRICT:-false}" = true ]; then
  [ $code = 3 ] && code=1
  exit $code
fi
[ $code = 3 ] && code=0
case "$code $verdict" in
"0 inconclusive" | "0 incomparable")
  echo "The check is $verdict: shown as a warning. Set STRICT to true to fail on that."
  ;;
"1 incomparable")
  echo "The candidate has become another task: accept it by --update, or set OTHER_TASK to warn."
  ;;
esac
exit $code
