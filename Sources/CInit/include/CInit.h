// The kernel as `alcove-init` uses it. Every call gives back what the kernel does, or -errno: no
// thread-local errno is touched, so that the calls also serve between clone and exec.
//
// The calls that a filter must allow it, the C library's start and end included: arch_prctl, clone,
// clock_gettime, close, close_range, execve, exit_group, fcntl, getpid, ioctl, kill, ppoll, prctl,
// read, rt_sigaction, rt_sigprocmask, set_tid_address, setsid, signalfd4, wait4, write; of a
// lasting sandbox also accept4, chdir, dup2, ftruncate, getsockopt, madvise, openat, pipe2,
// prlimit64, recvmsg, sendmsg, sendto, writev. Nobody would answer for init itself: a call of its
// own that waits for the listener waits for ever. What CInitGuest.h has is called in guests alone,
// where there is no such filter.
//
// Plain types only: Swift reads this header with another C library's headers than init.c has.
#ifndef ALCOVE_CINIT_H
#define ALCOVE_CINIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CInitGuest.h"

enum {
    CINIT_ENOENT = 2,
    CINIT_EINTR = 4,
    CINIT_EAGAIN = 11,
    CINIT_SIGKILL = 9,
    CINIT_SIGCHLD = 17,
    CINIT_POLLIN = 0x1,
    CINIT_POLLOUT = 0x4,
    CINIT_POLLERR = 0x8,
    CINIT_POLLHUP = 0x10,
    CINIT_POLLNVAL = 0x20,
    CINIT_POLLRDHUP = 0x2000,
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
/// A bound of a process, as `setrlimit` has it.
struct cinit_limit {
    uint32_t resource;
    uint32_t reserved;
    uint64_t soft;
    uint64_t hard;
};

/// What is executed, and how. Texts and vectors live until the call is over, vectors end in null.
struct cinit_command {
    /// Tried in order.
    char *const *programs;
    char *const *arguments;
    /// Null for this process's own.
    char *const *environment;
    /// Null to stay.
    const char *directory;
    /// What become descriptors 0, 1, 2; -1 to leave one as it is.
    int streams[3];
    /// Descriptor 0 becomes the controlling terminal.
    bool terminal;
    /// Further limits of its own, beside those of `cinit_add_limit`.
    const struct cinit_limit *limits;
    size_t limit_count;
    /// It becomes this user and group, without other groups.
    bool identity;
    uint32_t user;
    uint32_t group;
    /// Where the new process itself sends a message, or -1.
    int told;
    const void *message;
    size_t message_size;
};

/// What a process that could not be made failed at; see `enum alcove_execute_stage`.
enum {
    CINIT_STAGE_PROCESS = 0,
    CINIT_STAGE_TERMINAL = 1,
    CINIT_STAGE_LIMITS = 2,
    CINIT_STAGE_DIRECTORY = 3,
    CINIT_STAGE_PROGRAM = 4,
};

/// The pid of a new process in a session of its own, with no signal blocked, or -errno and the
/// stage; returns after the exec.
int cinit_spawn(const struct cinit_command *command, int *stage);

// What follows is for lasting sandboxes.

enum {
    CINIT_MOST_LIMITS = 16,
    CINIT_MOST_DESCRIPTORS = 3,
};

/// What new processes write a 0 to, to belong to a group; -1 for none.
void cinit_join_when_spawned(int processes);
/// A limit that each new process gets. False when there are too many.
bool cinit_add_limit(int resource, uint64_t soft, uint64_t hard);
/// What this process holds above 2 is closed on exec.
int cinit_close_all_on_exec(void);
int cinit_keep_on_exec(int descriptor);
/// A pipe that does not make its reader wait; both ends are closed on exec.
int cinit_open_pipe(int *reader, int *writer);
uint64_t cinit_real_nanoseconds(void);
/// How many bytes can be read at once, or -errno.
int cinit_readable(int descriptor);

/// Reads output into the one buffer for it.
int cinit_read_output(int descriptor, size_t most);
/// The ends of lines in the first bytes of that buffer.
size_t cinit_count_lines(size_t count);
/// Writes a head and the first bytes of that buffer. Gives how much was written, or -errno.
int cinit_append_output(int descriptor, const void *head, size_t head_size, size_t count);
int cinit_truncate(int descriptor, uint64_t size);

/// The next connection of a listening socket, if whoever made it is outside of this pid namespace.
int cinit_accept(int listener);

/// A message, which is in the one buffer for it.
struct cinit_message {
    int size;
    /// All of it, and all of its descriptors, came.
    bool whole;
    int descriptor_count;
    int descriptors[CINIT_MOST_DESCRIPTORS];
};

/// The buffer has `limit` bytes, so much as a message may have.
enum { CINIT_MESSAGE_LIMIT = 131072, CINIT_MOST_TEXTS = 8192 + 64 };
unsigned char *cinit_message_buffer(void);
/// Room for pointers to CINIT_MOST_TEXTS texts and 3 nulls.
char **cinit_text_vector(void);
/// 0 with a message of size 0 at the end; -errno when there is none.
int cinit_receive(int connection, struct cinit_message *message);
/// Gives the memory of a large message back.
void cinit_forget_message(void);
/// Sends bytes, and a descriptor if it is not -1. Does not wait.
int cinit_send(int connection, const void *bytes, size_t size, int descriptor);

/// A new terminal of /dev/pts.
int cinit_open_terminal(int *controller, int *workload);
int cinit_resize(int terminal, uint16_t rows, uint16_t columns);

#endif
