// What tests need of the C library and Swift cannot import: pipes, pidfds, terminals, spawning.
#ifndef ALCOVE_CTESTSUPPORT_H
#define ALCOVE_CTESTSUPPORT_H

#include <stdint.h>

/// How to start a program; descriptors below zero are `/dev/null`.
struct test_spawn {
    const char *path;
    char *const *arguments;
    char *const *environment;
    /// The working directory, or null for the caller's.
    const char *directory;
    int input;
    int output;
    int error;
    /// The path of a terminal that takes the place of the three descriptors, or null.
    const char *terminal;
};

/// Starts a program in a session of its own with no other descriptor open, every signal at its
/// default and none blocked. Gives 0, or an error number; that of `execve` too.
int test_start(const struct test_spawn *spawn, int *pid);

/// A pipe closed on exec: `ends[0]` to read, `ends[1]` to write. Gives 0 or an error number.
int test_pipe(int ends[2]);

/// A descriptor that becomes readable when the process ends, or minus an error number.
int test_pidfd(int pid);

/// A new terminal of this size. Gives its descriptor and fills `path`, or minus an error number.
int test_terminal(uint16_t rows, uint16_t columns, char *path, uint32_t size);

/// Gives the terminal another size. Gives 0 or an error number.
int test_resize(int terminal, uint16_t rows, uint16_t columns);

#endif
