/* SPDX-License-Identifier: Apache-2.0 */
/* Reaching into the processes and sockets of clients. */
#pragma once

#include <stdint.h>

#include "lib/peek.h"

/* Runs a program of bpf/peek.bpf.c. 0, -ENOENT when the connection is gone. Any thread. */
int kern_peek(int prog_fd, struct hr_peek *p);
/* A duplicate of the client's socket, to be closed soon: it keeps the connection open. -ENOENT when
 * the process or the socket is gone. */
int kern_client_dup(uint32_t pid, uint64_t cookie);
/* Both directions: the client sees the end of the stream. */
int kern_client_shutdown(uint32_t pid, uint64_t cookie);
