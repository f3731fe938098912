#include "CInitProtocol.h"

_Static_assert(sizeof(struct alcove_report) == 24, "a record is 24 bytes on every side");
