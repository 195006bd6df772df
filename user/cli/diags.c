// SPDX-License-Identifier: Apache-2.0
// Findings for people, for scripts, and for code review tools (SARIF 2.1.0).
#include "cli/diags.h"

#include <string.h>

#include "cli/term.h"
#include "core/cleanup.h"

static const char *severity(enum hr_severity s)
{
	static const char *const names[] = {"error", "warning", "notice"};

	return names[s];
}

/* Strings from files may hold any bytes; JSON takes UTF-8 only. */
static json_t *text_or_null(const char *s)
{
	_cleanup_sb_ struct hr_strbuf quoted = {};
	json_t *j;

	if (!s)
		return json_null();
	j = json_string(s);
	if (j)
		return j;
	hr_sb_json(&quoted, s, strlen(s));
	j = json_loads(hr_sb_str(&quoted), JSON_DECODE_ANY, NULL);
	return j ? j : json_string("");
}

void hr_diags_text(const struct hr_diags *d, struct hr_strbuf *out)
{
	static const enum hr_colour colours[] = {HR_RED, HR_YELLOW, HR_CYAN};

	for (size_t i = 0; i < d->list.len; i++) {
		const struct hr_diag *f = &d->list.data[i];
		_cleanup_sb_ struct hr_strbuf line = {};
		char word[32];
		const char *at;

		hr_diag_text(f, &line);
		snprintf(word, sizeof(word), ": %s: ", severity(f->severity));
		at = *hr_colour(HR_PLAIN) ? strstr(hr_sb_str(&line), word) : NULL;
		if (at)
			hr_sb_printf(out, "%.*s: %s%s%s: %s", (int)(at - line.data), line.data,
				     hr_colour(colours[f->severity]), severity(f->severity),
				     hr_colour(HR_PLAIN), at + strlen(word));
		else
			hr_sb_add(out, hr_sb_str(&line));
		if (!out->len || out->data[out->len - 1] != '\n')
			hr_sb_addc(out, '\n');
	}
}

json_t *hr_diags_json(const struct hr_diags *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->list.len; i++) {
		const struct hr_diag *f = &d->list.data[i];

		json_array_append_new(
			list,
			json_pack("{s:o,s:i,s:i,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "file",
				  text_or_null(f->pos.file), "line", (int)f->pos.line, "column",
				  (int)f->pos.col, "severity", severity(f->severity), "code",
				  f->code, "kind", text_or_null(f->kind), "namespace",
				  text_or_null(f->ns), "name", text_or_null(f->name), "field",
				  text_or_null(f->field), "message", text_or_null(f->message)));
	}
	return list;
}

static json_t *sarif_result(const struct hr_diag *f)
{
	static const char *const levels[] = {"error", "warning", "note"};
	_cleanup_sb_ struct hr_strbuf message = {};

	if (f->field && *f->field)
		hr_sb_printf(&message, "%s: ", f->field);
	hr_sb_add(&message, f->message);
	return json_pack("{s:s,s:s,s:{s:o},s:[{s:{s:{s:o},s:{s:i,s:i}}}]}", "ruleId", f->code,
			 "level", levels[f->severity], "message", "text",
			 text_or_null(hr_sb_str(&message)), "locations", "physicalLocation",
			 "artifactLocation", "uri", text_or_null(f->pos.file), "region",
			 "startLine", (int)HR_MAX(f->pos.line, 1u), "startColumn",
			 (int)HR_MAX(f->pos.col, 1u));
}

json_t *hr_diags_sarif(const struct hr_diags *d)
{
	json_t *results = json_array(), *rules = json_array(), *seen = json_object();

	for (size_t i = 0; i < d->list.len; i++) {
		const struct hr_diag *f = &d->list.data[i];

		json_array_append_new(results, sarif_result(f));
		if (json_object_get(seen, f->code))
			continue;
		json_object_set_new(seen, f->code, json_true());
		json_array_append_new(rules, json_pack("{s:s}", "id", f->code));
	}
	json_decref(seen);
	return json_pack("{s:s,s:s,s:[{s:{s:{s:s,s:s,s:o}},s:o}]}", "$schema",
			 "https://json.schemastore.org/sarif-2.1.0.json", "version", "2.1.0",
			 "runs", "tool", "driver", "name", "headrace", "version", HR_VERSION,
			 "rules", rules, "results", results);
}
