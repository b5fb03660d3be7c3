#!/bin/bash
# A SLURM cluster of one node on this machine, for tests: munged, slurmctld and slurmd with everything below one folder.
#   one_machine.sh start FOLDER    then: export SLURM_CONF=FOLDER/slurm.conf
#   one_machine.sh stop FOLDER
# As root or as any user (who then is the only one to run jobs). Needs sbatch, slurmctld, slurmd and munged: on Debian
# apt-get install slurm-client slurmctld slurmd munge. There are no cgroups, no accounting, and two pretended GPUs.
set -euo pipefail
action=$1
folder=$(realpath -m "$2")
PATH=$PATH:/usr/sbin:/sbin

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

configure() {
    host=$(hostname -s)
    user=$(id -un)
    cat > "$folder/slurm.conf" <<EOF
ClusterName=one_machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=20
InactiveLimit=0
SchedulerParameters=bf_interval=5,sched_interval=2
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES OverSubscribe=NO MaxTime=60 State=UP
EOF
    echo "NodeName=$host Name=gpu File=/dev/tty[1-2]" > "$folder/gres.conf"  # only their numbers matter
    : > "$folder/cgroup.conf"
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    configure
    (umask 077; head -c 1024 /dev/urandom > "$folder/munge.key")
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 60); do
        if sinfo --noheader --format=%T 2> /dev/null | grep -q idle; then return; fi
        sleep 0.5
    done
    tail -n 20 "$folder"/slurmctld.log "$folder"/slurmd.log >&2
    exit 1
}

stop() {
    export SLURM_CONF=$folder/slurm.conf
    scancel --user="$(id -un)" 2> /dev/null || true
    for daemon in slurmd slurmctld munged; do
        if pid=$(cat "$folder/$daemon.pid" 2> /dev/null) && kill "$pid" 2> /dev/null; then
            timeout 20 tail --pid="$pid" -f /dev/null || true  # until it has ended: it writes its state last
        fi
    done
}

"$action"
