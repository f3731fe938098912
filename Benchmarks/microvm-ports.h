// What Benchmarks/microvm-guest.c and microvm-host.c have in common.
#ifndef ALCOVE_BENCH_MICROVM_PORTS_H
#define ALCOVE_BENCH_MICROVM_PORTS_H

enum {
    /// Gives back each byte.
    PORT_ECHO = 2000,
    /// Takes STREAM_BYTES and then says so by a byte.
    PORT_SINK = 2001,
    /// Gives STREAM_BYTES.
    PORT_SOURCE = 2002,
    STREAM_BYTES = 16 << 20,
    /// 10.90.0.1 and, the guest's, 10.90.0.2.
    HOST_ADDRESS = 10 << 24 | 90 << 16 | 1,
    GUEST_ADDRESS = 10 << 24 | 90 << 16 | 2,
    CHUNK = 64 << 10,
};

#endif
