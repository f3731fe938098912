#define _GNU_SOURCE
#include "CTestSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int add_standard(posix_spawn_file_actions_t *actions, int from, int to) {
    if (from < 0)
        return posix_spawn_file_actions_addopen(actions, to, "/dev/null", O_RDWR, 0);
    return posix_spawn_file_actions_adddup2(actions, from, to);
}

static int add_descriptors(posix_spawn_file_actions_t *actions, const struct test_spawn *spawn) {
    int failure = 0;
    if (spawn->terminal) {
        // The first terminal that a session leader opens becomes its controlling terminal.
        failure = posix_spawn_file_actions_addopen(actions, 0, spawn->terminal, O_RDWR, 0);
        if (!failure)
            failure = posix_spawn_file_actions_adddup2(actions, 0, 1);
        if (!failure)
            failure = posix_spawn_file_actions_adddup2(actions, 0, 2);
    } else {
        failure = add_standard(actions, spawn->input, 0);
        if (!failure)
            failure = add_standard(actions, spawn->output, 1);
        if (!failure)
            failure = add_standard(actions, spawn->error, 2);
    }
    if (!failure && spawn->directory)
        failure = posix_spawn_file_actions_addchdir_np(actions, spawn->directory);
    if (!failure)
        failure = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    return failure;
}

static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failure = posix_spawnattr_setsigmask(attributes, &none);
    if (!failure)
        failure = posix_spawnattr_setsigdefault(attributes, &all);
    if (!failure)
        failure = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return failure;
}

int test_start(const struct test_spawn *spawn, int *pid) {
    posix_spawn_file_actions_t actions;
    int failure = posix_spawn_file_actions_init(&actions);
    if (failure)
        return failure;
    posix_spawnattr_t attributes;
    failure = posix_spawnattr_init(&attributes);
    if (!failure) {
        failure = add_descriptors(&actions, spawn);
        if (!failure)
            failure = set_attributes(&attributes);
        if (!failure)
            failure = posix_spawn(
                pid, spawn->path, &actions, &attributes, spawn->arguments, spawn->environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return failure;
}

int test_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno; }

int test_pidfd(int pid) {
    long descriptor = syscall(SYS_pidfd_open, pid, 0);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int test_terminal(uint16_t rows, uint16_t columns, char *path, uint32_t size) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return -errno;
    int failure = 0;
    if (grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        failure = errno;
    if (!failure)
        failure = ptsname_r(terminal, path, size);
    if (!failure)
        failure = test_resize(terminal, rows, columns);
    if (failure) {
        close(terminal);
        return -failure;
    }
    return terminal;
}

int test_resize(int terminal, uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(terminal, TIOCSWINSZ, &size) == 0 ? 0 : errno;
}
