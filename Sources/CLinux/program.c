#define _GNU_SOURCE
#include "CLinuxProgram.h"

#include "CInitProtocol.h"
#include "CLinuxSystemCall.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

enum { MOST_RESOLUTIONS = 1000 };

// Nothing here may touch errno, thread-local storage or the heap: the child shares all of them
// with the thread that started it, which may go on at the same time.

static int64_t call1(uint64_t number, uint64_t first) {
    return alcove_system_call(number, first, 0, 0, 0, 0, 0);
}

uint64_t alcove_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t send_descriptor(int socket, int descriptor) {
    union {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    *(int *)(void *)CMSG_DATA(&control.header) = descriptor;
    uint8_t byte = 0;
    struct iovec content = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &content,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.space};
    return alcove_system_call(SYS_sendmsg, (uint64_t)socket, (uint64_t)(uintptr_t)&message,
                              MSG_NOSIGNAL, 0, 0, 0);
}

static int64_t await_byte(int descriptor) {
    uint8_t byte;
    int64_t count = alcove_system_call(SYS_read, (uint64_t)descriptor, (uint64_t)(uintptr_t)&byte,
                                       1, 0, 0, 0);
    return count == 0 ? -EPIPE : count;
}

static int64_t perform(struct alcove_run *run, const struct alcove_call *call) {
    uint64_t arguments[6];
    for (int index = 0; index < 6; index++) {
        uint64_t argument = call->arguments[index];
        bool is_slot = (call->modes >> (2 * index) & 3) == ALCOVE_ARGUMENT_SLOT;
        arguments[index] = is_slot ? (uint64_t)(int64_t)run->slots[argument] : argument;
    }
    switch (call->number) {
    case ALCOVE_CALL_MARK:
        run->marks[arguments[0]] = alcove_monotonic_nanoseconds();
        return 0;
    case ALCOVE_CALL_FAIL:
        return -(int64_t)arguments[0];
    case ALCOVE_CALL_SEND_DESCRIPTOR:
        return send_descriptor((int)arguments[0], (int)arguments[1]);
    case ALCOVE_CALL_AWAIT:
        return alcove_await((int32_t *)(uintptr_t)arguments[0], ALCOVE_PATIENCE);
    case ALCOVE_CALL_AWAIT_BYTE:
        return await_byte((int)arguments[0]);
    case ALCOVE_CALL_TELL:
        alcove_tell((int32_t *)(uintptr_t)arguments[0], 1);
        return 0;
    default:
        break;
    }
    int64_t result;
    int attempts = MOST_RESOLUTIONS;
    do
        result = alcove_system_call(call->number, arguments[0], arguments[1], arguments[2],
                                    arguments[3], arguments[4], arguments[5]);
    // While others mount and rename, the kernel cannot tell whether `..` leads out, and says so.
    while (result == -EAGAIN && call->number == SYS_openat2 && --attempts > 0);
    return result;
}

/// The child's whole life before `exec`. Comes back only when a call failed.
__attribute__((noreturn)) static void child(struct alcove_run *run) {
    struct alcove_report report = {.kind = ALCOVE_REPORT_SETUP_FAILED};
    for (uint64_t index = 0; index < run->call_count; index++) {
        const struct alcove_call *call = &run->calls[index];
        int64_t result = perform(run, call);
        if (result < 0 && result != -call->tolerated) {
            report.value = (int32_t)-result;
            report.detail = index;
            break;
        }
        if (call->result_slot >= 0)
            run->slots[call->result_slot] = (int32_t)result;
    }
    report.nanoseconds = alcove_monotonic_nanoseconds();
    alcove_system_call(SYS_write, (uint64_t)run->report_descriptor, (uint64_t)(uintptr_t)&report,
                       sizeof report, 0, 0, 0);
    if (run->report_file >= 0)
        alcove_system_call(SYS_write, (uint64_t)run->report_file, (uint64_t)(uintptr_t)&report,
                           sizeof report, 0, 0, 0);
    for (;;)
        call1(SYS_exit_group, 127);
}

int64_t alcove_run_start(struct alcove_run *run, uint64_t clone_flags, int32_t cgroup_descriptor,
                         int32_t *pidfd) {
    struct clone_args arguments = {
        .flags = clone_flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = 17, // SIGCHLD
        .stack = (uint64_t)(uintptr_t)run->stack,
        .stack_size = ALCOVE_CHILD_STACK,
    };
    if (cgroup_descriptor >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)cgroup_descriptor;
    }
    // A handler of this process must not run in the child, on its small stack.
    uint64_t all = ~(uint64_t)0, before = 0;
    alcove_system_call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (uint64_t)(uintptr_t)&all,
                       (uint64_t)(uintptr_t)&before, sizeof all, 0, 0);
    int64_t result = alcove_clone_onto_stack(&arguments, sizeof arguments, (void *)child, run);
    alcove_system_call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (uint64_t)(uintptr_t)&before, 0,
                       sizeof before, 0, 0);
    return result;
}
