#!/usr/bin/env bash
# Plays Affiant's case on this machine: a verifier, a witness and four GPU hosts, with invented
# names. Builds first (some five minutes on two cores the first time), then plays for about a minute.
#
#   deploy/demo.sh                        plays in a temporary folder, which it leaves and names
#   AFFIANT_DEMO_DIR=DIR deploy/demo.sh   leaves DIR/verifier, DIR/report, DIR/trust, DIR/agents
#
# Exits 0 only if every check of its own held. Needs Rust 1.95 and a C compiler, and no GPU.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' off=$'\e[0m'
else bold= green= red= dim= off=; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '  %s\n' "$*"; }
good() { printf '  %sok%s  %s\n' "$green" "$off" "$*"; }
fail() {
    printf '  %sFAILED%s  %s\n' "$red" "$off" "$*" >&2
    for journal in "$play"/journal/*; do
        [ -s "$journal" ] && { printf '\n%s:\n' "$journal"; tail -n 15 "$journal"; } >&2
    done
    exit 1
}

# ---- where it plays, and what ends with it ----

play=${AFFIANT_DEMO_DIR:-$(mktemp -d -t affiant-demo.XXXXXX)}
mkdir -p "$play"
play=$(cd "$play" && pwd)
if [ -e "$play/.affiant-demo" ]; then
    # An earlier play: what it left makes room for this one.
    (cd "$play" && rm -rf verifier report trust agents witness officers journal auditor tampered forged ./*.toml address)
elif [ -n "$(ls -A "$play")" ]; then
    printf '%s: is not empty and no earlier demo; name a new folder\n' "$play" >&2
    exit 64
fi
touch "$play/.affiant-demo"
mkdir "$play/agents" "$play/officers" "$play/journal" "$play/auditor"

running=()
ended=
finish() {
    [ -n "$ended" ] && return
    ended=1
    for pid in ${running[@]+"${running[@]}"}; do kill "$pid" 2>/dev/null || true; done
    for pid in ${running[@]+"${running[@]}"}; do
        for _ in $(seq 60); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

# Starts a program in the background, its output in a journal. A signal from the terminal reaches
# this script alone, which ends the others in order.
launch() {
    local journal=$1
    shift
    setsid "$@" >>"$play/journal/$journal" 2>&1 &
    running+=($!)
}

# Waits until a command succeeds: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$limit" ] || fail "waited in vain for $what"
        sleep 0.2
    done
}

# ---- build ----

title "Building (some five minutes the first time on two cores, seconds after that)"
(cd "$root" && cargo build --locked --quiet -p affiant-agent -p affiant-verifier -p affiant-audit -p affiant-tests --bins)
bin=${CARGO_TARGET_DIR:-$root/target}/debug
SECONDS=0

verifier() { "$bin/affiant-verifier" "$@" --config "$play/verifier.toml"; }
alice=$play/officers/alice.key
bob=$play/officers/bob.key

# ---- the cast ----

title "The cast"
for name in alice bob; do
    "$bin/affiant-verifier" officer new --name "$name" --out "$play/officers/$name.key" >/dev/null
done
"$bin/affiant-verifier" init --data "$play/verifier" --origin demo.example/affiant/1 \
    --operator "Demo Cloud" --officer "$play/officers/alice.pub" --officer "$play/officers/bob.pub" \
    >"$play/journal/init"
say "Demo Cloud runs a verifier; alice and bob are its compliance officers"

mkdir "$play/witness"
log_key=$(sed -n 's/^key = "\(.*\)"/\1/p' "$play/verifier/trust.toml")
witness_key=$("$bin/affiant-audit" witness --init --key "$play/witness/key" --name witness.example)
launch witness "$bin/affiant-audit" witness --listen 127.0.0.1:0 --key "$play/witness/key" \
    --state "$play/witness/state" --log "$log_key" --port-file "$play/witness/port"
wait_for 10 "the witness" test -s "$play/witness/port"
say "an independent witness cosigns its log, as long as it only grows"

# What an auditor trusts comes from elsewhere than the bundle: this file.
sed 's/^accept_recorded = false/accept_recorded = true/' "$play/verifier/trust.toml" >"$play/trust"
printf '\n[[witness]]\nkey = "%s"\n' "$witness_key" >>"$play/trust"

write_config() {
    printf 'data = "%s"\nlisten = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\napi = "none"\n' "$1" >"$play/verifier.toml"
}
ask_the_witness() {
    printf '\n[[witness]]\nurl = "http://127.0.0.1:%s"\nkey = "%s"\n' \
        "$(cat "$play/witness/port")" "$witness_key" >>"$play/verifier.toml"
}
serve() {
    rm -f "$play/address"
    launch verifier "$bin/affiant-verifier" serve --accept-recorded --config "$play/verifier.toml" \
        --address-file "$play/address"
    wait_for 20 "the verifier" test -s "$play/address"
}
write_config "$play/verifier"
ask_the_witness
serve

verifier tenant apply "$here/demo/registry.toml" --key "$alice" >/dev/null
for tenant in northwind meridian; do
    verifier tenant approve "$tenant" --key "$alice" >/dev/null
    verifier tenant approve "$tenant" --key "$bob" >/dev/null
done
say "tenants: northwind, vetted; meridian, an intermediary, vetted; quickfire, applied only"

# ---- the GPU hosts ----

title "GPU hosts"
nvml=
for library in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib /usr/local/nvidia/lib64; do
    library=$library/libnvidia-ml.so.1
    if [ -z "$nvml" ] && [ -e "$library" ] && [ -e /dev/nvidia0 ]; then nvml=$library; fi
done
# All play traces; where this machine has a GPU, one of them is this machine.
hosts="h100 a100 l4 captured"
[ -n "$nvml" ] && hosts="h100 a100 captured own"
for host in $hosts; do
    data=$play/agents/$host
    mkdir "$data"
    {
        printf 'verifier = "https://%s"\nca = "%s"\ndata = "%s"\n' "$(head -n 1 "$play/address")" "$play/verifier/ca.pem" "$data/data"
        printf 'host = "gpu-%s"\ninterval = 2\nreconnect_max_ms = 500\n\n[source]\n' "$host"
        if [ "$host" = own ]; then printf 'kind = "nvml"\nlibrary = "%s"\n' "$nvml"
        else printf 'kind = "recorded"\nloop = true\ntrace = "%s"\n' "$here/demo/traces/$host.jsonl"; fi
    } >"$data/agent.toml"
    verifier token --host "gpu-$host" --valid 15m --out "$data/token" >/dev/null
    "$bin/affiant-agent" enroll --config "$data/agent.toml" --token-file "$data/token" >>"$play/journal/enroll" 2>&1 ||
        fail "gpu-$host could not enrol"
    launch "gpu-$host" "$bin/affiant-agent" run --config "$data/agent.toml"
    if [ "$host" = own ]; then say "gpu-own   REAL: this machine's GPU, through NVML"
    else
        kind=$(sed -n '1s/.*"origin":"\([a-z]*\)".*/\1/p' "$here/demo/traces/$host.jsonl")
        model=$(sed -n '1s/.*"model":"\([^"]*\)".*/\1/p' "$here/demo/traces/$host.jsonl")
        if [ "$kind" = recorded ]; then say "gpu-$host  trace of a real GPU: $model"
        else say "gpu-$host  invented trace, not a real GPU: $model ($kind)"; fi
    fi
done

# ---- the case ----

# `findings` exits 1 when there are any.
findings() { { verifier findings || true; } | awk '/^(critical|high|medium|low|info) /{print $2, $3}' | sort -u; }
found() { findings | grep -qx "$1"; }

title "The case"
wait_for 30 "meridian's finding" found "END_CUSTOMER_UNDECLARED meridian"
good "END_CUSTOMER_UNDECLARED: Meridian computes on H100 and A100, and says not for whom"
wait_for 30 "quickfire's finding" found "USE_UNVETTED quickfire"
good "USE_UNVETTED: Quickfire computes, and nobody has vetted it"
if [ -z "$nvml" ]; then
    unattributed() { findings | grep -q USE_UNATTRIBUTED; }
    wait_for 45 "the finding on nobody" unattributed
    good "USE_UNATTRIBUTED: a process of nobody computes on gpu-l4"
fi
say "asked, Meridian declares its end customer: Harbour City University, seated in CN"
verifier tenant apply "$here/demo/declared.toml" --key "$alice" >/dev/null
wait_for 30 "the seat's finding" found "RESTRICTED_HQ meridian"
good "RESTRICTED_HQ: on no list, under no threshold, and seen: the seat of the end customer"
wait_for 30 "the lapse" found "USE_UNVETTED meridian"
good "USE_UNVETTED: the approval covered another dossier, so it lapsed with the change"

# An auditor drops by and keeps the newest checkpoint; that is all that an anchor takes.
cp "$play/verifier/log/public/checkpoint" "$play/auditor/kept-checkpoint"
kept=$(sed -n 2p "$play/auditor/kept-checkpoint")

# Hosts stop in order: what they measured is INCLUDED before the report is made.
for pid in "${running[@]:2}"; do kill "$pid"; done
for pid in "${running[@]:2}"; do wait "$pid" 2>/dev/null || true; done
running=("${running[@]:0:2}")

expected="END_CUSTOMER_UNDECLARED meridian
RESTRICTED_HQ meridian
USE_UNATTRIBUTED on
USE_UNVETTED meridian
USE_UNVETTED quickfire"
[ -n "$nvml" ] || [ "$(findings | sed 's/USE_UNATTRIBUTED .*/USE_UNATTRIBUTED on/')" = "$expected" ] ||
    fail "other findings than expected: $(findings | tr '\n' ';')"
good "these findings, and no others"

# ---- the report ----

title "The report"
verifier report --from "$(date -u -d '-1 hour' +%FT%TZ)" --to "$(date -u -d '+1 minute' +%FT%TZ)" --out "$play/report"

title "The auditor, offline"
audit() { "$bin/affiant-audit" verify "$@" --trust "$play/trust"; }
code=0
audit "$play/report" || code=$?
[ "$code" = 1 ] || fail "the report should verify with findings (exit 1), not exit $code"
good "verified without network, clock or server: exit 1, for there are findings"

# ---- tampering ----

# Prints by what a verdict was broken.
caught_by() { awk '/^FAIL/ {on = 1; print "  " $0; next} on && /^                  / {print "  " $0; next} {on = 0}' "$1"; }

title "Tampering 1: one byte"
cp -r "$play/report" "$play/tampered"
size=$(stat -c %s "$play/tampered/evidence.bin")
offset=$((size / 2))
byte=$(od -An -tu1 -j "$offset" -N 1 "$play/tampered/evidence.bin" | tr -d ' ')
printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$play/tampered/evidence.bin" bs=1 seek="$offset" conv=notrunc status=none
code=0
audit "$play/tampered" >"$play/journal/tampered" 2>&1 || code=$?
caught_by "$play/journal/tampered"
[ "$code" = 2 ] || fail "one changed byte was not caught (exit $code)"
good "caught: exit 2"

title "Tampering 2: an insider with every key"
kill "${running[1]}"; wait "${running[1]}" 2>/dev/null || true
running=("${running[0]}")
"$bin/affiant-insider" "$play/verifier" "$play/forged/verifier" | sed 's/^/  /'
# Asked, the witness would say that it has seen more, and the verifier would not serve this log.
write_config "$play/forged/verifier"
serve
verifier report --from "$(date -u -d '-1 hour' +%FT%TZ)" --to "$(date -u -d '+1 minute' +%FT%TZ)" --out "$play/forged/report" >/dev/null
code=0
audit "$play/forged/report" >"$play/journal/forged" 2>&1 || code=$?
[ "$code" = 2 ] || [ "$code" = 3 ] || fail "the forged report passed without an anchor (exit $code)"
caught_by "$play/journal/forged"
say "every signature is real, and no witness was asked: exit $code"
code=0
audit "$play/forged/report" --since "$play/auditor/kept-checkpoint" >"$play/journal/forged-since" 2>&1 || code=$?
caught_by "$play/journal/forged-since"
[ "$code" = 2 ] || fail "the forged log was not caught by the kept checkpoint (exit $code)"
good "caught by the checkpoint of size $kept that the auditor kept: exit 2"

finish
title "Done in $SECONDS s"
say "read    $play/report/report.html"
say "verify  $bin/affiant-audit verify $play/report --trust $play/trust"
