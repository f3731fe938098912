#!/usr/bin/env bash
set -euo pipefail

# All checks, one part after the other, whatever becomes of the first.
code=0
for part in limits agent microvm; do
    printf '== %s\n' "$part"
    "$(dirname "${BASH_SOURCE[0]}")/$part.sh" || code=1
done
exit "$code"
