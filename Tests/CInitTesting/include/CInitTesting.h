// Starts alcove-init the way the host does: all signals blocked, its descriptors at fixed places,
// by execveat. Swift must not run between fork and exec, hence C.
#ifndef ALCOVE_CINITTESTING_H
#define ALCOVE_CINITTESTING_H

#include <stdbool.h>

enum {
    CINITTESTING_REPORT = 3,
    CINITTESTING_LISTENER = 4,
    /// Neither the workload nor alcove-init knows of it.
    CINITTESTING_STRAY = 7,
};

struct cinittesting_start {
    /// Descriptor of the program; -1 in the others leaves the place empty.
    int program;
    int input;
    int output;
    int report;
    int stray;
    /// PID 1 in a pid namespace, with a /proc of it.
    bool pid_namespace;
    /// As nobody, without capabilities.
    bool unprivileged;
    /// All signals ignored.
    bool ignores_signals;
    /// A filter with a listener which denies this call; -1 for none.
    int denied_call;
    /// As in a guest: a host name and a network of its own; it cannot set the host's clock. Of this
    /// folder, it finds the files `counts` and `resolver` as /proc/vmstat and /etc/resolv.conf. -1
    /// otherwise; else in a pid namespace.
    int guest_folder;
};

/// The pid, or -errno. A failure in the child is its exit code 99.
int cinittesting_spawn(const struct cinittesting_start *start, char *const *arguments,
                       char *const *environment);

/// False if there is nothing to read for so long.
bool cinittesting_readable(int descriptor, int milliseconds);

/// Both ends close-on-exec, as those of all below.
int cinittesting_pipe(int descriptors[2]);

int cinittesting_socket_pair(int descriptors[2]);
/// A stream socket that listens at a path, or that is connected to it; or -errno.
int cinittesting_listen(const char *path);
int cinittesting_connect(const char *path);

/// Takes the exit code, or 128 + signal, of a child.
int cinittesting_wait(int process);

/// Opens a new pseudo-terminal; `descriptors` are its master and slave.
int cinittesting_terminal(int descriptors[2]);

/// The number of `sethostname`, which only `hostname NAME` calls.
int cinittesting_sethostname_number(void);

#endif
