/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's "Length-Prefixed-Message": one byte of flags, four of length in network order, the
 * message. Counted as the bytes pass, whatever pieces they come in; nothing is kept. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hr_grpc_messages {
	uint64_t n;	 /* messages whose prefix is complete */
	uint32_t left;	 /* bytes of the message under way that are still to come */
	uint32_t length; /* digits of the prefix so far */
	uint8_t have;	 /* bytes of it */
};

void hr_grpc_messages(struct hr_grpc_messages *m, const uint8_t *p, size_t n);
