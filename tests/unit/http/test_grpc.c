// SPDX-License-Identifier: Apache-2.0
/*
 * Messages of a gRPC stream are counted the same whatever pieces they come in:
 *
 *	00 00000003 abc | 01 00000000 | 00 00000102 (258 bytes) | 00 ffffffff (never all here)
 */
#include "unit.h"

#include "http/grpc.h"

static void test_any_pieces(void **state)
{
	uint8_t wire[8 + 5 + 263 + 5 + 4] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 1,
					     0, 0, 0, 0, 0, 0,	 0,   1,   2};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		wire[8 + 5 + 263 + 1 + i] = 0xff;
	for (size_t piece = 1; piece <= sizeof(wire); piece++) {
		struct hr_grpc_messages m = {};

		for (size_t at = 0; at < sizeof(wire); at += piece)
			hr_grpc_messages(&m, wire + at,
					 piece < sizeof(wire) - at ? piece : sizeof(wire) - at);
		assert_int_equal(m.n, 4);
		assert_int_equal(m.left, 0xffffffffU - 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_pieces)};

	return cmocka_run_group_tests_name("gRPC messages", tests, NULL, NULL);
}
