#!/bin/sh
# Tells the agent whose a Slurm job is, before it starts. In slurm.conf, run by slurmd as root:
#
#   Prolog=/etc/slurm/prolog.d/50-affiant.sh
#   PrologFlags=Alloc
#
# Leaves FOLDER/JOB with the lines account=NAME and user=NAME, which root alone may change; the
# agent believes no other. FOLDER is `prolog` under [slurm] in agent.toml.
#
# Never fails: Slurm would drain the node. A job without a file is recorded without its account,
# which the verifier shows as use that nobody is known to have vetted.
set -u

folder=${AFFIANT_SLURM:-/run/affiant/slurm}
job=${SLURM_JOB_ID-}

leave() {
    umask 022
    case $job in
        '' | *[!0-9A-Za-z]*) echo "no job id" && return 1 ;;
    esac
    mkdir -p "$folder" || return
    # Renamed into place: the agent never reads half of it.
    new=$folder/.$job
    {
        [ -z "${SLURM_JOB_ACCOUNT-}" ] || printf 'account=%s\n' "$SLURM_JOB_ACCOUNT"
        [ -z "${SLURM_JOB_USER-}" ] || printf 'user=%s\n' "$SLURM_JOB_USER"
    } > "$new" || return
    mv -f "$new" "$folder/$job"
}

if ! why=$(leave 2>&1); then
    logger -t affiant-prolog "job $job is recorded without its account: $why" 2>/dev/null || true
fi
exit 0
