#define _GNU_SOURCE
#include "CLinuxNetwork.h"

#include "CLinuxProgram.h"
#include "CLinuxSystemCall.h"

#include <errno.h>
#include <linux/sched.h>
#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

// The maker shares this process's memory, to say what became of it. It makes raw system calls
// only: errno and the heap are not its own. It stays until it is released, since the namespace is
// joined by its pidfd, and at most as long as the thread that began it.

static struct {
    int32_t pidfd;
    int32_t starter;
    /// 0 at first, then 1 or a negated error number.
    int32_t state;
    int32_t released;
    uint8_t stack[8192] __attribute__((aligned(64)));
} maker = {.pidfd = -1};

static int64_t call(uint64_t number, uint64_t first, uint64_t second, uint64_t third) {
    return alcove_system_call(number, first, second, third, 0, 0, 0);
}

static int64_t make(void) {
    int64_t result = call(SYS_unshare, CLONE_NEWNET, 0, 0);
    if (result < 0)
        return result;
    int64_t socket = call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0)
        return socket;
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    result = call(SYS_ioctl, (uint64_t)socket, SIOCSIFFLAGS, (uint64_t)(uintptr_t)&loopback);
    call(SYS_close, (uint64_t)socket, 0, 0);
    if (result < 0)
        return result;
    return 1;
}

__attribute__((noreturn)) static void run(void) {
    call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
    // A starter that ended before that call will not be told of.
    if (call(SYS_getppid, 0, 0, 0) == maker.starter) {
        alcove_tell(&maker.state, (int32_t)make());
        alcove_await(&maker.released, 2 * ALCOVE_PATIENCE);
    }
    for (;;)
        call(SYS_exit_group, 0, 0, 0);
}

/// Sends the maker to another CPU: where it was started, it would wait for the calling thread to
/// have nothing to do, and nothing would be gained.
static void move_away(int64_t pid) {
    uint64_t allowed[16] = {0};
    uint32_t here = 0;
    call(SYS_getcpu, (uint64_t)(uintptr_t)&here, 0, 0);
    int64_t size =
        call(SYS_sched_getaffinity, 0, sizeof allowed, (uint64_t)(uintptr_t)allowed);
    if (size <= 0 || here >= 8 * sizeof allowed)
        return;
    allowed[here / 64] &= ~((uint64_t)1 << here % 64);
    // Refused when no CPU is left: then it stays.
    call(SYS_sched_setaffinity, (uint64_t)pid, (uint64_t)size, (uint64_t)(uintptr_t)allowed);
}

int64_t alcove_network_begin(void) {
    if (maker.pidfd >= 0)
        return -EBUSY;
    struct clone_args arguments = {
        .flags = CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&maker.pidfd,
        .stack = (uint64_t)(uintptr_t)maker.stack,
        .stack_size = sizeof maker.stack,
    };
    maker.starter = (int32_t)call(SYS_getpid, 0, 0, 0);
    maker.state = maker.released = 0;
    uint64_t all = ~(uint64_t)0, before = 0;
    alcove_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)(uintptr_t)&all,
                       (uint64_t)(uintptr_t)&before, sizeof all, 0, 0);
    int64_t result = alcove_clone_onto_stack(&arguments, sizeof arguments, (void *)run, NULL);
    alcove_system_call(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)(uintptr_t)&before, 0,
                       sizeof before, 0, 0);
    if (result < 0)
        return result;
    move_away(result);
    return maker.pidfd;
}

int32_t *alcove_network_state(void) { return &maker.state; }

int32_t *alcove_network_released(void) { return &maker.released; }

int64_t alcove_network_release(void) {
    if (maker.pidfd < 0)
        return -ECHILD;
    alcove_tell(&maker.released, 1);
    // It has no signal to tell its end by, so it counts as a clone.
    int64_t result;
    do
        result = alcove_system_call(SYS_waitid, P_PIDFD, (uint64_t)maker.pidfd, 0,
                                    WEXITED | __WCLONE, 0, 0);
    while (result == -EINTR);
    call(SYS_close, (uint64_t)maker.pidfd, 0, 0);
    maker.pidfd = -1;
    return result < 0 ? result : maker.state;
}
