/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server name of a TLS ClientHello, read without taking part in the handshake (RFC 8446 section
 * 4.1.2, RFC 6066 section 3). For TLS routes only: what is decided is where the bytes go.
 */
#pragma once

#include <stddef.h>

#include "headrace/limits.h"

enum hr_hello_result {
	HR_HELLO_MORE,	/* the bytes so far are the front of one */
	HR_HELLO_FOUND, /* whole; the name is "" when there is none */
	HR_HELLO_NONE,	/* these bytes begin no ClientHello, or one that is too long or broken */
};

/* `p` holds the first n bytes of a connection. sni: lower case, without trailing dot, "" unless it
 * is a DNS name of at most HR_SNI_MAX printable bytes. Set on FOUND only. */
enum hr_hello_result hr_tls_hello(const void *p, size_t n, char sni[static HR_SNI_MAX + 1]);
