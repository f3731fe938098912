// A network namespace that is made while its user does something else.
#ifndef ALCOVE_CLINUX_NETWORK_H
#define ALCOVE_CLINUX_NETWORK_H

#include <stdint.h>

/// Starts making a network namespace with its loopback up, by a process beside the calling thread.
/// At most one is made at a time. Gives a pidfd of the maker, by which the namespace is joined, or
/// a negated error number.
int64_t alcove_network_begin(void);

/// Becomes 1 when the namespace can be joined, or a negated error number. Futex.
int32_t *alcove_network_state(void);

/// Whoever has joined sets it to 1: the maker ends. Futex.
int32_t *alcove_network_released(void);

/// Lets the maker end and collects it: the namespace lasts as long as somebody is in it. Gives the
/// state.
int64_t alcove_network_release(void);

#endif
