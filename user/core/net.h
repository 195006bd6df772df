/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as the ABI has them (16 bytes, IPv4 mapped), and their text. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "headrace/abi.h"

#define HR_ADDR_TEXT 64 /* "[ipv6]:port" and NUL fit */

/* "10.0.0.1", "fd00::1", "::ffff:10.0.0.1"; no scope, no brackets. 0 or -EINVAL. */
int hr_addr_parse(const char *s, struct hr_addr *out);
/* An address, or a block "10.0.0.0/8"; *bits counts from the left of the 16 bytes (an IPv4 /8 is
 * 104). 0 or -EINVAL. */
int hr_cidr_parse(const char *s, struct hr_addr *out, unsigned *bits);
bool hr_cidr_holds(const struct hr_addr *block, unsigned bits, const struct hr_addr *a);
bool hr_addr_is4(const struct hr_addr *a);
bool hr_addr_is_loopback(const struct hr_addr *a); /* 127.0.0.0/8 or ::1 */
bool hr_addr_eq(const struct hr_addr *a, const struct hr_addr *b);
/* Text without port: "10.0.0.1" or "fd00::1". */
const char *hr_addr_text(const struct hr_addr *a, char buf[static HR_ADDR_TEXT]);
/* "10.0.0.1:80" or "[fd00::1]:80"; port in host order. */
const char *hr_addr_port_text(const struct hr_addr *a, uint16_t port,
			      char buf[static HR_ADDR_TEXT]);
/* sockaddr of the address's own family; gives its length. */
socklen_t hr_addr_to_sockaddr(const struct hr_addr *a, uint16_t port, struct sockaddr_storage *out);
/* 0 or -EAFNOSUPPORT. */
int hr_addr_from_sockaddr(const struct sockaddr *sa, struct hr_addr *out, uint16_t *port);
