#!/usr/bin/env bash
# Has systemd check the units: `systemd-analyze verify` wants the programs to exist, so it is given
# a root of its own in which they do.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
for unit in "$here"/*.service; do
    name=$(basename "$unit")
    program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit" | head -n 1)
    sed "s|^ExecStart=[^ ]*|ExecStart=/bin/true|" "$unit" > "$root/$name"
    systemd-analyze verify --man=no "$root/$name"
    exposure=$(systemd-analyze security --offline=true --no-pager "$root/$name" | tail -n 1)
    printf '%s (%s)\n  %s\n' "$name" "$program" "${exposure#*→ }"
done
