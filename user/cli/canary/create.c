// SPDX-License-Identifier: Apache-2.0
// headrace canary create: a VirtualService with two weights and a DestinationRule with two subsets.
#include <string.h>

#include "cli/canary/canary.h"
#include "cli/labels.h"
#include "cli/verbs.h"
#include "source/source.h"

/* --stable NAME=WEIGHT */
static int add_side(const struct hr_args *a, const char *option, const char *subset_key,
		    const char *weight_key, json_t *req)
{
	const char *word = hr_arg_str(a, option, NULL), *name;
	_cleanup_json_ json_t *one = json_object();
	json_t *weight;
	int r;

	if (!word)
		return hr_fail(a, HR_EXIT_USAGE, "--%s NAME=WEIGHT is needed", option);
	r = hr_split_weight(a, word, one);
	if (r)
		return r;
	json_object_foreach(one, name, weight)
	{
		json_object_set_new(req, subset_key, json_string(name));
		json_object_set(req, weight_key, weight);
	}
	return 0;
}

/* --match NAME=VALUE: that value; --match NAME: any. Each of them is enough. */
static int add_matches(const struct hr_args *a, json_t *req)
{
	const char *const *words;
	size_t n = hr_arg_list(a, "match", &words);
	_cleanup_json_ json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(words[i], '=');
		json_t *header;

		if (!*words[i] || eq == words[i])
			return hr_fail(a, HR_EXIT_USAGE,
				       "--match: \"%s\": HEADER or HEADER=VALUE is needed",
				       words[i]);
		header = json_object();
		char *name = strndup(words[i], eq ? (size_t)(eq - words[i]) : strlen(words[i]));

		json_object_set_new(header, name,
				    eq ? json_pack("{s:s}", "exact", eq + 1) : json_object());
		json_array_append_new(list, json_pack("{s:o}", "headers", header));
		free(name);
	}
	if (n)
		json_object_set(req, "matches", list);
	return 0;
}

static json_t *labels_json(const char *text)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	hr_kvs kvs = {};
	json_t *out;

	if (hr_parse_labels(arena, text, &kvs) < 0 || !kvs.len)
		return NULL;
	out = json_object();
	for (size_t i = 0; i < kvs.len; i++)
		json_object_set_new(out, kvs.data[i].key, json_string(kvs.data[i].value));
	return out;
}

/* --subset v2=track=canary,tier=web */
static int add_labels(const struct hr_args *a, json_t *req)
{
	static const char *const sides[][2] = {{"stableSubset", "stableLabels"},
					       {"canarySubset", "canaryLabels"}};
	const char *const *words;
	size_t n = hr_arg_list(a, "subset", &words);

	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(words[i], '='), *key = NULL;
		json_t *labels;

		for (size_t k = 0; eq && k < HR_ARRAY_SIZE(sides); k++) {
			const char *name = hr_jstr(req, sides[k][0], "");

			if (strlen(name) == (size_t)(eq - words[i]) &&
			    !strncmp(name, words[i], strlen(name)))
				key = sides[k][1];
		}
		if (!key)
			return hr_fail(a, HR_EXIT_USAGE,
				       "--subset: \"%s\": NAME=KEY=VALUE is needed, NAME that of "
				       "--stable or --canary",
				       words[i]);
		labels = labels_json(eq + 1);
		if (!labels)
			return hr_fail(a, HR_EXIT_USAGE,
				       "--subset: \"%s\": KEY=VALUE,... is needed", eq + 1);
		json_object_set_new(req, key, labels);
	}
	return 0;
}

/* "3" or "3x10s" */
static int add_retries(const struct hr_args *a, json_t *req)
{
	const char *text = hr_arg_str(a, "retries", NULL), *x;
	_cleanup_free_ char *number = NULL;
	uint64_t attempts;
	json_t *retries;

	if (!text)
		return 0;
	x = strchr(text, 'x');
	number = strndup(text, x ? (size_t)(x - text) : strlen(text));
	if (hr_parse_u64(number, INT32_MAX, &attempts) < 0 || (x && !x[1]))
		return hr_fail(a, HR_EXIT_USAGE,
			       "--retries: \"%s\": ATTEMPTS or ATTEMPTSxTIMEOUT is needed, 3x10s",
			       text);
	retries = json_pack("{s:I}", "attempts", (json_int_t)attempts);
	if (x)
		json_object_set_new(retries, "perTryTimeout", json_string(x + 1));
	json_object_set_new(req, "retries", retries);
	return 0;
}

/* A TrafficPolicy: in the word itself when it begins with {, else in the file it names. */
static int add_policy(const struct hr_args *a, const char *option, const char *key, json_t *req)
{
	const char *word = hr_arg_str(a, option, NULL), *yaml = word;
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_texts_ struct hr_texts t = {};
	json_t *policy;

	if (!word)
		return 0;
	if (*word != '{') {
		hr_texts_read(&t, &word, 1, diags);
		if (diags->errors)
			return hr_fail(a, HR_EXIT_REFUSED, "--%s: %s: %s", option, word,
				       diags->list.data[0].message);
		if (t.list.len != 1)
			return hr_fail(a, HR_EXIT_REFUSED, "--%s: %s: one file is needed", option,
				       word);
		yaml = t.list.data[0].bytes;
	}
	policy = hr_yaml_json(yaml);
	if (!json_is_object(policy)) {
		json_decref(policy);
		return hr_fail(a, HR_EXIT_REFUSED, "--%s: a TrafficPolicy in YAML is needed",
			       option);
	}
	json_object_set_new(req, key, policy);
	return 0;
}

int hr_verb_canary_create(const struct hr_args *a)
{
	json_t *req = hr_split_request(a);
	const char *timeout = hr_arg_str(a, "timeout", NULL);
	int r = add_side(a, "stable", "stableSubset", "stableWeight", req);

	if (!r)
		r = add_side(a, "canary", "canarySubset", "canaryWeight", req);
	if (!r)
		r = add_labels(a, req);
	if (!r)
		r = add_retries(a, req);
	if (!r)
		r = add_policy(a, "stable-policy", "stablePolicy", req);
	if (!r)
		r = add_policy(a, "canary-policy", "canaryPolicy", req);
	if (!r)
		r = add_policy(a, "base-policy", "basePolicy", req);
	if (!r)
		r = add_matches(a, req);
	if (r) {
		json_decref(req);
		return r;
	}
	if (timeout)
		json_object_set_new(req, "timeout", json_string(timeout));
	return hr_split_ask(a, "createCanaryDeployment", req);
}
