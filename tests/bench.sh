#!/usr/bin/env bash
# Measures the real verifier under a paced fleet, and the real agent on a simulated NVML library.
#
#   tests/bench.sh                       a table, after some ten minutes (and the release build)
#   tests/bench.sh --json                one JSON object on standard output, the table on the other
#   tests/bench.sh --hosts 3000 --rate 300 --seconds 60
#   tests/bench.sh --relayed-hosts 20000 --relayed-rate 2000
#   tests/bench.sh --direct-only         without relays
#   tests/bench.sh --dir DIR             keeps data, keys and enrolments there for the next run
#
# Everything runs on the loopback of this machine, in a temporary folder, and ends with the script.
# Figures go with their conditions; there is no pass or fail. tests/BENCH.md explains them.
# Needs Rust 1.95 and a C compiler.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

json= hosts=9000 rate=12500 relays=16 relayed_hosts=125000 relayed_rate=12500 seconds=30 agent_seconds=90 dir=
usage() { sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64; }
number() { [[ $2 =~ ^[1-9][0-9]*$ ]] || { printf '%s wants a whole number above 0, not `%s`\n' "$1" "$2" >&2; exit 64; }; }
while [ $# -gt 0 ]; do
    case $1 in
        --json) json=1 ;;
        --direct-only) relayed_hosts=0 ;;
        --hosts | --rate | --relays | --relayed-hosts | --relayed-rate | --seconds | --agent-seconds)
            number "$1" "${2:-}"
            name=${1#--}
            printf -v "${name//-/_}" %s "$2"
            shift ;;
        --dir) dir=${2:-}; [ -n "$dir" ] || usage; shift ;;
        *) usage ;;
    esac
    shift
done

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "bench: $*"
    for journal in "$play"/journal/*; do
        [ -s "$journal" ] && { say "$journal:"; tail -n 8 "$journal" >&2; }
    done
    exit 74
}

# ---- where it runs, and what ends with it ----

if [ -n "$dir" ]; then
    mkdir -p "$dir"
    play=$(cd "$dir" && pwd)
else
    play=$(mktemp -d -t affiant-bench.XXXXXX)
fi
mkdir -p "$play/journal" "$play/out"

running=()
finish() {
    trap - EXIT INT TERM
    for pid in ${running[@]+"${running[@]}"}; do kill "$pid" 2>/dev/null || true; done
    for pid in ${running[@]+"${running[@]}"}; do
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    [ -n "$dir" ] || rm -rf "$play"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

# Starts a program in the background; its process id is in $launched.
launch() {
    local journal=$1
    shift
    "$@" >"$play/journal/$journal" 2>&1 &
    launched=$!
    running+=("$launched")
}

# Runs a program to its end so that a signal to this script need not wait for it.
follow() {
    local code=0
    "$@" &
    running+=("$!")
    wait "$!" || code=$?
    unset 'running[-1]'
    return "$code"
}

# Waits until a command succeeds: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$limit" ] || fail "waited in vain for $what"
        sleep 0.1
    done
}

# Takes a number out of a JSON object whose keys are each there once: field FILE KEY
field() { grep -o "\"$2\":[-+0-9.eE]*" "$1" | head -n 1 | cut -d: -f2; }
calculate() { awk "BEGIN { printf \"%.${2:-2}f\", $1 }"; }

# ---- build ----

say "building in release (first time: some five minutes on two cores)"
follow env -C "$root" cargo build --locked --quiet --release -p affiant-verifier -p affiant-agent -p affiant-audit \
    -p affiant-fleet -p affiant-nvml-sim
bin=${CARGO_TARGET_DIR:-$root/target}/release
verifier() { "$bin/affiant-verifier" "$@" --config "$place/verifier.toml"; }
SECONDS=0

# ---- a verifier with two officers, a fleet and a vetted tenant ----

# A connection is a file.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

# Serves a log of its own, in which a fleet is enrolled: deploy NAME HOSTS CONNECTIONS RELAYS
deploy() {
    local name=$1 fresh=
    place=$play/$name
    data=$place/verifier
    mkdir -p "$place"
    if [ ! -d "$data" ]; then
        for officer in alice bob; do
            [ -e "$place/$officer.key" ] || "$bin/affiant-verifier" officer new --name "$officer" --out "$place/$officer.key" >/dev/null
        done
        "$bin/affiant-verifier" init --data "$data" --origin bench.example/affiant/1 --operator "Bench Cloud" \
            --officer "$place/alice.pub" --officer "$place/bob.pub" >/dev/null
        say "$name: enrolling $2 hosts in its log"
        follow "$bin/affiant-fleet" enrol --data "$data" --state "$place/fleet" --hosts "$2" --connections "$3" \
            --relays "$4" >/dev/null || fail "the fleet could not be enrolled"
        fresh=1
    fi
    printf 'data = "%s"\nlisten = "127.0.0.1:0"\nhttp = "none"\napi = "none"\n' "$data" >"$place/verifier.toml"
    rm -f "$place/address"
    local began=$SECONDS
    launch "verifier-$name" "$bin/affiant-verifier" serve --accept-recorded --config "$place/verifier.toml" \
        --address-file "$place/address"
    verifier_pid=$launched
    # Of 125,000 hosts it reads 375,000 statements first.
    wait_for 300 "the verifier" test -s "$place/address"
    start_s=$((SECONDS - began))
    address=$(head -n 1 "$place/address")
    # The load's workloads belong to a vetted tenant, so that the judge does what it does all day.
    [ -n "$fresh" ] || return 0
    cat >"$place/registry.toml" <<'TOML'
[[party]]
id = "bench-labs"
names = ["Bench Labs Inc."]
incorporation = "US"
headquarters = "US"

[[tenant]]
id = "bench-labs"
customer = "bench-labs"
end_customer = "bench-labs"
ultimate_parent = "bench-labs"

[[binding]]
id = "bench-slurm"
tenant = "bench-labs"
slurm_account = "bench-climate"

[[binding]]
id = "bench-pods"
tenant = "bench-labs"
namespace = "bench-vision"

[[binding]]
id = "bench-service"
tenant = "bench-labs"
unit = "bench-inference.service"
TOML
    verifier tenant apply "$place/registry.toml" --key "$place/alice.key" >/dev/null
    for officer in alice bob; do verifier tenant approve bench-labs --key "$place/$officer.key" >/dev/null; done
}

# Ends the verifier that runs.
undeploy() {
    kill "$verifier_pid"
    wait "$verifier_pid" || true
}

# ---- the load ----

primitive() { "$bin/affiant-fleet" primitive --json >"$play/out/$1"; }

# Loads the verifier that runs: load NAME HOSTS RATE
load() {
    say "$1: $2 hosts, $3 records/s for $seconds s, signed before"
    primitive "$1-before"
    follow "$bin/affiant-fleet" load --verifier "https://$address" --ca "$data/ca.pem" \
        --shape "$1" --relays "$relays" --state "$place/fleet" --hosts "$2" --interval-ms 10000 --rate "$3" \
        --seconds "$seconds" --pid "$verifier_pid" --data "$data/log" --json >"$play/out/$1" 2>"$play/journal/load" ||
        fail "the load did not come through"
    primitive "$1-after"
}

# One bare verification in the same minutes: verify_us NAME
verify_us() { calculate "($(field "$play/out/$1-before" verify_us) + $(field "$play/out/$1-after" verify_us)) / 2"; }
ratio() { calculate "$(field "$play/out/$1" cpu_us_per_record) / $(verify_us "$1")"; }

relayed_start=
if [ "$relayed_hosts" -gt 0 ]; then
    deploy relayed "$relayed_hosts" 0 "$relays"
    relayed_start=$start_s
    load relayed "$relayed_hosts" "$relayed_rate"
    undeploy
fi
deploy direct "$hosts" "$hosts" 0
begun=$(date -u +%FT%TZ)
load direct "$hosts" "$rate"
load=$play/out/direct

verify=$(verify_us direct)
intake_ratio=$(ratio direct)
intake_rate=$(calculate "$(field "$load" rate)" 0)
gpu_day=$(calculate "$(field "$load" bytes_per_gpu_day)" 0)
# `findings` exits 1 when there are any, grep when there are none.
findings=$({ verifier findings --json || true; } | { grep -o '"rule"' || true; } | wc -l)
cores=$(nproc)

# ---- the audit of an hour of 10,000 GPUs ----

say "audit: 1,250 hosts × 8 GPUs, one hour"
[ -e "$play/hour/trust.toml" ] || follow "$bin/affiant-fleet" prepare --out "$play/hour" >"$play/journal/prepare" || fail "the log could not be made"
audit_begun=$(date +%s.%N)
code=0
follow "$bin/affiant-audit" log "$play/hour" --trust "$play/hour/trust.toml" --json >"$play/out/log" 2>"$play/journal/log" || code=$?
audit_s=$(calculate "$(date +%s.%N) - $audit_begun" 3)
[ "$code" -le 1 ] || fail "the audit of the prepared log ended with $code"
audited=$(grep -o '"detail": "[0-9]* statements' "$play/out/log" | grep -o '[0-9]*')
audit_ratio=$(calculate "$audited / $audit_s / (1000000 / $verify * $cores)")
audit_said="$audited entries of a log in $audit_s s on $cores cores, exit $code"

# The same log, repacked as the verifier does each hour.
rm -rf "$play/repacked"
cp -r "$play/hour" "$play/repacked"
follow "$bin/affiant-fleet" repack --out "$play/repacked" --json >"$play/out/repack" 2>"$play/journal/repack" || fail "the log could not be repacked"
# All that its directory holds, by the records of its hour.
stored() { calculate "$(du -sb --exclude=swept "$play/$1/log" | cut -f1) / 450000"; }
repacked_gpu_day=$(calculate "$(stored repacked) * 8640 / 8" 0)
audit_begun=$(date +%s.%N)
code=0
follow "$bin/affiant-audit" log "$play/repacked" --trust "$play/repacked/trust.toml" --json >"$play/out/log-repacked" 2>>"$play/journal/log" || code=$?
repacked_audit_s=$(calculate "$(date +%s.%N) - $audit_begun" 3)
[ "$code" -le 1 ] || fail "the audit of the repacked log ended with $code"

# ---- the report of what was just recorded ----

report_said="not built"
if [ -x "$bin/affiant-audit" ] && "$bin/affiant-audit" verify --help >/dev/null 2>&1; then
    say "report and audit of the load"
    rm -rf "$play/report"
    # Where few hosts send fast, their claims run ahead of time: the period reaches a day further.
    report_begun=$(date +%s.%N)
    if follow verifier report --from "$begun" --to "$(date -u -d '+1 day' +%FT%TZ)" --out "$play/report" >"$play/journal/report" 2>&1; then
        report_s=$(calculate "$(date +%s.%N) - $report_begun")
        sed 's/^accept_recorded = false/accept_recorded = true/' "$data/trust.toml" >"$play/trust"
        audit_begun=$(date +%s.%N)
        code=0
        follow "$bin/affiant-audit" verify "$play/report" --trust "$play/trust" --json >"$play/out/audit" 2>"$play/journal/audit" || code=$?
        audit_s=$(calculate "$(date +%s.%N) - $audit_begun" 3)
        # 0 clean, 1 findings, 3 incomplete (no anchor was given): all of it was checked.
        case $code in
            0 | 1 | 3)
                records=$(field "$load" records)
                report_said="$records records verified in $audit_s s on one thread, exit $code (made in $report_s s)" ;;
            *) report_said="exit $code: the report of the load did not verify" ;;
        esac
    else
        report_said="the report could not be made: $(tail -n 1 "$play/journal/report")"
    fi
fi

# ---- all tenants screened again ----

say "screening: 10,000 tenants, 60,000 names on two threads"
"$bin/affiant-fleet" screening --json >"$play/out/screening" 2>"$play/journal/screening" || fail "tenants could not be screened"
screening_seconds=$(calculate "$(field "$play/out/screening" screening_seconds)" 2)

# ---- the agent ----

agent_rss= agent_cpu= agent_said="not built"
if [ -x "$bin/affiant-agent" ]; then
    say "agent: 8 simulated GPUs at 1 Hz for $agent_seconds s"
    rm -rf "$play/agent"
    mkdir "$play/agent"
    cat >"$play/agent.toml" <<TOML
verifier = "https://$address"
ca = "$data/ca.pem"
data = "$play/agent/data"
host = "agent-$(date +%s)"
interval = 10

[source]
kind = "nvml"
library = "$bin/libnvidia_ml.so"
period_ms = 1000
TOML
    host=$(sed -n 's/^host = "\(.*\)"/\1/p' "$play/agent.toml")
    verifier token --host "$host" --valid 15m --out "$play/agent/token" >/dev/null
    export AFFIANT_NVML_SIM=$root/tests/nvml/fleets/eight.toml
    "$bin/affiant-agent" enroll --config "$play/agent.toml" --token-file "$play/agent/token" >"$play/journal/enroll" 2>&1 ||
        fail "the agent could not enrol"
    launch agent "$bin/affiant-agent" run --config "$play/agent.toml"
    agent_pid=$launched
    # Measured once a first record is INCLUDED: whatever is done only at the start is over.
    included() { verifier host list --json | tr '{' '\n' | grep "\"$host\"" | grep -q '"included_sequence": *[3-9]'; }
    wait_for 60 "the agent's first record" included
    watched=$play/out/agent
    follow "$bin/affiant-fleet" watch --pid "$agent_pid" --seconds "$agent_seconds" --json >"$watched" || fail "the agent ended"
    agent_rss=$(calculate "$(field "$watched" resident_mib_max)" 1)
    agent_cpu=$(calculate "$(field "$watched" cpu_percent)" 3)
    agent_said="$(field "$watched" processes) processes, $(calculate "$(field "$watched" resident_mib_begin)" 1) MiB at first, $(calculate "$(field "$watched" resident_mib_end)" 1) at last"
fi

# ---- what came out ----

# A percentile in ms of what was measured: ms NAME KIND WHICH
ms() { calculate "$(grep -o "\"$2\":{[^}]*}" "$play/out/$1" | grep -o "\"$3\":[0-9.]*" | cut -d: -f2)" 0; }
row() { printf '%-30s %10s   %s\n' "$@"; }
smaller=smaller; [ "$hosts" -lt 9000 ] || [ "$rate" -lt 12500 ] || smaller="not smaller"
# The rows of one load: loaded NAME RATE PREFIX
loaded() {
    local of=$play/out/$1 per_s
    per_s=$(calculate "$(field "$of" rate)" 0)
    row "$3records_per_s" "$per_s" "$(field "$of" records) records, all INCLUDED, $(field "$of" receipts) receipts; generator beside: $(calculate "$(field "$of" generator_cpu_us)" 0) µs a record"
    row "$3ratio" "$(ratio "$1")" "$(calculate "$(field "$of" cpu_us_per_record)" 1) µs of verifier CPU a record ($(field "$of" user_s | xargs printf %.2f) s user, $(field "$of" system_s | xargs printf %.2f) s system) / $(verify_us "$1") µs a bare verify ($(calculate "$(field "$play/out/$1-before" verify_us)" 1) before, $(calculate "$(field "$play/out/$1-after" verify_us)" 1) after)"
    row "" "" "sent to INCLUDED: p50 $(ms "$1" latency p50_ms) ms, p99 $(ms "$1" latency p99_ms) ms; sent late: p99 $(ms "$1" lateness p99_ms) ms"
    row "" "" "verifier $(calculate "$(field "$of" resident_mib_alone)" 1) MiB resident alone, $(calculate "$(field "$of" resident_mib_connected)" 1) connected, $(calculate "$(field "$of" resident_mib_before)" 1) with each host heard once, $(calculate "$(field "$of" resident_mib_after)" 1) after the load"
    row "" "" "stored: $(calculate "$(field "$of" bytes_per_record)" 0) bytes a record of $(calculate "$(field "$of" envelope_bytes)" 0) bytes of envelope"
    [ "$(calculate "$per_s < 0.97 * $2" 0)" = 0 ] ||
        printf '    The fleet fell behind the asked %s/s: give it less or an idle machine.\n' "$2"
    [ "$(grep -o '"quiet":[a-z]*' "$of")" = '"quiet":true' ] ||
        printf '    The verifier was still busy after the load: its CPU time is higher than shown.\n'
}
table() {
    local model
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    printf 'machine      %s cores, %s; data on %s; load average %s\n' "$cores" "${model:-unknown}" \
        "$(stat -f -c %T "$play")" "$(cut -d' ' -f1-3 /proc/loadavg)"
    printf 'direct       %s hosts × 8 GPUs, one mTLS connection each, %s records/s asked, %s s\n' "$hosts" "$rate" "$seconds"
    printf '             %s than the design'\''s 9,000 connections and 12,500 records/s' "$smaller"
    [ "$hosts" -ge $((rate * 10)) ] || printf ';\n             a host sends every %s s a record that says 10 s' "$(calculate "$hosts / $rate" 3)"
    [ "$relayed_hosts" = 0 ] ||
        printf '\nrelayed      %s hosts × 8 GPUs over %s streams, %s records/s asked; the verifier started in %s s' \
            "$relayed_hosts" "$relays" "$relayed_rate" "$relayed_start"
    printf '\n             the generator is a process of its own on the same cores\n\n'
    loaded direct "$rate" intake_
    [ "$relayed_hosts" = 0 ] || loaded relayed "$relayed_rate" intake_relayed_
    row "bytes_per_gpu_day" "$repacked_gpu_day" "the log of the audit, in all $(stored hour) bytes a record as written and $(stored repacked) repacked, which took $(calculate "$(field "$play/out/repack" us_per_entry)" 1) µs an entry"
    row "bytes_per_gpu_day_written" "$gpu_day" "until the hour is repacked: direct, 8,640 records a day; $findings findings"
    row "audit_ratio" "$audit_ratio" "$audit_said; repacked in $repacked_audit_s s"
    row "report" "" "$report_said"
    row "agent_rss_mib" "${agent_rss:-absent}" "$agent_said"
    row "agent_cpu_percent" "${agent_cpu:-absent}" "± $(calculate "2 / $agent_seconds" 3), of one core: two processes counted in ticks of 10 ms over $agent_seconds s"
    row "nvml_busy_percent" "absent" "a simulated library answers at once: measured on a real GPU only"
    row "report_seconds" "absent" "for 10,000 GPUs and a month: not yet"
    row "screening_seconds" "$screening_seconds" "10,000 tenants against $(field "$play/out/screening" listed_names) names on two threads; indexed in $(calculate "$(field "$play/out/screening" index_seconds)" 2) s"
    printf '\ntook %s s\n' "$SECONDS"
}
if [ -n "$json" ]; then
    table >&2
    printf '{"intake_ratio":%s,"intake_records_per_s":%s,"bytes_per_gpu_day":%s,"bytes_per_gpu_day_written":%s' "$intake_ratio" "$intake_rate" "$repacked_gpu_day" "$gpu_day"
    printf ',"included_p50_ms":%s,"included_p99_ms":%s' "$(ms direct latency p50_ms)" "$(ms direct latency p99_ms)"
    [ "$relayed_hosts" = 0 ] || printf ',"intake_relayed_ratio":%s,"intake_relayed_records_per_s":%s,"included_relayed_p50_ms":%s,"included_relayed_p99_ms":%s' \
        "$(ratio relayed)" "$(calculate "$(field "$play/out/relayed" rate)" 0)" "$(ms relayed latency p50_ms)" "$(ms relayed latency p99_ms)"
    printf ',"audit_ratio":%s,"screening_seconds":%s' "$audit_ratio" "$screening_seconds"
    [ -z "$agent_rss" ] || printf ',"agent_rss_mib":%s,"agent_cpu_percent":%s' "$agent_rss" "$agent_cpu"
    printf ',"conditions":{"cores":%s,"hosts":%s,"rate":%s,"seconds":%s,"verify_us":%s,"smaller_than_design":%s}}\n' \
        "$cores" "$hosts" "$rate" "$seconds" "$verify" "$([ "$smaller" = smaller ] && echo true || echo false)"
else
    table
fi
