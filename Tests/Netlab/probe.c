// What runs in the lab's sandboxes and beside its servers, as one static program:
//
//   serve NAME PORT            says on TCP and UDP who it is and who asks, and echoes what it hears
//   try MS TARGET...           tries all targets at once, and says of each what became of it
//   sizes TARGET BYTES...      packets of exactly so many bytes, never cut: whether they come back;
//                              with a minus they may be cut
//   copy ADDRESS PORT BYTES    so many bytes there and back, each compared
//   hold ADDRESS PORT          one connection, busy until SIGTERM, each byte compared
//   renew ADDRESS PORT MS      a new connection every so often until SIGTERM
//   flood ADDRESS PORT MS      datagrams as fast as they leave
//   rounds ADDRESS PORT COUNT  one datagram there and back after the other
//
// A target is `tcp/ADDRESS/PORT`, `udp/ADDRESS/PORT` or `icmp/ADDRESS`.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { piece = 65536, most_targets = 256, most_rounds = 10000, name_bytes = 64 };

static const char *own_name;

static _Noreturn void fail(const char *what) {
    printf("failed: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct sockaddr_in place(const char *address, const char *port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
        fail(address);
    return result;
}

// The byte at each place of a stream: a lost, doubled or moved piece is seen by the next byte.
static uint8_t byte_at(uint64_t place) {
    uint64_t x = (place >> 3) * 0x9E3779B97F4A7C15u;
    return (uint8_t)((x ^ x >> 29) >> (place & 7) * 8);
}

static int write_all(int socket, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(socket, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        bytes += sent;
        count -= (size_t)sent;
    }
    return 0;
}

// Readable once this program is asked to end.
static int asked_to_end(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int result = signalfd(-1, &signals, SFD_CLOEXEC);
    if (result < 0)
        fail("signalfd");
    return result;
}

// MARK: Servers

static int greeting(char *text, size_t size, const struct sockaddr_in *peer) {
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &peer->sin_addr, address, sizeof address);
    return snprintf(text, size, "%s %s %d\n", own_name, address, ntohs(peer->sin_port));
}

static void *serve_connection(void *argument) {
    int client = (int)(intptr_t)argument;
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    char *bytes = malloc(piece);
    if (bytes && getpeername(client, (struct sockaddr *)&peer, &length) == 0) {
        ssize_t count = greeting(bytes, piece, &peer);
        while (count > 0 && write_all(client, bytes, (size_t)count) == 0)
            count = recv(client, bytes, piece, 0);
    }
    free(bytes);
    close(client);
    return NULL;
}

// A datagram that begins with `=` comes back as it is, any other one after a greeting, from the
// address that was asked: a server may have several.
static void *serve_datagrams(void *argument) {
    int socket = (int)(intptr_t)argument;
    static char bytes[name_bytes + piece];
    for (;;) {
        struct sockaddr_in peer;
        char *data = bytes + name_bytes, asked[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct iovec part = {data, piece};
        struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &part,
                                 .msg_iovlen = 1, .msg_control = asked,
                                 .msg_controllen = sizeof asked};
        ssize_t count = recvmsg(socket, &message, 0);
        if (count < 0)
            continue;
        if (count == 0 || data[0] != '=') {
            char head[name_bytes];
            int size = greeting(head, sizeof head, &peer);
            data -= size;
            memcpy(data, head, (size_t)size);
            count += size;
        }
        struct cmsghdr *control = CMSG_FIRSTHDR(&message);
        if (control)
            ((struct in_pktinfo *)CMSG_DATA(control))->ipi_ifindex = 0;
        part = (struct iovec){data, (size_t)count};
        sendmsg(socket, &message, 0);
    }
    return NULL;
}

static void begin(void *(*body)(void *), int descriptor) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, body, (void *)(intptr_t)descriptor) != 0)
        close(descriptor);
}

static int serve(const char *name, const char *port) {
    own_name = name;
    int on = 1;
    struct sockaddr_in here = place("0.0.0.0", port);
    int stream = socket(AF_INET, SOCK_STREAM, 0), datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(stream, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(stream, (struct sockaddr *)&here, sizeof here) || listen(stream, 512))
        fail("tcp");
    int cut = IP_PMTUDISC_DONT;
    setsockopt(datagrams, IPPROTO_IP, IP_MTU_DISCOVER, &cut, sizeof cut);
    setsockopt(datagrams, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (bind(datagrams, (struct sockaddr *)&here, sizeof here))
        fail("udp");
    puts("ready");
    begin(serve_datagrams, datagrams);
    for (;;) {
        int client = accept(stream, NULL, NULL);
        if (client >= 0)
            begin(serve_connection, client);
    }
}

// MARK: One try each, all at once

struct target {
    const char *text;
    int socket;
    short events;
    char result[128];
};

static int open_target(const char *text, struct sockaddr_in *to) {
    char copy[64], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    char *kind = strtok_r(copy, "/", &rest);
    char *address = strtok_r(NULL, "/", &rest), *port = strtok_r(NULL, "/", &rest);
    if (!kind || !address)
        fail(text);
    *to = place(address, port ? port : "0");
    int type = strcmp(kind, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM;
    return socket(AF_INET, type | SOCK_NONBLOCK, *kind == 'i' ? IPPROTO_ICMP : 0);
}

static ssize_t ask(int socket, const char *text, char *bytes, size_t size) {
    if (text[0] == 'i') {
        struct icmphdr head = {.type = ICMP_ECHO};
        memcpy(bytes, &head, sizeof head);
    } else {
        bytes[0] = size > 1 ? '=' : '?';
    }
    return send(socket, bytes, size, MSG_NOSIGNAL);
}

static void begin_try(struct target *each, const char *text) {
    struct sockaddr_in to;
    char bytes[8] = {0};
    each->text = text;
    each->socket = open_target(text, &to);
    each->events = POLLIN;
    snprintf(each->result, sizeof each->result, "silent");
    int failed = each->socket < 0 || (connect(each->socket, (struct sockaddr *)&to, sizeof to) &&
                                      errno != EINPROGRESS);
    if (!failed && text[0] != 't')
        failed = ask(each->socket, text, bytes, *text == 'i' ? 8 : 1) < 0;
    if (failed) {
        snprintf(each->result, sizeof each->result, "%s", strerror(errno));
        each->events = 0;
    }
}

static void hear(struct target *each) {
    char bytes[128] = {0};
    ssize_t count = recv(each->socket, bytes, sizeof bytes - 1, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    each->events = 0;
    bytes[strcspn(bytes, "\n")] = 0;
    if (count < 0)
        snprintf(each->result, sizeof each->result, "%s", strerror(errno));
    else if (each->text[0] == 'i')
        snprintf(each->result, sizeof each->result, "answered echo");
    else
        snprintf(each->result, sizeof each->result, "answered %.100s", bytes);
}

static int try_all(int64_t wait_us, char **texts, int count) {
    static struct target targets[most_targets];
    struct pollfd polls[most_targets];
    int64_t end = now_us() + wait_us;
    if (count > most_targets)
        fail("too many targets");
    for (int i = 0; i < count; i++)
        begin_try(&targets[i], texts[i]);
    for (;;) {
        int open = 0;
        for (int i = 0; i < count; i++) {
            polls[i] = (struct pollfd){targets[i].events ? targets[i].socket : -1, POLLIN, 0};
            open += targets[i].events != 0;
        }
        int64_t left = end - now_us();
        if (!open || left <= 0)
            break;
        poll(polls, (nfds_t)count, (int)(left / 1000 + 1));
        for (int i = 0; i < count; i++)
            if (polls[i].revents)
                hear(&targets[i]);
    }
    for (int i = 0; i < count; i++)
        printf("%s %s\n", targets[i].text, targets[i].result);
    return 0;
}

// MARK: Sizes

static int sizes(const char *text, char **numbers, int count) {
    struct sockaddr_in to;
    static char bytes[piece], answer[piece];
    int head = text[0] == 'u' ? 28 : 20;
    for (int i = 0; i < count; i++) {
        int size = abs(atoi(numbers[i])), mtu = 0;
        int mode = numbers[i][0] == '-' ? IP_PMTUDISC_DONT : IP_PMTUDISC_DO;
        socklen_t length = sizeof mtu;
        int socket = open_target(text, &to);
        setsockopt(socket, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof mode);
        if (connect(socket, (struct sockaddr *)&to, sizeof to))
            fail("connect");
        for (int at = 8; at < size; at++)
            bytes[at] = (char)byte_at((uint64_t)at);
        ssize_t got = ask(socket, text, bytes, (size_t)(size - head));
        if (got >= 0) {
            struct pollfd readable = {socket, POLLIN, 0};
            int is_there = poll(&readable, 1, 2000) == 1;
            got = is_there ? recv(socket, answer, sizeof answer, 0) : -2;
        }
        int first = text[0] == 'i' ? 8 : 0;
        int error = errno;
        int same = got == size - head && memcmp(bytes + first, answer + first,
                                                (size_t)(got - first)) == 0;
        getsockopt(socket, IPPROTO_IP, IP_MTU, &mtu, &length);
        printf("%d %s %d\n", size,
               same ? "same" : got >= 0 ? "other" : got == -2 ? "silent" : strerror(error), mtu);
        close(socket);
    }
    return 0;
}

// MARK: Streams

static int connected(const char *address, const char *port, int wait_ms) {
    struct sockaddr_in to = place(address, port);
    struct timeval limit = {wait_ms / 1000, wait_ms % 1000 * 1000};
    int result = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(result, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(result, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(result, (struct sockaddr *)&to, sizeof to) == 0)
        return result;
    close(result);
    return -1;
}

// The first line that a server says, without its end.
static int read_greeting(int socket, char *text, size_t size) {
    for (size_t at = 0; at + 1 < size; at++) {
        if (recv(socket, text + at, 1, 0) != 1)
            return -1;
        text[at + (text[at] != '\n')] = 0;
        if (text[at] == 0)
            return 0;
    }
    return -1;
}

struct stream {
    int socket;
    uint64_t sent, heard, most, pause_us;
    int64_t last_us, longest_us;
};

static int send_some(struct stream *stream, size_t size) {
    static char bytes[piece];
    if (size > stream->most - stream->sent)
        size = (size_t)(stream->most - stream->sent);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)byte_at(stream->sent + i);
    ssize_t count = send(stream->socket, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN)
        return -1;
    if (count > 0)
        stream->sent += (uint64_t)count;
    if (stream->sent == stream->most)
        shutdown(stream->socket, SHUT_WR);
    return 0;
}

// 1 as long as it goes on, 0 at a good end.
static int hear_some(struct stream *stream) {
    static char bytes[piece];
    ssize_t count = recv(stream->socket, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0)
        return errno == EAGAIN ? 1 : -1;
    if (count == 0)
        return stream->heard == stream->most ? 0 : -1;
    for (ssize_t i = 0; i < count; i++, stream->heard++)
        if ((uint8_t)bytes[i] != byte_at(stream->heard)) {
            errno = EBADMSG;
            return -1;
        }
    int64_t now = now_us();
    if (now - stream->last_us > stream->longest_us)
        stream->longest_us = now - stream->last_us;
    stream->last_us = now;
    return 1;
}

// Bounded by `most`; or, where it pauses between pieces, by what it is told.
static int run_stream(struct stream *stream) {
    int state = 1, end = stream->pause_us > 0 ? asked_to_end() : -1;
    int64_t next = now_us(), note = next;
    stream->last_us = next;
    while (state == 1) {
        if (stream->pause_us > 0 && now_us() > note) {
            printf("at %llu\n", (unsigned long long)stream->heard);
            note = now_us() + 100000;
        }
        int64_t left = next - now_us();
        int is_done = stream->sent == stream->most;
        int is_due = !is_done && left <= 0;
        struct pollfd polls[] = {
            {stream->socket, (short)(POLLIN | (is_due ? POLLOUT : 0)), 0},
            {end, POLLIN, 0}};
        poll(polls, 2, is_done || is_due ? -1 : (int)(left / 1000 + 1));
        if (polls[1].revents) {
            end = -1;
            stream->most = stream->sent;
            shutdown(stream->socket, SHUT_WR);
        }
        if (polls[0].revents & POLLOUT) {
            if (stream->sent < stream->most &&
                send_some(stream, stream->pause_us ? 512 : piece) < 0) return -1;
            next += (int64_t)stream->pause_us;
        }
        if (polls[0].revents & ~POLLOUT)
            state = hear_some(stream);
    }
    return state;
}

static int stream(const char *address, const char *port, uint64_t most, uint64_t pause_us) {
    char text[128];
    struct stream stream = {.most = most, .pause_us = pause_us};
    stream.socket = connected(address, port, 10000);
    if (stream.socket < 0 || read_greeting(stream.socket, text, sizeof text))
        fail("connect");
    printf("from %s\n", text);
    int64_t begun = now_us();
    int state = run_stream(&stream);
    printf("%s sent %llu heard %llu us %lld longest %lld\n",
           state == 0 ? "whole" : strerror(errno), (unsigned long long)stream.sent,
           (unsigned long long)stream.heard, (long long)(now_us() - begun),
           (long long)stream.longest_us);
    return state != 0;
}

static int renew(const char *address, const char *port, int pause_ms) {
    struct pollfd end = {asked_to_end(), POLLIN, 0};
    for (int64_t next = now_us();; next += pause_ms * 1000) {
        char text[128] = "nobody";
        int64_t at = now_us();
        int socket = connected(address, port, 300);
        int is_good = socket >= 0 && read_greeting(socket, text, sizeof text) == 0;
        printf("%lld %lld %s %s\n", (long long)at, (long long)(now_us() - at),
               is_good ? "ok" : "failed", is_good ? text : strerror(errno));
        close(socket);
        int64_t left = next + pause_ms * 1000 - now_us();
        if (poll(&end, 1, left > 0 ? (int)(left / 1000) : 0) == 1)
            return 0;
    }
}

// MARK: Datagrams

static int flood(const char *address, const char *port, int for_ms) {
    struct sockaddr_in to = place(address, port);
    char bytes[1000] = "=";
    uint64_t sent = 0;
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(descriptor, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    puts("flooding");
    for (int64_t end = now_us() + for_ms * 1000; now_us() < end;)
        sent += send(descriptor, bytes, sizeof bytes, MSG_DONTWAIT) > 0;
    printf("sent %llu\n", (unsigned long long)sent);
    return 0;
}

static int compare(const void *one, const void *other) {
    return (int)(*(const int64_t *)one - *(const int64_t *)other);
}

static int rounds(const char *address, const char *port, int count) {
    struct sockaddr_in to = place(address, port);
    static int64_t times[most_rounds + 1];
    int answered = 0, descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    if (count > most_rounds || connect(descriptor, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    for (int i = 0; i < count; i++) {
        char bytes[64] = "=", answer[64];
        int64_t begun = now_us();
        struct pollfd readable = {descriptor, POLLIN, 0};
        memcpy(bytes + 1, &i, sizeof i);
        if (send(descriptor, bytes, sizeof bytes, 0) < 0)
            continue;
        while (poll(&readable, 1, 1000) == 1) {
            ssize_t size = recv(descriptor, answer, sizeof answer, 0);
            if (size != sizeof bytes || memcmp(bytes, answer, sizeof bytes) != 0)
                continue;
            times[answered++] = now_us() - begun;
            break;
        }
    }
    qsort(times, (size_t)answered, sizeof *times, compare);
    printf("answered %d of %d median %lld p99 %lld most %lld\n", answered, count,
           (long long)times[answered / 2], (long long)times[answered * 99 / 100],
           (long long)times[answered ? answered - 1 : 0]);
    return 0;
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *what = count > 3 ? words[1] : "";
    if (strcmp(what, "serve") == 0)
        return serve(words[2], words[3]);
    if (strcmp(what, "try") == 0)
        return try_all(atoll(words[2]) * 1000, words + 3, count - 3);
    if (strcmp(what, "sizes") == 0)
        return sizes(words[2], words + 3, count - 3);
    if (strcmp(what, "hold") == 0)
        return stream(words[2], words[3], UINT64_MAX, 5000);
    if (count > 4) {
        if (strcmp(what, "copy") == 0)
            return stream(words[2], words[3], strtoull(words[4], NULL, 10), 0);
        if (strcmp(what, "renew") == 0)
            return renew(words[2], words[3], atoi(words[4]));
        if (strcmp(what, "flood") == 0)
            return flood(words[2], words[3], atoi(words[4]));
        if (strcmp(what, "rounds") == 0)
            return rounds(words[2], words[3], atoi(words[4]));
    }
    fputs("usage: probe serve|try|sizes|copy|hold|renew|flood|rounds WORD...\n", stderr);
    return 64;
}
