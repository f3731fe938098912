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

# Starts a guest in the background, and gives back when it has said a text on its error output.
start_monitor() {
    local text=$1
    shift
    mkfifo told
    # What runs in the background has no input otherwise.
    alcove-vmm "$@" <&0 2>told &
    monitor=$!
    exec {told}<told
    while read -r -t "$longest" -u "$told" line; do
        printf '%s\n' "$line" >>told.txt
        [[ $line != *"$text"* ]] || break
    done
    cat <&"$told" >>told.txt &
    exec {told}<&-
    rm told
    holds_text 'what it said' "$(cat told.txt)" "$text"
}

boot_for_snapshots() {
    local text=$1
    shift
    layer=$(find /var/lib/alcove -path '*/layers/*/layer.erofs')
    start_monitor "$text" run --kernel "$kernel" --initial-files "${kernel%/*}/initrd.cpio" \
        --layer "$layer" --memory 96MiB --control control --sockets sockets --timeline "$@"
}

restore() { alcove-vmm run --restore snapshot --layer "$layer" "$@"; }

# Random numbers of the kernel's and of a program's, the name, the clock, and what it finds in its
# memory; then it writes there, and tells after a line of input what it reads back.
tell='head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid; hostname
    date +%s; cat /tmp/note; hostname >/tmp/note; read line; cat /tmp/note; exit 7'

clones_differ() {
    boot_for_snapshots 'guest ready' --ready -- /bin/sh -c 'cat /tmp/note'
    alcove-vmm exec --sockets sockets -- /bin/sh -c 'echo warm >/tmp/note'
    alcove-vmm control --control control snapshot snapshot >answer
    holds_text answer "$(cat answer)" '"untold_registers":[]'
    alcove-vmm control --control control begin >answer
    wait "$monitor"
    local clone before after input clones=() inputs=()
    before=$(date +%s)
    for clone in 1 2 3; do
        mkfifo "input-$clone"
        restore --hostname "clone-$clone" --input -- /bin/sh -c "$tell" \
            <"input-$clone" >"said-$clone" 2>"complaints-$clone" &
        clones+=($!)
        exec {input}>"input-$clone"
        inputs+=("$input")
    done
    for input in "${inputs[@]}"; do
        echo go >&"$input"
        exec {input}>&-
    done
    for clone in 1 2 3; do
        code=0
        wait "${clones[clone - 1]}" || code=$?
        equal "code, $(cat "complaints-$clone")" "$code" 7
        mapfile -t lines <"said-$clone"
        printf '%s\n' "${lines[0]}" >>bytes
        printf '%s\n' "${lines[1]}" >>numbers
        equal name "${lines[2]}" "clone-$clone"
        at_least clock "${lines[3]}" "$before"
        after=$(date +%s)
        at_least 'the clock after it' "$after" "${lines[3]}"
        equal 'what the template wrote' "${lines[4]}" warm
        equal 'what it wrote' "${lines[5]}" "clone-$clone"
    done
    equal 'different random bytes' "$(sort -u bytes | wc -l)" 3
    equal 'different numbers of the kernel' "$(sort -u numbers | wc -l)" 3
}

# A workload that runs, on two processors, with input and output.
goes_on() {
    mkfifo input
    exec {input}<>input
    boot_for_snapshots 'workload started' --cpus 2 --input -- /bin/sh -c \
        'while read line; do echo "got $line"; [ "$line" != end ] || exit 9; done' <input >said
    alcove-vmm control --control control snapshot snapshot >answer
    echo end >&"$input"
    code=0
    wait "$monitor" || code=$?
    equal code "$code" 9
    equal output "$(cat said)" 'got end'
    for name in one two; do
        code=0
        printf '%s\nend\n' "$name" | restore --input -- /bin/none >said 2>complaints || code=$?
        equal "code, $(cat complaints)" "$code" 9
        equal output "$(cat said)" $'got '"$name"$'\ngot end'
    done
    # It is not for another disk, nor when a part of it is missing.
    truncate -s 1M other
    ! restore --layer other -- /bin/none 2>complaints || say_wrong 'another disk'
    # Without the page that says whose it is.
    truncate -s 96M snapshot/memory
    ! restore -- /bin/none 2>complaints || say_wrong 'it was cut short'
    holds_text reason "$(cat complaints)" "not this snapshot's"
}

loads_what_it_used() {
    boot_for_snapshots 'guest ready' --ready -- /bin/true
    alcove-vmm control --control control snapshot snapshot >answer
    alcove-vmm control --control control stop >answer
    wait "$monitor" || true
    start_monitor 'workload started' run --restore snapshot --layer "$layer" --control second \
        --record-working-set --timeline -- /bin/sh -c 'echo there; exec tail -f /dev/null'
    alcove-vmm control --control second working-set snapshot >answer
    holds_text answer "$(cat answer)" pieces
    alcove-vmm control --control second stop >answer
    wait "$monitor" || true
    restore --timeline -- /bin/sh -c 'echo there' >said 2>complaints
    equal output "$(cat said)" there
    holds_text stages "$(cat complaints)" 'pages loaded'
    # A monitor that waits takes it, too.
    start_monitor held run --await-snapshot --memory 96MiB --layer "$layer" --control third \
        --timeline -- /bin/sh -c 'exit 8'
    alcove-vmm control --control third restore snapshot >answer
    code=0
    wait "$monitor" || code=$?
    equal code "$code" 8
}

# A clone that is saved and goes on later, by what is different in it.
saves_changes() {
    boot_for_snapshots 'guest ready' --ready -- /bin/true
    alcove-vmm control --control control snapshot snapshot >answer
    alcove-vmm control --control control stop >answer
    wait "$monitor" || true
    mkfifo input
    exec {input}<>input
    start_monitor 'workload started' run --restore snapshot --layer "$layer" --control second \
        --record-working-set --timeline --input -- /bin/sh -c \
        'echo mine >/tmp/note; read line; cat /tmp/note; exit 6' <input
    alcove-vmm control --control second snapshot changes changes >answer
    alcove-vmm control --control second stop >answer
    wait "$monitor" || true
    at_least 'of the whole one, its part' "$(du -k snapshot | cut -f1)" \
        "$(($(du -k changes | cut -f1) * 2))"
    ! alcove-vmm run --restore changes --layer "$layer" -- /bin/none 2>complaints ||
        say_wrong 'the one below is missing'
    code=0
    echo go | alcove-vmm run --restore changes --base snapshot --layer "$layer" --input \
        -- /bin/none >said 2>complaints || code=$?
    equal "code, $(cat complaints)" "$code" 6
    equal output "$(cat said)" mine
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
    check 'clones of a snapshot differ, and share no writes' clones_differ
    check 'a workload goes on from a snapshot, as often as it is asked to' goes_on
    check 'what a clone used is loaded for the next one' loads_what_it_used
    check 'what has changed is saved by itself' saves_changes
    say_result || code=1
fi
((code == 0))
