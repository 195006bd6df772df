// SPDX-License-Identifier: Apache-2.0
/* Messages of a gRPC stream. */
#include "http/grpc.h"

#define PREFIX 5

void hr_grpc_messages(struct hr_grpc_messages *m, const uint8_t *p, size_t n)
{
	while (n) {
		size_t step = m->left < n ? m->left : n;

		m->left -= (uint32_t)step;
		p += step;
		n -= step;
		if (!n)
			return;
		m->length = m->length << 8 | *p++;
		n--;
		if (++m->have < PREFIX)
			continue;
		m->n++;
		m->left = m->length; /* the flags have left it at the top */
		m->have = 0;
	}
}
