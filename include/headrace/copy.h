/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* Requests that the kernel carried and the agent mirrors. Part of abi.h. */
#pragma once

/* copies: ring buffer. The head of a request that the kernel carried and whose rule has mirrors;
 * its bytes follow. A full ring costs the copy, counted as HR_MISHAP_COPY. */
struct hr_copy {
	__u64 netns;
	__u64 conn;
	__u32 route;
	__u32 workload;
	__u8 dst_ip[16]; /* what C asked for */
	__u16 dst_port_be;
	__u16 head_len;
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_copy, 48);
