#include "CGuestMemory.h"
