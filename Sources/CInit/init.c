// Compiled against musl's headers (see Package.swift).
#define _GNU_SOURCE
#include "CInit.h"
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CINIT_ENOENT == ENOENT && CINIT_EINTR == EINTR && CINIT_EAGAIN == EAGAIN, "errno");
_Static_assert(CINIT_SIGKILL == SIGKILL && CINIT_SIGCHLD == SIGCHLD, "signals");
_Static_assert(CINIT_POLLIN == POLLIN && CINIT_POLLERR == POLLERR, "poll");
_Static_assert(CINIT_POLLOUT == POLLOUT && CINIT_POLLRDHUP == POLLRDHUP, "poll");
_Static_assert(CINIT_POLLHUP == POLLHUP && CINIT_POLLNVAL == POLLNVAL, "poll");
_Static_assert(sizeof(struct cinit_poll) == sizeof(struct pollfd), "poll");
_Static_assert(offsetof(struct cinit_poll, happened) == offsetof(struct pollfd, revents), "poll");

// The kernel's set of signals is 64 bits; the C library's is larger.
enum { KERNEL_SIGNALS = 64, KERNEL_SIGSET_BYTES = 8 };

int cinit_hide(void) { return raw(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0); }

void cinit_leave_session(void) { raw(SYS_setsid, 0, 0, 0, 0, 0); }

int cinit_getpid(void) { return raw(SYS_getpid, 0, 0, 0, 0, 0); }

uint64_t cinit_monotonic_nanoseconds(void) {
    // The call and not the vDSO: finding that costs more time and memory than it saves here.
    struct timespec now = {0};
    raw(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int cinit_write(int descriptor, const void *bytes, size_t count) {
    return raw(SYS_write, descriptor, (long)bytes, (long)count, 0, 0);
}

int cinit_set_nonblocking(int descriptor) {
    return raw(SYS_fcntl, descriptor, F_SETFL, O_NONBLOCK, 0, 0);
}

int cinit_set_close_on_exec(int descriptor) {
    return raw(SYS_fcntl, descriptor, F_SETFD, FD_CLOEXEC, 0, 0);
}

int cinit_close(int descriptor) { return raw(SYS_close, descriptor, 0, 0, 0, 0); }

int cinit_close_range(unsigned first, unsigned last) {
    return raw(SYS_close_range, first, last, 0, 0, 0);
}

// The kernel's sigaction; all zero means the default action.
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

int cinit_open_signals(void) {
    // What the host ignored would stay ignored over every exec. That of ended children counts here
    // as well: while it is ignored, the kernel reaps them itself and tells nobody.
    struct kernel_sigaction standard = {0};
    for (int signal = 1; signal <= KERNEL_SIGNALS; signal++) {
        if (signal == SIGKILL || signal == SIGSTOP) continue;
        raw(SYS_rt_sigaction, signal, (long)&standard, 0, KERNEL_SIGSET_BYTES, 0);
    }
    uint64_t all = ~0ull;
    long failed = raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, KERNEL_SIGSET_BYTES, 0);
    if (failed) return failed;
    long flags = SFD_CLOEXEC | SFD_NONBLOCK;
    int opened = raw(SYS_signalfd4, -1, (long)&all, KERNEL_SIGSET_BYTES, flags, 0);
    if (opened < 0 || opened > STDERR_FILENO) return opened;
    // Started with a standard descriptor closed: that place is the workload's, not ours.
    int moved = raw(SYS_fcntl, opened, F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0, 0);
    raw(SYS_close, opened, 0, 0, 0, 0);
    return moved;
}

int cinit_take_signal(int descriptor, struct cinit_signal *signal) {
    struct signalfd_siginfo info;
    long count = raw(SYS_read, descriptor, (long)&info, sizeof info, 0, 0);
    if (count < 0) return count;
    if (count != sizeof info) return -EIO;
    signal->number = (int)info.ssi_signo;
    signal->origin = info.ssi_code;
    signal->sender = (int)info.ssi_pid;
    return 0;
}

int cinit_kill(int process, int signal) { return raw(SYS_kill, process, signal, 0, 0, 0); }

int cinit_reap(struct cinit_ended *ended) {
    int status = 0;
    int process = raw(SYS_wait4, -1, (long)&status, WNOHANG, 0, 0);
    if (process < 0) return process;
    ended->process = process;
    ended->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    ended->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    ended->core_dumped = WIFSIGNALED(status) && WCOREDUMP(status);
    return 0;
}

int cinit_poll(struct cinit_poll *entries, size_t count, bool wait) {
    struct timespec none = {0};
    return raw(SYS_ppoll, (long)entries, (long)count, wait ? 0 : (long)&none, 0, 0);
}

int cinit_take_denied(int listener, struct cinit_denied *denied) {
    // The kernel writes as many bytes as its own struct has, which may have grown, and refuses
    // a buffer that is not zero.
    union {
        struct seccomp_notif notification;
        char room[1024];
    } buffer;
    __builtin_memset(&buffer, 0, sizeof buffer);
    int failed = raw(SYS_ioctl, listener, SECCOMP_IOCTL_NOTIF_RECV, (long)&buffer, 0, 0);
    if (failed) return failed;
    denied->thread = (int)buffer.notification.pid;
    denied->call = buffer.notification.data.nr;
    denied->architecture = buffer.notification.data.arch;
    return 0;
}

static struct cinit_limit limits[CINIT_MOST_LIMITS];
static size_t limit_count;

bool cinit_add_limit(int resource, uint64_t soft, uint64_t hard) {
    if (limit_count == CINIT_MOST_LIMITS) return false;
    limits[limit_count++] = (struct cinit_limit){(uint32_t)resource, 0, soft, hard};
    return true;
}

static int joined = -1;

void cinit_join_when_spawned(int processes) { joined = processes; }

struct spawn {
    const struct cinit_command *command;
    // Written by the child: memory is shared until its exec.
    volatile int error;
    volatile int stage;
};

static long place_streams(const int *streams) {
    int sources[3];
    // What is itself one of the three numbers must not be written over before it is placed.
    for (int number = 0; number < 3; number++) {
        sources[number] = streams[number];
        if (streams[number] < 0 || streams[number] > STDERR_FILENO) continue;
        sources[number] =
            raw(SYS_fcntl, streams[number], F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0, 0);
        if (sources[number] < 0) return sources[number];
    }
    for (int number = 0; number < 3; number++) {
        if (sources[number] < 0) continue;
#ifdef SYS_dup2
        long failed = raw(SYS_dup2, sources[number], number, 0, 0, 0);
#else
        long failed = raw(SYS_dup3, sources[number], number, 0, 0, 0);
#endif
        if (failed < 0) return failed;
    }
    return 0;
}

static long set_limits(const struct cinit_limit *limits, size_t count) {
    for (size_t index = 0; index < count; index++) {
        uint64_t values[2] = {limits[index].soft, limits[index].hard};
        long failed = raw(SYS_prlimit64, 0, limits[index].resource, (long)values, 0, 0);
        if (failed) return failed;
    }
    return 0;
}

// By the calls: the C library's own would change every thread, of the parent's memory.
static long set_identity(const struct cinit_command *command) {
    if (!command->identity) return 0;
    long failed = raw(SYS_setgroups, 0, 0, 0, 0, 0);
    long group = command->group, user = command->user;
    if (failed == 0) failed = raw(SYS_setresgid, group, group, group, 0, 0);
    if (failed == 0) failed = raw(SYS_setresuid, user, user, user, 0, 0);
    return failed;
}

// Like a shell: what is not there or may not be executed leaves the rest to be tried, and is what
// is told in the end.
static long try_programs(const struct cinit_command *command) {
    char *const *environment = command->environment ? command->environment : environ;
    long told = -ENOENT;
    for (char *const *program = command->programs; *program; program++) {
        long failed =
            raw(SYS_execve, (long)*program, (long)command->arguments, (long)environment, 0, 0);
        if (failed == -EACCES) told = failed;
        else if (failed != -ENOENT && failed != -ENOTDIR) return failed;
    }
    return told;
}

// In the child, in the parent's memory: nothing but raw calls.
static long become(struct spawn *spawn) {
    const struct cinit_command *command = spawn->command;
    raw(SYS_setsid, 0, 0, 0, 0, 0);
    // Before the standard streams take the numbers that this may have.
    if (command->told >= 0)
        raw(SYS_sendto, command->told, (long)command->message, (long)command->message_size,
            MSG_NOSIGNAL | MSG_DONTWAIT, 0);
    long failed = joined < 0 ? 0 : raw(SYS_write, joined, (long)"0", 1, 0, 0);
    if (failed < 0) return failed;
    failed = place_streams(command->streams);
    if (failed) return failed;
    spawn->stage = CINIT_STAGE_TERMINAL;
    if (command->terminal) failed = raw(SYS_ioctl, STDIN_FILENO, TIOCSCTTY, 0, 0, 0);
    if (failed) return failed;
    spawn->stage = CINIT_STAGE_LIMITS;
    failed = set_limits(limits, limit_count);
    // As root still, who may raise them.
    if (failed == 0) failed = set_limits(command->limits, command->limit_count);
    if (failed) return failed;
    spawn->stage = CINIT_STAGE_PROCESS;
    failed = set_identity(command);
    if (failed) return failed;
    spawn->stage = CINIT_STAGE_DIRECTORY;
    // As the user, who needs the right to be there.
    if (command->directory) failed = raw(SYS_chdir, (long)command->directory, 0, 0, 0, 0);
    if (failed) return failed;
    spawn->stage = CINIT_STAGE_PROGRAM;
    uint64_t none = 0;
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, KERNEL_SIGSET_BYTES, 0);
    return try_programs(command);
}

static int run_workload(void *context) {
    struct spawn *spawn = context;
    spawn->error = (int)become(spawn);
    raw(SYS_exit_group, 127, 0, 0, 0, 0);
    __builtin_unreachable();
}

int cinit_spawn(const struct cinit_command *command, int *stage) {
    static _Alignas(16) char stack[8192];
    struct spawn spawn = {command, 0, CINIT_STAGE_PROCESS};
    // CLONE_VFORK: this thread stands still until the child has executed or ended.
    int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
    int process = clone(run_workload, stack + sizeof stack, flags, &spawn);
    *stage = spawn.stage;
    if (process < 0) return -errno;
    return spawn.error ? spawn.error : process;
}
