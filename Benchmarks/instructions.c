// Counts the instructions of a guest: a plug-in for QEMU's TCG, for which
// scripts/count-guest-instructions builds it. It begins to count where the kernel is entered, and
// ends the machine at the last of its marks.
//
//     cc -O2 -shared -fPIC -Wall -Wextra -Werror -o instructions.so instructions.c
//     qemu-system-x86_64 … -plugin instructions.so,output=FILE,entry=ADDRESS,mark=ADDRESS…
//
// FILE then has lines: `mark ADDRESS INSTRUCTIONS ROUNDS` in the order in which marks were reached
// for the first time, `user INSTRUCTIONS ROUNDS` at the first instruction above the kernel, and
// `at ADDRESS INSTRUCTIONS ROUNDS` for each address that was executed. An instruction that repeats
// itself by a prefix is one instruction; how often it went round is counted apart.
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What QEMU 7.2 offers; Debian has no header of it.
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated_function)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*executed_function)(unsigned int, void *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated_function);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed_function,
                                                   enum qemu_plugin_cb_flags, void *);
extern void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *,
                                                       enum qemu_plugin_op, void *, uint64_t);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);

enum { BUCKETS = 1 << 16, MARKS_MAX = 1024 };
static const uint64_t user_end = 1ull << 47;

// An address that was translated. Translated again, it goes on counting.
struct place {
    uint64_t address, executions, rounds, last;
    struct place *next;
};
static struct place *buckets[BUCKETS];

struct mark {
    uint64_t address, instructions, rounds;
    bool is_reached;
};
static struct mark marks[MARKS_MAX];
static struct mark user;
static size_t mark_count, reached[MARKS_MAX], reached_count;

static const char *output;
static uint64_t entry;
// Every instruction, but those that repeat themselves, and how often those began and went round.
static uint64_t plain, begun, rounds;
// What ran before the entry.
static uint64_t before;
static bool is_entered, is_counting_user;

static struct place *find_place(uint64_t address) {
    struct place **bucket = &buckets[(address * 0x9E3779B97F4A7C15ull) >> 48];
    for (struct place *place = *bucket; place; place = place->next)
        if (place->address == address) return place;
    struct place *place = calloc(1, sizeof *place);
    if (!place) abort();
    *place = (struct place){.address = address, .next = *bucket};
    return *bucket = place;
}

static uint64_t counted(void) { return plain + begun - before; }

static void write_line(FILE *file, const char *what, const struct mark *mark) {
    fprintf(file, "%s %016" PRIx64 " %" PRIu64 " %" PRIu64 "\n", what, mark->address,
            mark->instructions, mark->rounds);
}

static _Noreturn void finish(void) {
    FILE *file = fopen(output, "w");
    if (!file) abort();
    for (size_t i = 0; i < reached_count; i++) write_line(file, "mark", &marks[reached[i]]);
    if (user.is_reached) write_line(file, "user", &user);
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct place *place = buckets[i]; place; place = place->next)
            if (place->executions)
                write_line(file, "at", &(struct mark){place->address, place->executions,
                                                      place->rounds, true});
    if (fclose(file)) abort();
    _exit(0);
}

static void reach(struct mark *mark) {
    mark->is_reached = true;
    mark->instructions = counted();
    mark->rounds = rounds;
}

static void on_entry(unsigned int processor, void *unused) {
    (void)processor, (void)unused;
    if (is_entered) return;
    is_entered = true;
    // This one is not counted yet, what the firmware did is.
    before = plain + begun;
    rounds = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct place *place = buckets[i]; place; place = place->next)
            place->executions = place->rounds = 0;
}

static void on_mark(unsigned int processor, void *pointer) {
    (void)processor;
    struct mark *mark = pointer;
    if (!is_entered || mark->is_reached) return;
    reach(mark);
    reached[reached_count++] = (size_t)(mark - marks);
    // From the first mark on, the kernel runs at its own addresses: what is below is a process.
    is_counting_user = true;
    if (mark == &marks[mark_count - 1]) finish();
}

static void on_user(unsigned int processor, void *place) {
    (void)processor, (void)place;
    if (is_counting_user && !user.is_reached) reach(&user);
}

// Runs for each round: it is the same execution as long as nothing else was executed.
static void on_repeated(unsigned int processor, void *pointer) {
    (void)processor;
    static const struct place *latest;
    struct place *place = pointer;
    place->rounds++;
    rounds++;
    if (latest == place && place->last == plain) return;
    latest = place;
    place->last = plain;
    place->executions++;
    begun++;
}

// Whether it is a string instruction with a prefix to repeat it.
static bool is_repeated(const uint8_t *code, size_t size) {
    bool has_prefix = false;
    size_t i = 0;
    for (; i < size; i++) {
        if (code[i] == 0xf2 || code[i] == 0xf3)
            has_prefix = true;
        else if (code[i] != 0x66 && code[i] != 0x67 && (code[i] & 0xf0) != 0x40)
            break;
    }
    if (!has_prefix || i == size) return false;
    uint8_t operation = code[i];
    return (operation >= 0x6c && operation <= 0x6f) || (operation >= 0xa4 && operation <= 0xa7) ||
           (operation >= 0xaa && operation <= 0xaf);
}

static void on_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        uint64_t address = qemu_plugin_insn_vaddr(instruction);
        struct place *place = find_place(address);
        // Before it counts, so that what a mark says does not include it.
        if (address == entry)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_entry, QEMU_PLUGIN_CB_NO_REGS,
                                                   NULL);
        for (size_t j = 0; j < mark_count; j++)
            if (address == marks[j].address)
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark,
                                                       QEMU_PLUGIN_CB_NO_REGS, &marks[j]);
        if (address < user_end && is_counting_user && !user.is_reached)
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_user, QEMU_PLUGIN_CB_NO_REGS,
                                                   NULL);
        if (is_repeated(qemu_plugin_insn_data(instruction), qemu_plugin_insn_size(instruction))) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_repeated,
                                                   QEMU_PLUGIN_CB_NO_REGS, place);
            continue;
        }
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   &place->executions, 1);
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, &plain,
                                                   1);
    }
}

static uint64_t read_address(const char *text) {
    char *end;
    uint64_t address = strtoull(text, &end, 16);
    if (end == text || *end) {
        fprintf(stderr, "instructions: `%s` is no address\n", text);
        exit(64);
    }
    return address;
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count,
                                 char **arguments) {
    (void)info;
    for (int i = 0; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) return 1;
        *value++ = 0;
        if (!strcmp(arguments[i], "output"))
            output = strdup(value);
        else if (!strcmp(arguments[i], "entry"))
            entry = read_address(value);
        else if (!strcmp(arguments[i], "mark") && mark_count < MARKS_MAX)
            marks[mark_count++].address = read_address(value);
        else
            return 1;
    }
    if (!output || !entry || !mark_count) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translated);
    return 0;
}
