#include <sqlite3.h>

// Variadic functions and casts of macros, which Swift does not import.

/// Before any connection: no lock for each call, since a connection belongs to one thread at a
/// time, and no count of memory, which would be a lock for each allocation.
static inline int alcove_sqlite_configure(void) {
    int result = sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    return result ? result : sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/// Keeps statements from damaging the file's own structure, and the log for the next process: the
/// last connection would else move it into the database, without the syncs that takes.
static inline int alcove_sqlite_defend(sqlite3 *database) {
    int result = sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)0);
    return result ? result
                  : sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}

/// The bytes are copied.
static inline int alcove_sqlite_bind_bytes(
    sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 count) {
    return sqlite3_bind_blob64(statement, index, bytes, count, SQLITE_TRANSIENT);
}

/// The text is copied.
static inline int alcove_sqlite_bind_text(
    sqlite3_stmt *statement, int index, const char *text, sqlite3_uint64 count) {
    return sqlite3_bind_text64(statement, index, text, count, SQLITE_TRANSIENT, SQLITE_UTF8);
}
