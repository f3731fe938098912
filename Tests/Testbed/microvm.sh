#!/usr/bin/env bash
set -euo pipefail

# The checks that scripts/testbed runs in its machine for microVMs: its processor virtualises, if
# slowly, since it is an emulated one itself.

# shellcheck source=Tests/Testbed/checks.sh
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

kernel=/usr/lib/alcove/monitor/vmlinux

# The lines of a check in what `alcove doctor` says of this host.
doctor() {
    alcove doctor --json >doctor.json
    awk -v name="\"name\": \"$1\"" 'index($0, name) { there = 1 } there { print } there && /}/ {
        exit }' doctor.json
}

opens_kvm() { exec {device}<>/dev/kvm; }

doctor_sees_kvm() {
    local said
    said=$(doctor kvm-device)
    holds_text kvm-device "$said" '"state": "good"'
    said=$(doctor kvm-version)
    holds_text kvm-version "$said" '"found": "12"'
    holds_text kvm-version "$said" '"state": "good"'
}

# It measures by a guest, which came to its end.
doctor_runs_a_guest() {
    local said
    said=$(doctor kvm-speed)
    holds_text kvm-speed "$said" 'ns an instruction'
}

opens_what_networks_need() {
    local name
    for name in net/tun vhost-net vhost-vsock; do
        exec {device}<>"/dev/$name"
        exec {device}>&-
    done
}

mounts_erofs() { grep -qw erofs /proc/filesystems; }

has_guest_kernel() {
    equal magic "$(head -c 4 "$kernel" | tail -c 3)" ELF
}

check 'KVM opens' opens_kvm
check 'the doctor sees KVM' doctor_sees_kvm
check 'the doctor runs a guest' doctor_runs_a_guest
check 'TAP devices and vhost open' opens_what_networks_need
check 'EROFS can be mounted' mounts_erofs
if [[ -e $kernel ]]; then
    check 'the kernel of guests is an ELF file' has_guest_kernel
else
    printf 'not checked: nothing that microVMs run from; rootfs/build-monitor makes it\n'
fi
code=0
say_result || code=1
# What a sandbox does is the same in both kinds.
for isolation in process microvm; do
    [[ $isolation == process || -e $kernel ]] || continue
    "$(dirname "${BASH_SOURCE[0]}")/engines.sh" "$isolation" || code=1
done
((code == 0))
