#!/usr/bin/env bash
# shellcheck disable=SC2016 # The shells of the sandboxes expand that.
set -euo pipefail

# The same checks for each kind of isolation: what a sandbox does is the same, whatever keeps it
# apart. `engines.sh process` and `engines.sh microvm` run them.

# shellcheck source=Tests/Testbed/agent-tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent-tools.sh"

isolation=${1:-process}
archive=/usr/lib/alcove/base.oci.tar
# A guest mounts the layers of an image itself. This kernel mounts none for a process sandbox.
[[ $isolation == microvm ]] && base=base || base=$image

start() {
    local id=$1
    shift
    create "$id" --isolation "$isolation" --memory 96MiB "$@"
    equal isolation "$(text "$sandbox" isolation)" "$isolation"
}

# The exit code of `wait`, which is the workload's.
ended_with() {
    code=0
    alcove wait "$1" >/dev/null || code=$?
    equal "code of $1" "$code" "$2"
}

# Waits for a line of its output.
says() { until alcove logs "$1" | grep -qx "$2"; do :; done; }

is_the_agent_up() {
    configure_agent always
    start_agent
    holds_text info "$(alcove info)" "$isolation"
    [[ $isolation != microvm ]] || alcove image import base "$archive" >/dev/null
}

is_noted() { everything >"$work/before"; }

ends_by_itself() {
    start ends "$base" -- sh -c 'echo out; echo err >&2; exit 7'
    ended_with ends 7
    equal output "$(alcove logs --stdout ends 2>/dev/null || alcove logs ends | grep out)" out
    holds_text 'error output' "$(alcove logs ends 2>&1)" err
    holds_text ps "$(alcove ps --all ends)" 'exited with 7'
    alcove rm ends
}

sees_what_was_asked_for() {
    start asked --env A=b --workdir /tmp --user 1000:1001 --hostname here "$base" -- sh -c \
        'echo "$A $(pwd) $(id -u):$(id -g) $(hostname)"; tr "\0" " " </proc/self/cmdline'
    ended_with asked 0
    holds_text output "$(alcove logs asked)" 'b /tmp 1000:1001 here'
    alcove rm asked
}

ends_by_a_signal() {
    start dies "$base" -- sh -c 'kill -9 $$'
    ended_with dies 137
    start refused "$base" -- sh -c 'exit 0'
    ended_with refused 0
    alcove rm dies refused
}

what_is_missing_is_told() {
    ! alcove create --start --id missing --isolation "$isolation" "$base" -- /bin/nothing 2>said ||
        say_wrong 'it was started'
    holds_text reason "$(cat said)" 'not in the image'
    ! alcove create --start --id nowhere --isolation "$isolation" --workdir /nowhere "$base" -- \
        true 2>said || say_wrong 'it was started'
    holds_text reason "$(cat said)" 'directory'
    # A guest finds it out when it was started.
    alcove ps --all --quiet | xargs -r alcove rm >/dev/null
}

writes_above_its_image() {
    start writes --scratch 8MiB "$base" -- sh -c \
        'echo x >/etc/new && cat /etc/new; dd if=/dev/zero of=/large bs=1M count=20 || echo full'
    ended_with writes 0
    holds_text output "$(alcove logs writes 2>&1)" full
    start reads --read-only "$base" -- sh -c 'echo x >/etc/new || echo refused; echo y >/tmp/new'
    ended_with reads 0
    holds_text output "$(alcove logs reads 2>&1)" refused
    alcove rm writes reads
}

runs_further_commands() {
    start runs "$base" -- sleep 100000
    equal output "$(alcove exec runs -- sh -c 'echo "$((6 * 7))"')" 42
    equal input "$(printf 'a\nb\n' | alcove exec -i runs -- wc -l)" 2
    code=0
    alcove exec runs -- sh -c 'echo e >&2; exit 9' 2>said || code=$?
    equal code "$code" 9
    equal 'error output' "$(cat said)" e
    code=0
    alcove exec runs -- /bin/nothing 2>said || code=$?
    equal 'code of one that is missing' "$code" 127
    equal large "$(alcove exec runs -- sh -c 'head -c 3000000 /dev/zero | tr "\0" x' | wc -c)" \
        3000000
    alcove rm -f runs
}

has_terminals() {
    start terminals --terminal "$base" -- sh -c 'test -t 0 && test -t 2 && tty && stty -a'
    ended_with terminals 0
    holds_text name "$(alcove logs terminals)" /dev/pts/
    alcove rm terminals
}

keeps_all_output() {
    start talks "$base" -- sh -c 'seq 1 20000'
    ended_with talks 0
    equal lines "$(alcove logs talks | wc -l)" 20000
    equal last "$(alcove logs talks | tail -n 1)" 20000
    alcove rm talks
}

stops_when_told() {
    start stops "$base" -- sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'
    says stops ready
    alcove stop stops
    ended_with stops 9
    start clings "$base" -- sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
    says clings ready
    alcove stop --grace 100ms clings
    ended_with clings 137
    alcove rm stops clings
}

times_out() {
    start late --timeout 3s --stop-grace 100ms "$base" -- sleep 100000
    ended_with late 124
    holds_text ps "$(alcove ps --all late)" 'timed out'
    alcove rm late
}

is_paused() {
    local before
    start pauses "$base" -- sh -c 'i=0; while :; do echo "$((i += 1))"; sleep 0.05; done'
    says pauses 3
    alcove pause pauses
    before=$(alcove logs pauses | tail -n 1)
    equal state "$(state pauses)" paused
    pause 1
    equal 'said while paused' "$(alcove logs pauses | tail -n 1)" "$before"
    alcove resume pauses
    says pauses "$((before + 3))"
    alcove rm -f pauses
}

runs_out_of_memory() {
    start "hungry-$isolation" "$base" -- sh -c 'echo before; exec tail /dev/zero'
    ends_out_of_memory "hungry-$isolation"
    all_tell_out_of_memory "hungry-$isolation"
    alcove rm "hungry-$isolation"
}

is_counted() {
    local stats
    start counted --cpus 1 "$base" -- sh -c 'while :; do :; done'
    pause 1
    stats=$(alcove stats --json counted | tr -d ' \n')
    at_least 'CPU time' "$(number "$stats" user_microseconds)" 1
    at_least memory "$(number "${stats#*\"memory\"}" current_bytes)" 1
    alcove update --cpus 0.5 counted
    holds_text limits "$(alcove ps counted)" '0.5'
    # Back to what it has, and not beyond, after the agent's death as well.
    [[ $isolation != microvm ]] || {
        kill_agent
        start_agent
        ! alcove update --cpus 1.5 counted 2>said || say_wrong 'more than it has was given'
        holds_text reason "$(cat said)" 'no more than 1 processors'
    }
    alcove update --cpus 1 counted
    alcove update --memory 80MiB counted
    alcove update --memory 96MiB counted
    holds_text memory "$(alcove ps counted)" 96
    alcove rm -f counted
}

counts_processes() {
    start "few-$isolation" --pids 12 "$base" -- sh -c 'echo ready; sleep 100000'
    says "few-$isolation" ready
    holds_text limits "$(alcove ps "few-$isolation")" 12
    ! alcove exec "few-$isolation" -- sh -c \
        'for i in $(seq 20); do tail -f /dev/null & done; echo all' >said 2>&1 ||
        say_wrong 'more processes than may be'
    holds_text reason "$(cat said)" fork
    alcove update --pids 60 "few-$isolation"
    equal raised "$(alcove exec "few-$isolation" -- sh -c \
        'for i in $(seq 20); do tail -f /dev/null & done; echo all')" all
    alcove rm -f "few-$isolation"
}

writes_to_the_disk() {
    start "disk-$isolation" --scratch-on disk --scratch 16MiB "$base" -- sh -c \
        'dd if=/dev/zero of=/large bs=1M count=8 2>/dev/null && sync && echo eight
        dd if=/dev/zero of=/more bs=1M count=20 2>/dev/null || echo full; sleep 100000'
    says "disk-$isolation" eight
    says "disk-$isolation" full
    kill_agent
    start_agent
    equal file "$(alcove exec "disk-$isolation" -- sh -c 'wc -c </large')" 8388608
    alcove rm -f "disk-$isolation"
    # Made and not started: nothing of it stays either.
    alcove create --id "unused-$isolation" --isolation "$isolation" --memory 96MiB \
        --scratch-on disk --scratch 16MiB "$base" -- true
    kill_agent
    start_agent
    alcove rm "unused-$isolation"
    equal 'scratch files' "$(find "$state_folder" -name '*.ext4')" ''
}

has_disk_rates() {
    start "slow-$isolation" --io-read 64MiB/s --io-write 1MiB/s --scratch-on disk \
        --scratch 16MiB "$base" -- sh -c \
        'dd if=/dev/zero of=/large bs=64k count=32 2>/dev/null && sync && echo done
        tail -f /dev/null'
    says "slow-$isolation" 'done'
    holds_text limits "$(alcove ps --json "slow-$isolation")" 1048576
    alcove update --io-write 64MiB/s "slow-$isolation"
    equal more "$(alcove exec "slow-$isolation" -- sh -c \
        'dd if=/dev/zero of=/large bs=64k count=64 2>/dev/null && sync && echo done')" 'done'
    alcove rm -f "slow-$isolation"
}

runs_a_directory() {
    start tree "$image" -- sh -c 'echo from a directory >/new && cat /new'
    ended_with tree 0
    equal output "$(alcove logs tree)" 'from a directory'
    alcove rm tree
}

outlives_the_agent() {
    start lives "$base" -- sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done'
    says lives ready
    alcove pause lives
    kill_agent
    start_agent
    equal state "$(state lives)" paused
    alcove resume lives
    equal command "$(alcove exec lives -- echo inside)" inside
    kill_agent
    start_agent
    alcove stop lives
    ended_with lives 5
    start ends-alone "$base" -- sh -c 'echo ready; sleep 2; exit 6'
    says ends-alone ready
    kill_agent
    pause 4
    start_agent
    ended_with ends-alone 6
    alcove rm lives ends-alone
}

# A world behind a card of the machine's: another network namespace, with a server in it.
make_world() {
    unshare -n sleep 1000000 &
    world=$!
    until [[ $(readlink "/proc/$world/ns/net") != $(readlink /proc/self/ns/net) ]]; do :; done
    # Its other end gets a name of the kernel's.
    ip link add card type veth
    ip link set veth0 netns "$world"
    ip address add 192.0.2.1/24 dev card
    ip link set card up
    nsenter -t "$world" -n ip link set lo up
    nsenter -t "$world" -n ip address add 192.0.2.2/24 dev veth0
    nsenter -t "$world" -n ip address add 198.51.100.1/32 dev lo
    nsenter -t "$world" -n ip address add 169.254.169.254/32 dev lo
    nsenter -t "$world" -n ip link set veth0 up
    ip route add default via 192.0.2.2
    nsenter -t "$world" -n nc -ll -p 80 -e echo hello &
    server=$!
}

hears() { alcove exec "$1" -- sh -c "nc -w 3 $2 ${3:-80} </dev/null" 2>&1 || true; }

reaches_the_world() {
    local world server
    make_world
    start "open-$isolation" --network public "$base" -- sleep 100000
    start "closed-$isolation" --network closed --allow tcp:198.51.100.1:81 "$base" -- sleep 100000
    holds_text address "$(alcove exec "open-$isolation" -- ip -o address)" 172.31.255.2/30
    equal names "$(alcove exec "open-$isolation" -- cat /etc/resolv.conf)" \
        'nameserver 172.31.255.1'
    holds_text 'packet size' "$(alcove exec "open-$isolation" -- ip link)" 'mtu 1450'
    equal server "$(hears "open-$isolation" 198.51.100.1)" hello
    equal 'metadata for the open one' "$(hears "open-$isolation" 169.254.169.254)" 'nc: timed out'
    equal 'server for the closed one' "$(hears "closed-$isolation" 198.51.100.1)" 'nc: timed out'
    alcove network set --network closed --allow tcp:198.51.100.1:80 "closed-$isolation"
    equal 'server once it is open' "$(hears "closed-$isolation" 198.51.100.1)" hello
    kill_agent
    start_agent
    equal 'server for another agent' "$(hears "open-$isolation" 198.51.100.1)" hello
    alcove exec "open-$isolation" -- sh -c \
        '(while :; do echo inside | nc -l -p 80; done) >/dev/null 2>&1 &'
    alcove network set --network public --publish 8080:80 "open-$isolation"
    until [[ $(nsenter -t "$world" -n nc -w 3 192.0.2.1 8080 </dev/null) == inside ]]; do :; done
    alcove rm -f "open-$isolation" "closed-$isolation"
    # The ready ones of process sandboxes are made with the agent.
    until alcove network status | grep -q 'slots in use *0'; do :; done
    kill "$server" "$world"
    wait "$server" "$world" 2>/dev/null || true
    ip link del card 2>/dev/null || true
}

many_at_once() {
    local number
    for number in 1 2 3; do
        alcove create --start --id "many-$number" --isolation "$isolation" --memory 96MiB \
            "$base" -- sh -c "exit $number" >/dev/null &
    done
    wait
    for number in 1 2 3; do ended_with "many-$number" "$number"; done
    alcove rm many-1 many-2 many-3
}

nothing_is_left() {
    equal sandboxes "$(alcove ps --all --quiet)" ''
    equal cgroups "$(groups_there)" ''
    # Not within `$(...)`, which would be one process more.
    everything >now
    equal 'all else' "$(cat now)" "$(cat "$work/before")"
}

check "$isolation: the agent offers it" is_the_agent_up
check "$isolation: what is there is noted" is_noted
check "$isolation: ends by itself" ends_by_itself
check "$isolation: sees what was asked for" sees_what_was_asked_for
check "$isolation: ends by a signal" ends_by_a_signal
check "$isolation: what is missing is told" what_is_missing_is_told
check "$isolation: writes above its image" writes_above_its_image
check "$isolation: runs further commands" runs_further_commands
check "$isolation: has terminals" has_terminals
check "$isolation: keeps all output" keeps_all_output
check "$isolation: stops when told" stops_when_told
check "$isolation: times out" times_out
check "$isolation: is paused" is_paused
check "$isolation: runs out of memory" runs_out_of_memory
check "$isolation: is counted" is_counted
check "$isolation: counts processes" counts_processes
check "$isolation: writes to the disk" writes_to_the_disk
check "$isolation: has disk rates" has_disk_rates
check "$isolation: runs a directory" runs_a_directory
check "$isolation: outlives the agent" outlives_the_agent
check "$isolation: reaches the world" reaches_the_world
check "$isolation: many at once" many_at_once
check "$isolation: nothing is left" nothing_is_left
kill -TERM "$(agent)"
is_over "$(agent)"
say_result
