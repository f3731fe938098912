#include "CInitProtocol.h"

_Static_assert(sizeof(struct alcove_report) == 24, "a record is 24 bytes on every side");
_Static_assert(sizeof(struct alcove_request) == 8, "a request is 8 bytes on every side");
_Static_assert(sizeof(struct alcove_execute) == 20, "its head is 20 bytes on every side");
_Static_assert(sizeof(struct alcove_answer) == 16, "an answer is 16 bytes on every side");
_Static_assert(sizeof(struct alcove_log_record) == 40, "its head is 40 bytes on every side");
_Static_assert(sizeof(struct alcove_frame) == 8, "a frame's head is 8 bytes on every side");
_Static_assert(sizeof(struct alcove_guest_ready) == 16, "it is 16 bytes on every side");
_Static_assert(sizeof(struct alcove_guest_value) == 8, "it is 8 bytes on every side");
_Static_assert(sizeof(struct alcove_guest_limit) == 24, "it is 24 bytes on every side");
_Static_assert(sizeof(struct alcove_guest_start) == 24, "its head is 24 bytes on every side");
_Static_assert(sizeof(struct alcove_guest_statistics) == 40, "it is 40 bytes on every side");
_Static_assert(sizeof(struct alcove_guest_network) == 16, "it is 16 bytes on every side");
