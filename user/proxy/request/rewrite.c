// SPDX-License-Identifier: Apache-2.0
/* Paths as the route changes them: rewrite.uri, uriRegexRewrite, and those of redirects. */
#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* Bytes of r->path that the rule's match stands for: what a rewrite replaces. Without a match it is
 * the "/". */
static size_t matched(const struct px_req *r)
{
	const struct hr_http_match *m = r->match.rule->m;
	const struct hr_string_match *uri = m ? &m->uri : NULL;
	size_t n = 1;

	if (uri && uri->type == HR_MATCH_PREFIX)
		n = strlen(uri->value);
	else if (uri && uri->type != HR_MATCH_NONE)
		n = r->path.len;
	return HR_MIN(n, r->path.len);
}

void px_replace_prefix(struct px_req *r, const char *with, struct hr_strbuf *out)
{
	size_t n = matched(r);

	hr_sb_add(out, with);
	hr_sb_addn(out, r->path.p + n, r->path.len - n);
}

bool px_rewrite_path(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	const struct hr_rewrite *rw = http && http->rewrite.set ? &http->rewrite : NULL;
	_cleanup_sb_ struct hr_strbuf path = {};

	if (!rw || (!rw->uri && !rw->sub))
		return true;
	if (rw->uri)
		px_replace_prefix(r, rw->uri, &path);
	else if (hr_regex_sub(rw->sub, r->path.p, r->path.len, HR_REQLINE_MAX, &path))
		return false;
	/* what the path holds was checked, but a rewrite may be made of anything */
	if (!path.len || *path.data != '/')
		px_out_lit(&r->new_path, "/");
	px_out_add(&r->new_path, path.data, path.len);
	return r->new_path.len <= HR_REQLINE_MAX;
}
