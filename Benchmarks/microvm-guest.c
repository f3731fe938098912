// The first process of a guest that measures its devices: a disk to read, one to write, a socket
// (vsock) and a network.
//
// Tells a line of JSON for each number by the kernel's log, since the kernel of guests has no
// driver for a terminal, and resets the machine. The disks are told apart by whether they can be
// written.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "microvm-ports.h"

enum { DISK_BYTES = 64 << 20, BLOCK = 4096, LARGE_BLOCK = 128 << 10, RANDOM_READS = 1000,
       WRITES = 200, ROUND_TRIPS = 500 };

static char *buffer;
static int kernel_log;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void tell(const char *format, ...) {
    char line[256];
    // The highest level, which is shown however quiet the kernel is.
    int head = snprintf(line, sizeof line, "<0>");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + head, sizeof line - (size_t)head, format, arguments);
    va_end(arguments);
    // Not by dprintf, which seeks.
    if (write(kernel_log, line, strlen(line)) < 0) return;
}

static void result(const char *name, const char *unit, double value) {
    tell("{\"device\":\"%s\",\"unit\":\"%s\",\"value\":%.2f}\n", name, unit, value);
}

static void complain(const char *what) {
    tell("microvm-guest: %s: %s\n", what, strerror(errno));
}

// ---- Disks ----

static void read_disk(int disk) {
    double began = seconds();
    for (off_t place = 0; place < DISK_BYTES; place += LARGE_BLOCK) {
        if (pread(disk, buffer, LARGE_BLOCK, place) != LARGE_BLOCK) return complain("read");
    }
    result("block, sequential read by 128 KiB", "MiB/s", (DISK_BYTES >> 20) / (seconds() - began));

    uint32_t random = 1;
    began = seconds();
    for (int index = 0; index < RANDOM_READS; index++) {
        random = random * 1664525 + 1013904223;
        off_t place = (off_t)(random >> 8) % (DISK_BYTES / BLOCK) * BLOCK;
        if (pread(disk, buffer, BLOCK, place) != BLOCK) return complain("read");
    }
    result("block, random read of 4 KiB", "us", (seconds() - began) / RANDOM_READS * 1e6);
}

static void write_disk(int disk) {
    double began = seconds();
    for (off_t place = 0; place < DISK_BYTES; place += LARGE_BLOCK) {
        if (pwrite(disk, buffer, LARGE_BLOCK, place) != LARGE_BLOCK) return complain("write");
    }
    result("block, sequential write by 128 KiB", "MiB/s", (DISK_BYTES >> 20) / (seconds() - began));

    began = seconds();
    for (int index = 0; index < WRITES; index++) {
        if (pwrite(disk, buffer, BLOCK, (off_t)index * BLOCK) != BLOCK || fdatasync(disk)) {
            return complain("write and flush");
        }
    }
    result("block, write of 4 KiB and flush", "us", (seconds() - began) / WRITES * 1e6);
}

static void measure_disk(const char *path) {
    int is_read_only = 0, disk = open(path, O_RDWR | O_DIRECT);
    if (disk < 0 || ioctl(disk, BLKROGET, &is_read_only)) return complain(path);
    if (is_read_only) {
        read_disk(disk);
    } else {
        write_disk(disk);
    }
    close(disk);
}

// ---- Connections, by vsock and by TCP ----

static int connect_vsock(unsigned int port) {
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
    int connection = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0) {
        return connection;
    }
    complain("vsock");
    return -1;
}

static int connect_network(unsigned int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(HOST_ADDRESS)};
    int connection = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0) {
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return connection;
    }
    complain("network");
    return -1;
}

static void measure_round_trips(int connection, const char *name) {
    double began = seconds();
    for (int index = 0; index < ROUND_TRIPS; index++) {
        if (send(connection, buffer, 1, 0) != 1 || recv(connection, buffer, 1, 0) != 1) {
            return complain("round trip");
        }
    }
    result(name, "us", (seconds() - began) / ROUND_TRIPS * 1e6);
}

static void measure_out(int connection, const char *name) {
    double began = seconds();
    for (size_t total = 0; total < STREAM_BYTES; total += CHUNK) {
        if (send(connection, buffer, CHUNK, 0) != CHUNK) return complain("send");
    }
    if (recv(connection, buffer, 1, 0) != 1) return complain("recv");
    result(name, "MiB/s", (STREAM_BYTES >> 20) / (seconds() - began));
}

static void measure_in(int connection, const char *name) {
    double began = seconds();
    for (size_t total = 0; total < STREAM_BYTES;) {
        ssize_t count = recv(connection, buffer, CHUNK, 0);
        if (count <= 0) return complain("recv");
        total += (size_t)count;
    }
    result(name, "MiB/s", (STREAM_BYTES >> 20) / (seconds() - began));
}

static void measure(int (*reach)(unsigned int), unsigned int port,
                    void (*action)(int, const char *), const char *name) {
    int connection = reach(port);
    if (connection < 0) return;
    action(connection, name);
    close(connection);
}

// Gives the first link an address. False where there is none.
static int set_up_network(void) {
    struct ifreq request = {.ifr_name = "eth0"};
    struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(GUEST_ADDRESS);
    int failed = ioctl(control, SIOCSIFADDR, &request);
    address->sin_addr.s_addr = htonl(0xffffff00);
    failed = failed || ioctl(control, SIOCSIFNETMASK, &request);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    failed = failed || ioctl(control, SIOCSIFFLAGS, &request);
    if (failed) complain("eth0");
    close(control);
    return !failed;
}

int main(void) {
    mkdir("/dev", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    kernel_log = open("/dev/kmsg", O_WRONLY);
    buffer = aligned_alloc(BLOCK, LARGE_BLOCK);
    memset(buffer, 0x5a, LARGE_BLOCK);
    measure_disk("/dev/vda");
    measure_disk("/dev/vdb");
    measure(connect_vsock, PORT_ECHO, measure_round_trips, "vsock, round trip of a byte");
    measure(connect_vsock, PORT_SINK, measure_out, "vsock, guest to host");
    measure(connect_vsock, PORT_SOURCE, measure_in, "vsock, host to guest");
    if (set_up_network()) {
        measure(connect_network, PORT_ECHO, measure_round_trips, "net, TCP round trip of a byte");
        measure(connect_network, PORT_SINK, measure_out, "net, TCP guest to host");
        measure(connect_network, PORT_SOURCE, measure_in, "net, TCP host to guest");
    }
    result("done", "", 0);
    reboot(RB_AUTOBOOT);
    for (;;) pause();
}
