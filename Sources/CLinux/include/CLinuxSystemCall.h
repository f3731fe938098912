// The raw system call, without errno: what fails comes back as a negated error number.
#ifndef ALCOVE_CLINUX_SYSTEM_CALL_H
#define ALCOVE_CLINUX_SYSTEM_CALL_H

#include <asm/unistd.h>
#include <stdint.h>

#if !defined(__x86_64__)
#error "only x86-64 is supported"
#endif

/// Makes a system call and gives what the kernel gave: a result, or a negated error number.
static inline int64_t alcove_system_call(uint64_t number, uint64_t first, uint64_t second,
                                         uint64_t third, uint64_t fourth, uint64_t fifth,
                                         uint64_t sixth) {
    int64_t result;
    register uint64_t r10 __asm__("r10") = fourth;
    register uint64_t r8 __asm__("r8") = fifth;
    register uint64_t r9 __asm__("r9") = sixth;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/// Numbers behind macros that Swift cannot import.
enum {
    /// `TIOCSPTLCK`
    alcove_ioctl_unlock_terminal = 0x40045431,
    /// `TIOCGPTPEER`
    alcove_ioctl_open_terminal_peer = 0x5441,
};

/// Waits until a word that another process of the same memory sets is not 0, and gives it; the
/// negated number of ETIMEDOUT when nobody did so in time: whoever should have may be gone.
static inline int32_t alcove_await(int32_t *word, int64_t seconds) {
    int64_t patience[2] = {seconds, 0};
    int32_t value;
    while ((value = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == 0)
        // FUTEX_WAIT_PRIVATE
        if (alcove_system_call(__NR_futex, (uint64_t)(uintptr_t)word, 128, 0,
                               (uint64_t)(uintptr_t)patience, 0, 0) == -110)
            return -110;
    return value;
}

/// Sets such a word, and wakes who waits for it.
static inline void alcove_tell(int32_t *word, int32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    // FUTEX_WAKE_PRIVATE
    alcove_system_call(__NR_futex, (uint64_t)(uintptr_t)word, 129, 0x7fffffff, 0, 0, 0);
}

/// clone3 whose child calls `entry(argument)` on the stack that `arguments` name, and never comes
/// back from it. The arguments are a `struct clone_args`.
static inline int64_t alcove_clone_onto_stack(const void *arguments, uint64_t size, void *entry,
                                              void *argument) {
    int64_t result;
    register void *function __asm__("r8") = entry;
    register void *parameter __asm__("r9") = argument;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"(__NR_clone3), "D"(arguments), "S"(size), "r"(function), "r"(parameter)
                     : "rcx", "r11", "memory");
    return result;
}

/// The C library's words for an error number, or null for an unknown one. Static storage.
const char *alcove_error_text(int number);

/// The C library's short name for a signal, as in `TERM`, or null. Static storage.
const char *alcove_signal_name(int number);

/// Frees what a C library allocated.
void alcove_free(void *memory);

/// The calling process's environment, ended by null.
char **alcove_environment(void);

/// Takes a variable out of it. Nobody else may be at the environment meanwhile.
void alcove_environment_remove(const char *name);

/// The monotonic clock, in nanoseconds; no system call where the kernel offers that.
uint64_t alcove_monotonic_nanoseconds(void);

#endif
