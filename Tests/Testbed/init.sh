#!/usr/bin/env bash
set -euo pipefail

# The first process of the machine that scripts/testbed boots. Runs the words of /tests/command,
# says on the second serial line that it begins and how that ended, and turns the machine off.
export PATH=/bin:/sbin HOME=/ TERM=dumb

say_result() {
    printf 'exit %s\n' "$1" >/dev/ttyS1
    sync
    poweroff -f
}
# A fault of this script must not look like a test's, nor leave the machine on.
trap 'poweroff -f' EXIT

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
# The ends of lines are the reader's affair.
stty -F /dev/ttyS0 -onlcr
stty -F /dev/ttyS1 -onlcr
ip link set lo up

read -r up _ </proc/uptime
export BOOTED=${up%%.*}
printf 'testbed: Linux %s on %s CPUs after %s s, controllers: %s\n' "$(uname -r)" "$(nproc)" \
    "$up" "$(cat /sys/fs/cgroup/cgroup.controllers)"
echo up >/dev/ttyS1
mapfile -d '' -t command </tests/command
code=0
"${command[@]}" </dev/null >/dev/ttyS0 2>&1 || code=$?
# What the kernel complains of fails what was otherwise fine. Out of memory is what is tested.
complaints=$(dmesg | grep -E 'BUG:|WARNING:|Oops|Kernel panic|general protection|blocked for more' |
    grep -v '/hw-vuln/' || true)
if [[ -n $complaints ]]; then
    printf 'testbed: the kernel complains:\n%s\n' "$complaints"
    ((code != 0)) || code=71
fi
read -r up _ </proc/uptime
printf 'testbed: exit code %s after %s s\n' "$code" "$up"
say_result "$code"
