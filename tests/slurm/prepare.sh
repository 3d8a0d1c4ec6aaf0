#!/usr/bin/env bash
# Install Debian's Slurm where root and apt allow; where not, say so and end with 1.
set -euo pipefail
export PATH="$PATH:/usr/sbin"
if [ "$(id -u)" != 0 ]; then
    echo "skipped: a Slurm of one's own is started by root only"; exit 1
fi
command -v munged slurmctld slurmd sbatch > /dev/null && exit 0
if ! command -v apt-get > /dev/null; then
    echo "skipped: there is no Slurm here, and no apt-get to install it"; exit 1
fi
apt-get install -y -qq --no-install-recommends slurm-wlm slurm-wlm-basic-plugins munge > /dev/null 2>&1 && exit 0
(apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm slurm-wlm-basic-plugins munge) > /dev/null 2>&1 && exit 0
echo "skipped: apt-get cannot install slurm-wlm here"; exit 1
