#!/bin/sh
# Takes away what slurm-prolog.sh left of a job that is over. In slurm.conf, run by slurmd as root:
#
#   Epilog=/etc/slurm/epilog.d/50-affiant.sh
#
# Never fails: Slurm would drain the node.
set -u

folder=${AFFIANT_SLURM:-/run/affiant/slurm}
case ${SLURM_JOB_ID-} in
    '' | *[!0-9A-Za-z]*) ;;
    *) rm -f "$folder/$SLURM_JOB_ID" "$folder/.$SLURM_JOB_ID" 2>/dev/null || true ;;
esac
exit 0
