#!/usr/bin/env bash
set -euo pipefail

# Limits that change, sandboxes that are paused, a node that is full, an agent that is killed.

# shellcheck source=Tests/Testbed/agent-tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/agent-tools.sh"

# MARK: Updates.

memory_update_holds() {
    create grows --memory 32MiB "$image" -- sleep 100000
    find_group grows
    alcove update --memory 96MiB grows
    equal memory.max "$(cat "$group/memory.max")" 100663296
    equal reserved "$(reserved memory_bytes)" "$((97 << 20))"
    take_memory grows 64 2>said || say_wrong "64 MiB of 96: $(cat said)"
    alcove update --memory 32MiB grows
    equal memory.max "$(cat "$group/memory.max")" 33554432
    holds_text ps "$(alcove ps grows)" ' 32 MiB '
    take_memory grows 64 >said 2>&1 || true
    ends_out_of_memory grows
    alcove rm grows
}

memory_update_is_refused() {
    local before
    create uses --memory 64MiB "$image" -- sh -c \
        'dd if=/dev/zero of=/tmp/file bs=1M count=32 2>/dev/null; echo ready; sleep 100000'
    until [[ $(alcove logs uses) == ready ]]; do :; done
    find_group uses
    before=$(told uses)
    code=0
    alcove update --memory 16MiB uses >said 2>&1 || code=$?
    equal code "$code" 78
    holds_text said "$(cat said)" 'more than the limit'
    equal memory.max "$(cat "$group/memory.max")" 67108864
    equal 'what is told' "$(told uses)" "$before"
    equal reserved "$(reserved memory_bytes)" "$((65 << 20))"
    alcove exec uses -- true
    alcove rm -f uses
}

# What is in use could be less: the page cache is what the kernel takes back first.
memory_update_reclaims() {
    large_file
    create caches --memory 64MiB "$image" -- sh -c 'cat /large >/dev/null; echo ready; sleep 100000'
    until [[ $(alcove logs caches) == ready ]]; do :; done
    find_group caches
    at_least 'memory in use' "$(cat "$group/memory.current")" "$((20 << 20))"
    alcove update --memory 16MiB caches
    equal memory.max "$(cat "$group/memory.max")" 16777216
    (($(cat "$group/memory.current") <= 16 << 20)) || say_wrong 'more is in use'
    alcove exec caches -- true
    equal kills "$(value "$group/memory.events" oom_kill)" 0
    alcove rm -f caches
}

other_updates_hold() {
    local before
    create other --cpus 0.1 --pids 4 "$image" -- sh -c 'while :; do :; done'
    find_group other
    alcove update --cpus 1.5 --pids 16 other
    equal cpu.max "$(cat "$group/cpu.max")" '150000 100000'
    equal pids.max "$(cat "$group/pids.max")" 16
    # One busy loop is below that.
    before=$(value "$group/cpu.stat" nr_throttled)
    alcove exec other -- sh -c 'sleep 100000 & sleep 100000 & sleep 100000 & sleep 100000 & :'
    # shellcheck disable=SC2016 # Expanded by the shell in the sandbox.
    alcove exec other -- sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done'
    alcove update --cpus 0.2 --pids 3 other
    equal pids.max "$(cat "$group/pids.max")" 3
    before=$(value "$group/cpu.stat" nr_throttled)
    until (($(value "$group/cpu.stat" nr_throttled) >= before + 3)); do :; done
    # There are more processes than that already: there will be no further one.
    at_least pids.current "$(cat "$group/pids.current")" 3
    code=0
    alcove exec other -- true >said 2>&1 || code=$?
    at_least 'code of a command' "$code" 1
    equal state "$(state other)" running
    equal CPUs "$(number "$(told other)" milli_cpus)" 200
    alcove rm -f other
}

updates_without_limits() {
    create free "$image" -- sleep 100000
    find_group free
    equal memory.max "$(cat "$group/memory.max")" max
    alcove update --memory 32MiB --cpus 0.5 --pids 8 --io-write 1MiB/s free
    equal memory.max "$(cat "$group/memory.max")" 33554432
    equal memory.oom.group "$(cat "$group/memory.oom.group")" 1
    equal cpu.max "$(cat "$group/cpu.max")" '50000 100000'
    equal pids.max "$(cat "$group/pids.max")" 8
    holds_text io.max "$(cat "$group/io.max")" 'wbps=1048576 '
    equal 'limits that hold' "$(told free | grep -o '"holds":true' | wc -l)" 4
    take_memory free 64 >said 2>&1 || true
    ends_out_of_memory free
    alcove rm free
}

refused_update() {
    local before flags
    create refused --memory 32MiB --cpus 0.5 --pids 8 "$image" -- sleep 100000
    find_group refused
    before="$(told refused) $(capacity | sed 's/.*"reserved":\([^}]*\).*/\1/')"
    # Too small, more than there is, more than is free.
    for flags in '78 --memory 100KiB' '78 --pids 1' '75 --memory 1900MiB' '75 --cpus 3' \
        '75 --cpus 0.6 --pids 32500'; do
        code=0
        # shellcheck disable=SC2086 # Words of flags.
        alcove update ${flags#* } refused >said 2>&1 || code=$?
        equal "code of $flags ($(cat said))" "$code" "${flags%% *}"
    done
    equal limits "$(cat "$group"/{memory,cpu,pids}.max | tr '\n' ' ')" '33554432 50000 100000 8 '
    equal 'what is told' \
        "$(told refused) $(capacity | sed 's/.*"reserved":\([^}]*\).*/\1/')" "$before"
    alcove rm -f refused
}

# MARK: Pausing.

is_frozen() { [[ $(value "$group/cgroup.events" frozen) == 1 ]]; }

pause_and_resume() {
    local used round
    create busy --cpus 1 "$image" -- sh -c 'while :; do :; done'
    find_group busy
    for round in 1 2 3; do
        alcove pause busy
        equal "state, $round" "$(state busy)" paused
        is_frozen || say_wrong "$round: not frozen"
        used=$(value "$group/cpu.stat" usage_usec)
        alcove ps --all >/dev/null
        equal "CPU time while paused, $round" "$(value "$group/cpu.stat" usage_usec)" "$used"
        code=0
        alcove exec busy -- true >said 2>&1 || code=$?
        equal 'code of a command' "$code" 72
        # Limits change all the same.
        alcove update --memory "$((round + 31))MiB" busy
        equal memory.max "$(cat "$group/memory.max")" "$(((round + 31) << 20))"
        alcove stats --json busy >/dev/null
        alcove resume busy
        equal "state, $round" "$(state busy)" running
        ! is_frozen || say_wrong "$round: still frozen"
        until (($(value "$group/cpu.stat" usage_usec) > used)); do :; done
        alcove exec busy -- true
    done
    alcove rm -f busy
}

paused_and_ended() {
    create stops "$image" -- sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done'
    create dies "$image" -- sleep 100000
    create late --timeout 5s --stop-grace 100ms "$image" -- sleep 100000
    # On a slow machine its time is over already.
    alcove pause late || equal 'code of pausing' "$?" 72
    alcove pause stops dies
    alcove stop stops
    code=0
    alcove wait stops || code=$?
    equal 'code, stopped' "$code" 9
    alcove stop --grace 0s dies
    code=0
    alcove wait dies || code=$?
    equal 'code, killed' "$code" 137
    holds_text 'the killed one' "$(alcove ps -a dies)" SIGKILL
    code=0
    alcove wait late || code=$?
    equal 'code, timed out' "$code" 124
    alcove rm stops dies late
}

# MARK: Admission.

# As many at once as all but one do not fit: exactly those that fit are let in.
admission_is_exact() {
    local free each room number admitted
    free=$(number "$(part allocatable "$(capacity)")" memory_bytes)
    each=$((200 << 20))
    # Each costs a MiB beside its limit.
    room=$((free / (each + (1 << 20))))
    for number in {1..12}; do
        (
            code=0
            alcove create --id "fill-$number" --memory 200MiB --cpus 0.1 "$image" -- \
                dd if=/dev/zero of=/tmp/file bs=1M count=16 >"said-$number" 2>&1 || code=$?
            echo "$code" >"code-$number"
        ) &
    done
    wait
    admitted=$(grep -lx 0 code-* | wc -l)
    equal admitted "$admitted" "$room"
    equal refused "$(grep -lx 75 code-* | wc -l)" "$((12 - room))"
    for number in {1..12}; do
        [[ $(cat "code-$number") == 0 ]] || holds_text said "$(cat "said-$number")" memory
    done
    equal reserved "$(reserved memory_bytes)" "$((room * (each + (1 << 20))))"
    code=0
    alcove create --id cpus --memory 1MiB --cpus 2 "$image" -- true >said 2>&1 || code=$?
    equal 'code for more CPUs than are free' "$code" 75
    holds_text said "$(cat said)" cpu
    # Who leaves makes room, and no more than that.
    alcove rm "$(alcove ps -q | head -n 1)"
    alcove create --id one-more --memory 200MiB "$image" -- true
    ! alcove create --id too-many --memory 200MiB "$image" -- true 2>said || say_wrong 'let in'
    # shellcheck disable=SC2046 # Words.
    alcove rm $(alcove ps -q)
    equal 'reserved at the end' "$(reserved memory_bytes)" 0
}

# Each uses nearly all that it may: the limits add up to what the node has, so nobody is ended.
full_node_holds() {
    local number before
    before=$(value /proc/vmstat oom_kill)
    for number in 1 2 3 4; do
        create "full-$number" --memory 200MiB --scratch 190MiB "$image" -- sh -c \
            'dd if=/dev/zero of=/tmp/file bs=1M count=170 2>/dev/null && echo ready; sleep 100000'
    done
    for number in 1 2 3 4; do
        until [[ $(alcove logs "full-$number") == ready ]]; do
            equal "state of $number" "$(state "full-$number")" running
        done
    done
    at_least 'memory in use' "$(number "$(part in_use "$(capacity)")" memory_bytes)" \
        "$((4 * 170 << 20))"
    equal 'killed by the kernel' "$(value /proc/vmstat oom_kill)" "$before"
    # shellcheck disable=SC2046 # Words.
    alcove rm -f $(alcove ps -q)
}

# MARK: An agent that is killed.

# A workload that uses its memory up when it is told to. `poke` tells it.
patient='trap "exec tail /dev/zero" USR1; echo ready; while :; do sleep 100000 & wait; done'

# Starts such a one, and keeps in `poked` its process.
create_patient() {
    local process
    create "$@" "$image" -- sh -c "$patient"
    until [[ $(alcove logs "$1") == ready ]]; do :; done
    find_group "$1"
    while read -r process; do
        [[ $(cat "/proc/$process/comm") != sh ]] || poked=$process
    done <"$group/cgroup.procs"
}

limits_outlive_the_agent() {
    create_patient lives --memory 48MiB --cpus 0.5 --pids 16
    alcove update --memory 40MiB --pids 12 lives
    kill_agent
    equal limits "$(cat "$group"/{memory,cpu,pids}.max | tr '\n' ' ')" \
        '41943040 50000 100000 12 '
    start_agent
    equal state "$(state lives)" running
    holds_text events "$(alcove events lives)" 'taken over by the agent, running'
    holds_text limits "$(alcove ps lives)" '40 MiB'
    equal 'limits that hold' "$(told lives | grep -o '"holds":true' | wc -l)" 3
    equal reserved "$(reserved memory_bytes)" "$((41 << 20))"
    equal 'CPUs reserved' "$(reserved milli_cpus)" 500
    equal 'limit in statistics' "$(number "$(alcove stats --json lives)" limit_bytes)" 41943040
    alcove update --memory 32MiB lives
    equal memory.max "$(cat "$group/memory.max")" 33554432
    kill -USR1 "$poked"
    ends_out_of_memory lives
    equal logs "$(alcove logs lives)" ready
    alcove rm lives
}

out_of_memory_meanwhile() {
    create_patient meanwhile --memory 32MiB
    kill_agent
    kill -USR1 "$poked"
    is_over "$poked"
    start_agent
    ends_out_of_memory meanwhile
    equal logs "$(alcove logs meanwhile)" ready
    at_least 'CPU time' "$(($(number "$ended" user_microseconds) +
        $(number "$ended" system_microseconds)))" 1
    at_least peak "$(number "$ended" peak_resident_kilobytes)" 16384
    # And once more from the record alone.
    kill_agent
    start_agent
    all_tell_out_of_memory meanwhile
    equal cgroups "$(groups_there)" ''
    alcove rm meanwhile
}

paused_is_adopted() {
    create_patient paused --memory 32MiB
    alcove pause paused
    kill_agent
    is_frozen || say_wrong 'not frozen'
    start_agent
    equal state "$(state paused)" paused
    is_frozen || say_wrong 'not frozen'
    alcove resume paused
    equal state "$(state paused)" running
    alcove exec paused -- true
    kill -USR1 "$poked"
    ends_out_of_memory paused
    alcove rm paused
}

# Whatever of an update was done: what is told, reserved and in force is the same afterwards.
update_is_finished() {
    local round told
    create updated --memory 32MiB "$image" -- sleep 100000
    find_group updated
    for round in 1 2 3 4; do
        alcove update --memory "$((32 + round))MiB" updated >said 2>&1 &
        pause "0.0$round"
        kill_agent
        wait "$!" || true
        start_agent
        told=$(number "$(told updated)" memory_bytes)
        equal "limit in force, $round" "$(cat "$group/memory.max")" "$told"
        equal "reserved, $round" "$(reserved memory_bytes)" "$((told + (1 << 20)))"
    done
    alcove rm -f updated
}

# Sandboxes run out of memory while the agent is killed. Each was not created at all, not started,
# or ended out of memory, and it is told so.
kills_lose_no_outcome() {
    local round number id ids
    for round in 1 2 3 4 5; do
        for number in 1 2 3; do
            alcove create --start --id "storm-$round-$number" --memory 8MiB "$image" -- \
                tail /dev/zero >/dev/null 2>&1 &
        done
        pause "0.$((round * 2))"
        kill_agent
        wait
        start_agent
        mapfile -t ids < <(alcove ps -aq)
        for id in ${ids[@]+"${ids[@]}"}; do
            [[ $(state "$id") == created ]] || ends_out_of_memory "$id"
            alcove rm "$id"
        done
    done
    equal reserved "$(reserved memory_bytes)" 0
}

# MARK: The end.

# The stores of the agent are filled by the first sandboxes.
warm_up() {
    local number
    for number in 1 2; do
        alcove run --memory 64MiB --pids 16 "$image" -- true
    done
    pause 1
}

note_everything() {
    warm_up
    local now
    now=$(everything)
    printf '%s\n' "$now" | tee "$work/before"
}

nothing_is_left() {
    local now try
    for try in {1..20}; do
        now=$(everything)
        [[ $now != "$(cat "$work/before")" ]] || return 0
        pause 0.1
    done
    equal "everything, looked at $try times" "$now" "$(cat "$work/before")"
}

agent_ends() {
    local process
    process=$(agent)
    kill -TERM "$process"
    is_over "$process"
    equal 'cgroups' "$(groups_there)" ''
    ! pidof alcove-init || say_wrong 'processes are left'
    [[ ! -S /run/alcove/agent.sock ]] || say_wrong 'its socket is left'
    equal 'errors in its log' "$(grep -c '"level":"error"' "$agent_log" || true)" 0
}
