#define _GNU_SOURCE
#include "CLinuxThread.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct start {
    void (*entry)(void *);
    void *argument;
    char name[16];
};

static void *run(void *opaque) {
    struct start start = *(struct start *)opaque;
    free(opaque);
    pthread_setname_np(pthread_self(), start.name);
    start.entry(start.argument);
    return NULL;
}

int64_t alcove_thread_start(void (*entry)(void *), void *argument, const char *name,
                            uint64_t *thread) {
    struct start *start = calloc(1, sizeof(*start));
    if (!start) return -ENOMEM;
    start->entry = entry;
    start->argument = argument;
    strncpy(start->name, name, sizeof(start->name) - 1);
    // Signals go to the thread that asked for them: new threads begin with the maker's mask.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t made;
    int error = pthread_create(&made, NULL, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(start);
        return -error;
    }
    *thread = (uint64_t)made;
    return 0;
}

int64_t alcove_thread_stack(uint64_t bytes) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int error = pthread_attr_setstacksize(&attributes, bytes);
    if (!error) error = pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    return -error;
}

void alcove_thread_join(uint64_t thread) { pthread_join((pthread_t)thread, NULL); }

void alcove_thread_detach(uint64_t thread) { pthread_detach((pthread_t)thread); }

struct alcove_lock {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
};

struct alcove_lock *alcove_lock_make(void) {
    struct alcove_lock *lock = calloc(1, sizeof(*lock));
    if (!lock) return NULL;
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_cond_init(&lock->condition, NULL);
    return lock;
}

void alcove_lock_free(struct alcove_lock *lock) {
    pthread_cond_destroy(&lock->condition);
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

void alcove_lock_take(struct alcove_lock *lock) { pthread_mutex_lock(&lock->mutex); }

void alcove_lock_leave(struct alcove_lock *lock) { pthread_mutex_unlock(&lock->mutex); }

void alcove_lock_wait(struct alcove_lock *lock) {
    pthread_cond_wait(&lock->condition, &lock->mutex);
}

void alcove_lock_signal(struct alcove_lock *lock) { pthread_cond_signal(&lock->condition); }

void alcove_lock_signal_all(struct alcove_lock *lock) { pthread_cond_broadcast(&lock->condition); }

void alcove_use_one_heap(void) { mallopt(M_ARENA_MAX, 1); }
