// Kernel interfaces that Swift cannot import: plain types only, no glibc feature macros.
#ifndef ALCOVE_CLINUX_H
#define ALCOVE_CLINUX_H

#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <linux/wait.h>
#include <stdint.h>

#include "CLinuxNetwork.h"
#include "CLinuxProcess.h"
#include "CLinuxProgram.h"
#include "CLinuxSystemCall.h"
#include "CLinuxThread.h"

#endif
