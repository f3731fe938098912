// The kernel as `alcove-init` uses it. Every call gives back what the kernel does, or -errno: no
// thread-local errno is touched, so that the calls also serve between clone and exec.
//
// The calls that a filter must allow it, the C library's start and end included: arch_prctl, clone,
// clock_gettime, close, close_range, execve, exit_group, fcntl, getpid, ioctl, kill, ppoll, prctl,
// read, rt_sigaction, rt_sigprocmask, set_tid_address, setsid, signalfd4, wait4, write. Nobody
// would answer for init itself: a call of its own that waits for the listener waits for ever.
//
// Plain types only: Swift reads this header with another C library's headers than init.c has.
#ifndef ALCOVE_CINIT_H
#define ALCOVE_CINIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CINIT_ENOENT = 2,
    CINIT_EINTR = 4,
    CINIT_SIGKILL = 9,
    CINIT_SIGCHLD = 17,
    CINIT_POLLIN = 0x1,
    CINIT_POLLERR = 0x8,
    CINIT_POLLHUP = 0x10,
    CINIT_POLLNVAL = 0x20,
};

/// `struct pollfd`.
struct cinit_poll {
    int descriptor;
    short wanted;
    short happened;
};

/// A signal taken from a signalfd: what decides where it goes.
struct cinit_signal {
    int number;
    /// si_code: above 0 if the kernel made the signal, else a process did.
    int origin;
    int sender;
};

/// A process that ended.
struct cinit_ended {
    /// 0 if no child has ended.
    int process;
    /// 0 if it exited.
    int signal;
    int code;
    bool core_dumped;
};

/// A call that waits for a verdict of the seccomp listener.
struct cinit_denied {
    int thread;
    int call;
    uint32_t architecture;
};

/// PR_SET_DUMPABLE 0.
int cinit_hide(void);
/// setsid. Fails only for the leader of a group, which has no need of it.
void cinit_leave_session(void);
int cinit_getpid(void);
uint64_t cinit_monotonic_nanoseconds(void);
int cinit_write(int descriptor, const void *bytes, size_t count);
int cinit_set_nonblocking(int descriptor);
int cinit_set_close_on_exec(int descriptor);
int cinit_close(int descriptor);
/// Closes first ... last, both included.
int cinit_close_range(unsigned first, unsigned last);
/// Gives all signals their default action and blocks them; a descriptor above 2 that delivers
/// them.
int cinit_open_signals(void);
int cinit_take_signal(int descriptor, struct cinit_signal *signal);
int cinit_kill(int process, int signal);
/// Takes one ended child, if there is one.
int cinit_reap(struct cinit_ended *ended);
/// Waits for any of the entries; `wait` false only looks.
int cinit_poll(struct cinit_poll *entries, size_t count, bool wait);
/// SECCOMP_IOCTL_NOTIF_RECV.
int cinit_take_denied(int listener, struct cinit_denied *denied);
/// The pid of a new process that executes `path` in a session of its own, with no signal
/// blocked and this process's environment; returns after the exec. With `terminal` descriptor 0
/// becomes its controlling terminal.
int cinit_spawn(const char *path, char *const *arguments, bool terminal);

#endif
