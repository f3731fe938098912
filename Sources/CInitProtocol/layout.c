#include "CInitProtocol.h"

_Static_assert(sizeof(struct alcove_report) == 24, "a record is 24 bytes on every side");
_Static_assert(sizeof(struct alcove_request) == 8, "a request is 8 bytes on every side");
_Static_assert(sizeof(struct alcove_execute) == 20, "its head is 20 bytes on every side");
_Static_assert(sizeof(struct alcove_answer) == 16, "an answer is 16 bytes on every side");
_Static_assert(sizeof(struct alcove_log_record) == 40, "its head is 40 bytes on every side");
