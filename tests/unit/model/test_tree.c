// SPDX-License-Identifier: Apache-2.0
/*
 * What a YAML file can do to its reader (THREATS.md, "YAML policies"): bombs, depth, encodings,
 * duplicate keys. Each must end in one clear finding with its place, never in an object.
 */
#include "model_test.h"

#include "model/tree.h"

#define VS                                                                                 \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: x\n" \
	"spec:\n  hosts: [x]\n  http:\n  - route:\n    - destination: {host: x}\n"

static void test_sound_text_is_read(void **state)
{
	/* the text that the other tests spoil is sound by itself */
	_cleanup_run_ struct run r = run_text(0, VS);

	(void)state;
	assert_clean(&r);
	assert_int_equal(r.set->virtual_services.len, 1);
}

static void test_billion_laughs(void **state)
{
	/* a: &a [x, x]; b: &b [*a, *a]; ... doubles with every line where aliases are followed */
	_cleanup_run_ struct run r = run_text(0, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n");

	(void)state;
	assert_said(&r, "t.yaml:1:4: error: a: anchors and aliases are not allowed (&a)");
	assert_said(&r, "t.yaml:2:8: error: b[0]: anchors and aliases are not allowed (*a)");
	assert_int_equal(r.set->total, 0);
}

static void test_merge_key_and_tags(void **state)
{
	/* both would put values into the object that are not where the reader sees them */
	_cleanup_run_ struct run merge = run_text(0, VS "<<: {a: b}\n");
	_cleanup_run_ struct run tag = run_text(0, VS "status: !!binary aGVsbG8=\n");

	(void)state;
	assert_said(&merge, "t.yaml:10:1: error: [\"<<\"]: merge keys (<<) are not allowed");
	assert_int_equal(merge.set->total, 0);
	assert_said(&tag, "t.yaml:10:9: error: status: tags are not allowed (!!binary)");
	assert_int_equal(tag.set->total, 0);
}

static void test_duplicate_key(void **state)
{
	/* two readers may take different ones of two equal keys: said at the second */
	_cleanup_run_ struct run r = run_text(0, VS "kind: VirtualService\n");
	_cleanup_sb_ struct hr_strbuf many = {};

	(void)state;
	assert_said(&r, "t.yaml:10:1: error: kind: duplicate key \"kind\"; it is already set in "
			"line 2");
	assert_int_equal(r.set->total, 0);

	/* the same in a mapping that is large enough for the hash map */
	hr_sb_add(&many, VS "status:\n");
	for (int i = 0; i < 200; i++)
		hr_sb_printf(&many, "  k%d: v\n", i);
	hr_sb_add(&many, "  k7: v\n");
	{
		_cleanup_run_ struct run m = run_text(0, many.data);

		assert_said(&m, "t.yaml:211:3: error: status.k7: duplicate key \"k7\"; it is "
				"already set in line 18");
	}
}

static void test_depth(void **state)
{
	/* [[[[...: a recursive reader would overflow its stack */
	_cleanup_sb_ struct hr_strbuf deep = {};

	(void)state;
	for (int i = 0; i < 10000; i++)
		hr_sb_addc(&deep, '[');
	{
		_cleanup_run_ struct run r = run_text(0, deep.data);

		assert_said(&r, "t.yaml:1:33: error:");
		assert_said(&r, "nested too deeply");
	}
	/* the deepest that is allowed is read, down to the refusal that it is no object */
	hr_sb_free(&deep);
	deep = (struct hr_strbuf){};
	for (int i = 0; i < HR_DEPTH_MAX; i++)
		hr_sb_addc(&deep, '[');
	for (int i = 0; i < HR_DEPTH_MAX; i++)
		hr_sb_addc(&deep, ']');
	{
		_cleanup_run_ struct run r = run_text(0, deep.data);

		assert_said(&r, "expected an object");
	}
}

static void test_scalar_of_10_mib(void **state)
{
	_cleanup_sb_ struct hr_strbuf big = {};
	static char chunk[1 << 20];

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	hr_sb_add(&big, "a: ");
	for (int i = 0; i < 10; i++)
		hr_sb_addn(&big, chunk, sizeof(chunk));
	{
		_cleanup_run_ struct run r = run_bytes(0, big.data, big.len);

		assert_said(&r, "t.yaml:1:4: error: a: value is too long");
	}
	/* the file itself: 16 MiB and one byte */
	while (big.len <= HR_FILE_MAX)
		hr_sb_addn(&big, chunk, sizeof(chunk));
	{
		_cleanup_run_ struct run r = run_bytes(0, big.data, big.len);

		assert_said(&r, "t.yaml:1:1: error: the file is larger than 16 MiB");
	}
}

static void test_long_field(void **state)
{
	/* 64 KiB is the bound of a string, but for a direct response's body: 1 MiB */
	_cleanup_sb_ struct hr_strbuf name = {}, body = {};
	static char chunk[65537];

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	hr_sb_add(&name, VS "    name: ");
	hr_sb_addn(&name, chunk, sizeof(chunk));
	hr_sb_add(&body, "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			 "metadata: {name: x}\nspec:\n  hosts: [x]\n  http:\n"
			 "  - directResponse: {status: 200, body: {string: ");
	hr_sb_addn(&body, chunk, sizeof(chunk));
	hr_sb_add(&body, "}}\n");
	{
		_cleanup_run_ struct run r = run_bytes(0, name.data, name.len);
		_cleanup_run_ struct run ok = run_bytes(0, body.data, body.len);

		assert_said(&r, "t.yaml:10:11: error: spec.http[0].name: longer than 65536 bytes");
		assert_clean(&ok);
		assert_int_equal(
			ok.set->virtual_services.data[0]->http.data[0].direct_response.body_len,
			sizeof(chunk));
	}
}

static void test_encodings(void **state)
{
	/* what editors on other systems write, and what is no text at all */
	static const struct {
		const char *bytes;
		size_t n;
		const char *said;
	} rows[] = {
		{"\xff\xfe"
		 "a\0:\0",
		 6, "1:1: error: the file is UTF-16; save it as UTF-8"},
		{"\xfe\xff\0a\0:", 6, "1:1: error: the file is UTF-16"},
		{"a\0:\0 \0b\0", 8, "1:1: error: the file is UTF-16"},
		{"\xff\xfe\0\0a\0\0\0", 8, "1:1: error: the file is UTF-32"},
		{"a: b\nc: \0d\n", 11, "2:4: error: byte 0x00 is NUL"},
		{"a: b\nc: \xc3\x28\n", 11, "2:4: error: byte 0xc3 is not UTF-8"},
		{"a: \xc0\xaf\n", 6, "1:4: error: byte 0xc0 is not UTF-8"},
		{"a: \xed\xa0\x80\n", 7, "1:4: error: byte 0xed is not UTF-8"},
		{"a: b\x1b[31m\n", 10, "1:5: error: byte 0x1b is a control character"},
		{"\x7f"
		 "ELF\x02\x01\x01",
		 7, "1:1: error: byte 0x7f is a control character"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_run_ struct run r = run_bytes(0, rows[i].bytes, rows[i].n);

		assert_said(&r, rows[i].said);
		assert_int_equal(r.diags->errors, 1);
	}
}

static void test_byte_order_mark_is_skipped(void **state)
{
	_cleanup_run_ struct run r = run_text(0, "\xef\xbb\xbf" VS);

	(void)state;
	assert_clean(&r);
	assert_int_equal(r.set->virtual_services.data[0]->meta.pos.col, 1);
}

static void test_tab(void **state)
{
	_cleanup_run_ struct run r = run_text(0, "metadata:\n\tname: x\n");

	(void)state;
	assert_said(&r, "t.yaml:2:1: error: a tab cannot be used for indentation");
}

static void test_escaped_nul(void **state)
{
	/* "\0" in quotes is sound YAML, and the end of a string to C */
	_cleanup_run_ struct run r = run_text(0, VS "    name: \"a\\0b\"\n");

	(void)state;
	assert_said(&r, "t.yaml:10:11: error: spec.http[0].name: NUL (\\0) is not allowed");
	assert_int_equal(r.set->total, 0);
}

static void test_escape_sequences_do_not_reach_the_terminal(void **state)
{
	_cleanup_run_ struct run r = run_text(0, VS "\"\\e[2J\\x9b\": 1\n");

	(void)state;
	assert_said(&r, "unknown field");
	assert_false(said(&r, "\x1b"));
	assert_false(said(&r, "\xc2\x9b"));
}

static void test_several_documents(void **state)
{
	/* empty ones do not count; a broken one does not hide what came before it */
	_cleanup_run_ struct run r = run_text(0, "---\n---\n# nothing\n---\n" VS "---\n[\n");

	(void)state;
	assert_int_equal(r.diags->errors, 1);
	assert_int_equal(r.set->virtual_services.len, 1);
	assert_int_equal(r.set->virtual_services.data[0]->meta.pos.line, 5);
}

static void test_too_many_documents(void **state)
{
	_cleanup_sb_ struct hr_strbuf many = {};

	(void)state;
	for (int i = 0; i <= HR_DOCS_MAX; i++)
		hr_sb_add(&many, "---\n");
	{
		_cleanup_run_ struct run r = run_bytes(0, many.data, many.len);

		assert_said(&r, "t.yaml:10001:1: error: too many documents in one file");
	}
}

static void test_empty_files(void **state)
{
	/* an editor truncates before it writes: 0 bytes must not mean "no policy" on reload; a file
	 * of comments does mean it */
	_cleanup_run_ struct run check = run_text(0, "");
	_cleanup_run_ struct run reload = run_text(HR_DECODE_RELOAD, "");
	_cleanup_run_ struct run comments = run_text(HR_DECODE_RELOAD, "# none yet\n");

	(void)state;
	assert_said(&check, "t.yaml:1:1: warning: the file is empty");
	assert_int_equal(check.diags->errors, 0);
	assert_said(&reload, "t.yaml:1:1: error: the file is empty");
	assert_clean(&comments);
}

static void test_half_a_file(void **state)
{
	/* a write that stopped at any byte: never a crash; a half object is never taken for a whole
	 * one unless what is left is one by itself (only trailing blanks are missing) */
	size_t whole = strlen(VS);

	(void)state;
	for (size_t n = 1; n < whole - 2; n++) {
		_cleanup_run_ struct run r = run_bytes(0, VS, n);

		if (!r.diags->errors) {
			print_message("%.*s\n", (int)n, VS);
			fail();
		}
	}
}

static void test_collection_as_key(void **state)
{
	_cleanup_run_ struct run r = run_text(0, "? [a, b]\n: c\n");

	(void)state;
	assert_said(&r, "t.yaml:1:3: error: a mapping key must be a word");
}

static void test_too_many_rules(void **state)
{
	/* 10,000 rules are read (and looked at for reach in reasonable time), 10,001 refused */
	_cleanup_sb_ struct hr_strbuf sb = {};

	(void)state;
	hr_sb_add(&sb, "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
		       "metadata: {name: x}\nspec:\n  hosts: [x]\n  http:\n");
	for (int i = 0; i < HR_RULES_MAX; i++)
		hr_sb_printf(&sb,
			     "  - match: [{uri: {exact: /p%d}}]\n"
			     "    route: [{destination: {host: x}}]\n",
			     i);
	{
		_cleanup_run_ struct run r = run_bytes(0, sb.data, sb.len);

		hr_validate_refs(r.set, "cluster.local", r.diags);
		assert_clean(&r);
		assert_int_equal(r.set->virtual_services.data[0]->http.len, HR_RULES_MAX);
	}
	hr_sb_add(&sb, "  - route: [{destination: {host: x}}]\n");
	{
		_cleanup_run_ struct run r = run_bytes(0, sb.data, sb.len);

		assert_said(&r, "t.yaml:7:3: error: spec.http: 10001 rules, more than 10000");
		assert_int_equal(r.set->total, 0);
	}
}

static void test_too_many_items(void **state)
{
	/* lists in which each item is held against the others: 4,096, or a file of a million hosts
	 * keeps the agent busy for hours */
	_cleanup_sb_ struct hr_strbuf sb = {};

	(void)state;
	hr_sb_add(&sb, "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
		       "metadata: {name: x}\nspec:\n  http:\n"
		       "  - route: [{destination: {host: x}}]\n  hosts:\n");
	for (int i = 0; i <= HR_ITEMS_MAX; i++)
		hr_sb_printf(&sb, "  - h%d\n", i);
	{
		_cleanup_run_ struct run r = run_bytes(0, sb.data, sb.len);

		assert_said(&r, "t.yaml:8:3: error: spec.hosts: 4097 items, more than 4096");
		assert_int_equal(r.set->total, 0);
	}
}

static void test_too_many_objects(void **state)
{
	/* in all files together; what came before is kept */
	_cleanup_sb_ struct hr_strbuf sb = {};

	(void)state;
	hr_sb_add(&sb, "apiVersion: v1\nkind: NamespaceList\nitems:\n");
	for (int i = 0; i <= HR_OBJECTS_MAX; i++)
		hr_sb_printf(&sb, "- metadata: {name: n%d}\n", i);
	{
		_cleanup_run_ struct run r = run_bytes(0, sb.data, sb.len);

		assert_said(&r, "t.yaml:100004:3: error: more than 100000 objects");
		assert_int_equal(r.diags->errors, 1);
		assert_int_equal(r.set->total, HR_OBJECTS_MAX);
	}
}

static void test_findings_are_bounded(void **state)
{
	/* a file of nothing but mistakes costs no more memory than the bound */
	_cleanup_sb_ struct hr_strbuf many = {};

	(void)state;
	hr_sb_add(&many, VS);
	for (int i = 0; i < HR_DIAGS_MAX + 500; i++)
		hr_sb_printf(&many, "u%d: x\n", i);
	{
		_cleanup_run_ struct run r = run_bytes(0, many.data, many.len);

		assert_int_equal(r.diags->list.len, HR_DIAGS_MAX);
		assert_int_equal(r.diags->errors, HR_DIAGS_MAX + 500);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound_text_is_read),
		cmocka_unit_test(test_billion_laughs),
		cmocka_unit_test(test_merge_key_and_tags),
		cmocka_unit_test(test_duplicate_key),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_scalar_of_10_mib),
		cmocka_unit_test(test_long_field),
		cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_byte_order_mark_is_skipped),
		cmocka_unit_test(test_tab),
		cmocka_unit_test(test_escaped_nul),
		cmocka_unit_test(test_escape_sequences_do_not_reach_the_terminal),
		cmocka_unit_test(test_several_documents),
		cmocka_unit_test(test_too_many_documents),
		cmocka_unit_test(test_empty_files),
		cmocka_unit_test(test_half_a_file),
		cmocka_unit_test(test_collection_as_key),
		cmocka_unit_test(test_too_many_rules),
		cmocka_unit_test(test_too_many_items),
		cmocka_unit_test(test_too_many_objects),
		cmocka_unit_test(test_findings_are_bounded),
	};

	return cmocka_run_group_tests_name("model/tree", tests, NULL, NULL);
}
