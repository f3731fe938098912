#define _GNU_SOURCE
#include "CLinuxSystemCall.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *alcove_error_text(int number) { return strerrordesc_np(number); }

const char *alcove_signal_name(int number) { return sigabbrev_np(number); }

void alcove_free(void *memory) { free(memory); }

char **alcove_environment(void) { return environ; }

void alcove_environment_remove(const char *name) { unsetenv(name); }
