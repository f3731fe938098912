// The floor of an attachment: one message with a transaction of one element, and its answer. It
// stands in the router's namespace and is told on its input what to do: `add ADDRESS MARK` or
// `delete ADDRESS MARK`, of numbers; for each it says how many nanoseconds it took.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static uint8_t message[1024];
static size_t length;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void put(const void *bytes, size_t count) {
    memcpy(message + length, bytes, count);
    length += count;
    while (length % 4) message[length++] = 0;
}

static size_t begin(uint16_t type) {
    struct nlattr attribute = {.nla_type = type};
    size_t start = length;
    put(&attribute, sizeof attribute);
    return start;
}

static void end(size_t start) {
    uint16_t count = (uint16_t)(length - start);
    memcpy(message + start, &count, sizeof count);
}

static void text(uint16_t type, const char *value) {
    struct nlattr attribute = {.nla_len = (uint16_t)(4 + strlen(value) + 1), .nla_type = type};
    put(&attribute, sizeof attribute);
    put(value, strlen(value) + 1);
}

static void value(uint16_t type, uint32_t number) {
    size_t outer = begin(type | NLA_F_NESTED), inner = begin(NFTA_DATA_VALUE);
    put(&number, sizeof number);
    end(inner);
    end(outer);
}

static size_t header(uint16_t type, uint16_t flags, uint32_t sequence, uint16_t resource) {
    struct nlmsghdr head = {
        .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = sequence};
    struct nfgenmsg family = {
        .nfgen_family = resource ? AF_UNSPEC : AF_INET, .res_id = htons(resource)};
    size_t start = length;
    put(&head, sizeof head);
    put(&family, sizeof family);
    return start;
}

static void close_header(size_t start) {
    uint32_t count = (uint32_t)(length - start);
    memcpy(message + start, &count, sizeof count);
}

static void write_change(int adding, uint32_t address, uint32_t mark, uint32_t sequence) {
    length = 0;
    close_header(header(NFNL_MSG_BATCH_BEGIN, 0, sequence, NFNL_SUBSYS_NFTABLES));
    uint16_t type = adding ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    size_t start = header((NFNL_SUBSYS_NFTABLES << 8) | type,
                          NLM_F_ACK | (adding ? NLM_F_CREATE : 0), sequence + 1, 0);
    text(NFTA_SET_ELEM_LIST_TABLE, "alcove");
    text(NFTA_SET_ELEM_LIST_SET, "tenants0");
    size_t elements = begin(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
    size_t element = begin(NFTA_LIST_ELEM | NLA_F_NESTED);
    value(NFTA_SET_ELEM_KEY, htonl(address));
    if (adding) value(NFTA_SET_ELEM_DATA, mark);
    end(element);
    end(elements);
    close_header(start);
    close_header(header(NFNL_MSG_BATCH_END, 0, sequence + 2, NFNL_SUBSYS_NFTABLES));
}

static int perform(int sock) {
    uint8_t answer[4096];
    if (send(sock, message, length, 0) < 0) fail("send");
    ssize_t count = recv(sock, answer, sizeof answer, 0);
    if (count < (ssize_t)sizeof(struct nlmsghdr) + 4) fail("recv");
    int error;
    memcpy(&error, answer + sizeof(struct nlmsghdr), sizeof error);
    return -error;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(void) {
    int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (sock < 0) fail("socket");
    char what[16];
    uint32_t address, mark, sequence = 1;
    while (scanf("%15s %u %u", what, &address, &mark) == 3) {
        uint64_t before = now();
        write_change(!strcmp(what, "add"), address, mark, sequence);
        int error = perform(sock);
        uint64_t after = now();
        sequence += 3;
        if (error) {
            fprintf(stderr, "%s: %s\n", what, strerror(error));
            return 1;
        }
        printf("%llu\n", (unsigned long long)(after - before));
        fflush(stdout);
    }
    return 0;
}
