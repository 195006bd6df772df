/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: how the server gets its path and its listening socket. */
#pragma once

#include "core/str.h"

/* fd of the lock, held while it is open. -EADDRINUSE: *err names the pid that holds it. */
int hr_control_lock(const char *lock_path, const char *path, struct hr_strbuf *err);
/* Listening fd; replaces what a dead agent left. The lock must be held. */
int hr_control_listen(const char *path, struct hr_strbuf *err);
