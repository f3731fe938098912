#!/usr/bin/env bash
# shellcheck disable=SC2016 # The shells of the sandboxes expand that.
set -euo pipefail

# The checks that scripts/testbed runs in its machine for microVMs: its processor virtualises, if
# slowly, since it is an emulated one itself.

# shellcheck source=Tests/Testbed/checks.sh
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

kernel=/usr/lib/alcove/monitor/vmlinux
compressed_kernel=/usr/lib/alcove/bzImage

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

runs_without_an_agent() {
    local said code=0
    said=$(alcove run --local --isolation microvm --memory 96MiB --pids 20 "$image" -- sh -c \
        'echo "$(hostname) $(id -u)"; cat; exit 7' <<<'from outside' 2>err) || code=$?
    equal code "$code" 7
    equal output "$said" $'sandbox 0\nfrom outside'
    said=$(alcove run --local --isolation microvm --json "$image" -- true)
    for stage in 'process created' 'alcove-init ready' 'monitor began' 'virtual machine made' \
        'devices attached' 'kernel loaded' 'guest entered' 'first process began' 'guest ready' \
        'workload started'; do
        holds_text timeline "$said" "$stage"
    done
    code=0
    alcove run --local --isolation microvm "$image" -- /bin/nothing 2>err || code=$?
    holds_text reason "$(cat err)" '/bin/nothing'
    equal 'code of one that is missing' "$code" 127
    code=0
    alcove run --local --isolation microvm --timeout 4s --stop-grace 100ms "$image" -- \
        tail -f /dev/null 2>err || code=$?
    equal 'code of one that is late' "$code" 124
    equal cgroups "$(find /sys/fs/cgroup/alcove -mindepth 1 -type d 2>/dev/null)" ''
}

is_measured() {
    local said
    said=$(alcove bench cold-start -n 3 --warm-up 1 --isolation microvm --memory 96MiB \
        "$image" -- /bin/true)
    printf '%s\n' "$said"
    holds_text stages "$said" "guest's first process began"
    holds_text count "$said" '3 sandboxes'
}

# A guest without the agent, with the layer of the image in the store.
boots() {
    local layer
    layer=$(find /var/lib/alcove -path '*/layers/*/layer.erofs')
    code=0
    alcove-vmm run --initial-files "${kernel%/*}/initrd.cpio" --layer "$layer" --memory 96MiB "$@" \
        -- /bin/sh -c 'uname -s; exit 7' >said 2>complaints.txt || code=$?
    equal "code, $(cat complaints.txt)" "$code" 7
    equal output "$(cat said)" Linux
}

# The same kernel, which unpacks itself first.
boots_compressed() { boots --kernel "$compressed_kernel"; }

# From the first line, by the serial port, to the last, which is the device's.
talks_by_virtio() {
    boots --kernel "$kernel" --virtio-console
    local line
    for line in 'Linux version' 'bootconsole [earlyser0] disabled' 'Run /init as init process'; do
        holds_text 'what the kernel said' "$(cat complaints.txt)" "$line"
    done
}

boots_in_huge_pages() {
    local setting=/proc/sys/vm/nr_hugepages
    ! boots --kernel "$kernel" --huge-pages || say_wrong 'there were none, and it booted'
    holds_text reason "$(cat complaints.txt)" 'not so many huge pages'
    echo 48 >$setting
    at_least 'huge pages' "$(cat $setting)" 48
    boots --kernel "$kernel" --huge-pages
    echo 0 >$setting
    equal 'pages left' "$(cat $setting)" 0
}

check 'KVM opens' opens_kvm
check 'the doctor sees KVM' doctor_sees_kvm
check 'the doctor runs a guest' doctor_runs_a_guest
check 'TAP devices and vhost open' opens_what_networks_need
check 'EROFS can be mounted' mounts_erofs
if [[ -e $kernel ]]; then
    check 'the kernel of guests is an ELF file' has_guest_kernel
    check 'a microVM runs without an agent' runs_without_an_agent
    check 'starts of microVMs are measured by stage' is_measured
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
if [[ -e $kernel ]]; then
    check 'a bzImage boots' boots_compressed
    check 'a kernel talks by its virtio console' talks_by_virtio
    check 'a guest boots in huge pages of the host' boots_in_huge_pages
    say_result || code=1
fi
((code == 0))
