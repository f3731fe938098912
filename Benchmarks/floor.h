// What the two halves of the floor share: floor.c spawns, floor-child.c is the part after clone.
#pragma once
#define _GNU_SOURCE
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#ifndef __x86_64__
#error "the floor is written for x86-64"
#endif

enum { STACK_SIZE = 64 * 1024, IN_FLIGHT_MAX = 256, RUNS_MAX = 100000 };
enum { STEP_MAX = 40, MASK_MAX = 32 };

// What is known before the first sandbox starts; the child only reads it.
struct plan {
    const char *root, *init, *cgroup;
    char **command;
    int runs, in_flight, init_fd, cgroup_fd, *networks;
    bool pooled_net, prepared, writable, json, stages;
    struct sock_fprog filter;
    struct rlimit files;
    const char *hidden_files[MASK_MAX], *hidden_folders[MASK_MAX], *fixed[MASK_MAX];
};
extern struct plan plan;

// One sandbox in flight. The child shares this memory until it execs.
struct slot {
    int number, cgroup, pipe[2], pidfd, network, steps;
    char *stack, name[24];
    uint64_t requested, reaped, gone;
    const char *failed, *step[STEP_MAX];
    uint64_t at[STEP_MAX];
};

static inline uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void reached(struct slot *slot, const char *step) {
    if (!plan.stages || slot->steps == STEP_MAX) return;
    slot->step[slot->steps] = step;
    slot->at[slot->steps++] = now();
}

// Does every step between clone and exec, and execs.
_Noreturn void child(struct slot *slot);

// For --prepared: makes this process's own root the template that each child starts from.
// Exits with a message when a step fails.
void become_template(void);

// Both sides bring a loopback up, the child without errno.
typedef long system_call(long number, long a, long b, long c, long d, long e, long f);
long loopback_up(system_call *call);
