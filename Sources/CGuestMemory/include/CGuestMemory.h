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

/// Whether all of so many bytes are zero: a multiple of 64, at an address that is one of 8.
static inline int alcove_guest_is_zero(const void *from, uint64_t count) {
    const uint64_t *words = (const uint64_t *)from;
    for (uint64_t index = 0; index < count / 8; index += 8) {
        uint64_t bits = 0;
        for (int word = 0; word < 8; word++)
            bits |= words[index + word];
        if (bits != 0)
            return 0;
    }
    return 1;
}

static inline uint64_t alcove_rotated(uint64_t value, int by) {
    return value << by | value >> (64 - by);
}

/// One step of the checksum below.
static inline uint64_t alcove_checksum_round(uint64_t sum, uint64_t lane) {
    return alcove_rotated(sum + lane * 0xc2b2ae3d27d4eb4f, 31) * 0x9e3779b185ebca87;
}

static inline uint64_t alcove_checksum_lane(const uint8_t *from) {
    uint64_t lane;
    memcpy(&lane, from, sizeof lane);
    return lane;
}

/// XXH64 of bytes in memory: finds damage, and keeps nobody from making some.
static inline uint64_t alcove_checksum(const void *bytes, uint64_t count, uint64_t seed) {
    const uint64_t first = 0x9e3779b185ebca87, second = 0xc2b2ae3d27d4eb4f,
                   third = 0x165667b19e3779f9, fourth = 0x85ebca77c2b2ae63,
                   fifth = 0x27d4eb2f165667c5;
    const uint8_t *from = (const uint8_t *)bytes;
    uint64_t left = count, sum = seed + fifth;
    if (left >= 32) {
        uint64_t lanes[4] = {seed + first + second, seed + second, seed, seed - first};
        for (; left >= 32; left -= 32, from += 32)
            for (int lane = 0; lane < 4; lane++)
                lanes[lane] =
                    alcove_checksum_round(lanes[lane], alcove_checksum_lane(from + lane * 8));
        sum = alcove_rotated(lanes[0], 1) + alcove_rotated(lanes[1], 7) +
              alcove_rotated(lanes[2], 12) + alcove_rotated(lanes[3], 18);
        for (int lane = 0; lane < 4; lane++)
            sum = (sum ^ alcove_checksum_round(0, lanes[lane])) * first + fourth;
    }
    sum += count;
    for (; left >= 8; left -= 8, from += 8)
        sum = alcove_rotated(sum ^ alcove_checksum_round(0, alcove_checksum_lane(from)), 27) *
                  first +
              fourth;
    if (left >= 4) {
        uint32_t lane;
        memcpy(&lane, from, sizeof lane);
        sum = alcove_rotated(sum ^ lane * first, 23) * second + third;
        left -= 4;
        from += 4;
    }
    for (; left > 0; left--, from++)
        sum = alcove_rotated(sum ^ *from * fifth, 11) * first;
    sum = (sum ^ sum >> 33) * second;
    sum = (sum ^ sum >> 29) * third;
    return sum ^ sum >> 32;
}

static inline void alcove_guest_copy(void *to, const void *from, uint64_t count) {
    memcpy(to, from, count);
}

#endif
