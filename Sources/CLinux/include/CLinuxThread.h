// Threads, and a lock that needs no module of Swift's own.
#ifndef ALCOVE_CLINUX_THREAD_H
#define ALCOVE_CLINUX_THREAD_H

#include <stdint.h>

/// Starts a joinable thread with every signal blocked, named by at most 15 bytes, which calls
/// `entry(argument)`. Gives 0 and the thread, or a negated error number.
int64_t alcove_thread_start(void (*entry)(void *), void *argument, const char *name,
                            uint64_t *thread);

/// Sets how large the stacks of threads are that are started from now on. Gives 0 or a negated
/// error number.
int64_t alcove_thread_stack(uint64_t bytes);

/// Waits for the end of a thread, once.
void alcove_thread_join(uint64_t thread);

/// Gives a thread's memory back when it ends, without somebody who waits for it.
void alcove_thread_detach(uint64_t thread);

/// Lets every thread allocate from the same heap, from now on.
void alcove_use_one_heap(void);

/// A number that no other running thread of this process has.
static inline uint64_t alcove_thread_identity(void) {
    return (uint64_t)(uintptr_t)__builtin_thread_pointer();
}

/// A mutex and a condition, on the heap. Null without memory.
struct alcove_lock;
struct alcove_lock *alcove_lock_make(void);
void alcove_lock_free(struct alcove_lock *lock);
void alcove_lock_take(struct alcove_lock *lock);
void alcove_lock_leave(struct alcove_lock *lock);
/// Leaves the lock, waits for a signal, takes it again. Can wake for no reason.
void alcove_lock_wait(struct alcove_lock *lock);
void alcove_lock_signal(struct alcove_lock *lock);
void alcove_lock_signal_all(struct alcove_lock *lock);

#endif
