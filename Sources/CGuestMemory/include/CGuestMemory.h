// Single accesses to memory that a guest changes at the same time. Each is one instruction: what
// was checked is what is used.
#ifndef ALCOVE_GUEST_MEMORY_H
#define ALCOVE_GUEST_MEMORY_H

#include <stdint.h>
#include <string.h>

static inline uint8_t alcove_guest_load8(const void *address) {
    return __atomic_load_n((const uint8_t *)address, __ATOMIC_RELAXED);
}
static inline void alcove_guest_store8(void *address, uint8_t value) {
    __atomic_store_n((uint8_t *)address, value, __ATOMIC_RELAXED);
}

// The addresses of these are multiples of their sizes.

static inline uint16_t alcove_guest_load16(const void *address) {
    return __atomic_load_n((const uint16_t *)address, __ATOMIC_RELAXED);
}
static inline uint32_t alcove_guest_load32(const void *address) {
    return __atomic_load_n((const uint32_t *)address, __ATOMIC_RELAXED);
}
static inline uint64_t alcove_guest_load64(const void *address) {
    return __atomic_load_n((const uint64_t *)address, __ATOMIC_RELAXED);
}
static inline void alcove_guest_store16(void *address, uint16_t value) {
    __atomic_store_n((uint16_t *)address, value, __ATOMIC_RELAXED);
}
static inline void alcove_guest_store32(void *address, uint32_t value) {
    __atomic_store_n((uint32_t *)address, value, __ATOMIC_RELAXED);
}
static inline void alcove_guest_store64(void *address, uint64_t value) {
    __atomic_store_n((uint64_t *)address, value, __ATOMIC_RELAXED);
}
/// What is read afterwards is no older.
static inline uint16_t alcove_guest_load16_acquire(const void *address) {
    return __atomic_load_n((const uint16_t *)address, __ATOMIC_ACQUIRE);
}
/// What was written before is seen by whoever sees this.
static inline void alcove_guest_store16_release(void *address, uint16_t value) {
    __atomic_store_n((uint16_t *)address, value, __ATOMIC_RELEASE);
}
/// What was written before is seen before anything is read that comes after.
static inline void alcove_guest_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

static inline void alcove_guest_copy(void *to, const void *from, uint64_t count) {
    memcpy(to, from, count);
}

#endif
