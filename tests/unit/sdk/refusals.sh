#!/usr/bin/env bash
# refusals.sh COMPILER INCLUDE_DIRECTORY refusals.cpp: each case of the file must be refused with its own sentence, and without a case it must compile.
set -euo pipefail
compiler=$1 include=$2 source=$3
fails=0
compile() { "$compiler" -std=c++20 -fsyntax-only -I "$include" "$@" "$source" 2>&1; }
compile > /dev/null || { echo "without a case it does not compile:"; compile | head -20; fails=1; }
while IFS=$'\t' read -r number words; do
  if out=$(compile -DCASE="$number"); then
    echo "case $number compiles, but should be refused with: $words"
    fails=1
  elif ! grep -m1 -E '(error|static assertion)' <<< "$out" | grep -qF -- "$words"; then
    echo "case $number is refused, but not first of all with: $words"
    head -20 <<< "$out"
    fails=1
  elif [[ $words != "is write() missing?" && $words != "a job is a whole pipeline" ]] && grep -q "is write() missing" <<< "$out"; then
    echo "case $number is refused, and then with a second sentence that is not true: is write() missing?"
    fails=1
  fi
done < <(sed -nE 's|^#.*CASE == ([0-9]+) +// (.*)$|\1\t\2|p' "$source")
exit $fails
