#!/bin/sh
# Runs an upgrade of the NVIDIA driver while the agent holds no device, so that the records say
# `driver upgrade` for just that time, not that the driver failed. As root:
#
#   driver-upgrade.sh apt-get install --yes nvidia-driver-580-server
#   driver-upgrade.sh -r dnf upgrade --assumeyes nvidia-driver     # a reboot follows: it stays paused
#
# 1. pause: returns once nothing of the agent has the driver open
# 2. stop the services that hold it, and make sure that nobody else does
# 3. upgrade
# 4. start the services, end the pause: whether the upgrade went well or not
#
# Exits as the upgrade does; 75 when the driver was in use and 3 when no agent runs, with nothing
# upgraded.
#
#   AFFIANT_PAUSE     longest that it may take [30m]; after that the agent looks again by itself
#   AFFIANT_SERVICES  what to stop meanwhile, of these what runs [nvidia-persistenced nvidia-dcgm]
#   AFFIANT_AGENT     the agent's program [affiant-agent], AFFIANT_CONFIG its configuration
#   AFFIANT_DEVICES   what must not be open [/dev/nvidia*]
set -eu

agent=${AFFIANT_AGENT:-affiant-agent}
config=${AFFIANT_CONFIG:-/etc/affiant/agent.toml}
services=${AFFIANT_SERVICES-nvidia-persistenced nvidia-dcgm}
devices=${AFFIANT_DEVICES-/dev/nvidia*}

reboot=
if [ "${1-}" = -r ]; then
    reboot=1
    shift
fi
if [ $# -eq 0 ]; then
    echo "driver-upgrade: give the command that upgrades the driver" >&2
    exit 64
fi

# The processes that have one of the devices open.
holders() {
    find /proc/[0-9]*/fd -maxdepth 1 -lname "$devices" 2>/dev/null | cut -d / -f 3 | sort -un |
        while read -r pid; do
            printf '%s (%s)\n' "$(cat "/proc/$pid/comm" 2>/dev/null)" "$pid"
        done
}

stopped=
finish() {
    status=$?
    trap - EXIT
    for service in $stopped; do
        systemctl start "$service" || status=$?
    done
    if [ -z "$reboot" ] || [ "$status" -ne 0 ]; then
        "$agent" pause --end --config "$config" || status=$?
    fi
    exit "$status"
}

"$agent" pause --for "${AFFIANT_PAUSE:-30m}" --reason driver-upgrade --config "$config"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for service in $services; do
    if systemctl --quiet is-active "$service"; then
        systemctl stop "$service"
        stopped="$service $stopped"
    fi
done

holding=$(holders)
if [ -n "$holding" ]; then
    printf 'driver-upgrade: the driver is in use, nothing was upgraded; end these first:\n%s\n' "$holding" >&2
    exit 75
fi

"$@"
