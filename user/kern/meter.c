// SPDX-License-Identifier: Apache-2.0
/* One row of istio_* metrics: what is counted where, and the words for it. */
#include <stdio.h>
#include <string.h>

#include "core/str.h"
#include "kern/meters.h"

static const uint64_t bounds[HR_LAT_BUCKETS] = HR_LAT_BOUNDS_US;

uint32_t hr_meter_code(unsigned status)
{
	static const uint8_t table[HR_CODE_SPAN] = HR_CODE_TABLE;

	if (status < HR_CODE_FIRST || status >= 600)
		return HR_CODE_NONE;
	return table[status - HR_CODE_FIRST] ? table[status - HR_CODE_FIRST] : HR_CODES;
}

const char *hr_meter_code_text(uint32_t code, char buf[static 4])
{
	static const uint16_t status[HR_CODES] = {
#define STATUS(code) [HR_CODE_##code] = code,
		HR_CODE_LIST(STATUS)
#undef STATUS
	};

	if (code == HR_CODE_NONE)
		return "0";
	if (code <= HR_CODE_LAST_CLASS)
		snprintf(buf, 4, "%uxx", code % 10);
	else
		snprintf(buf, 4, "%u", status[code] % 1000U);
	return buf;
}

static const char *const flags[] = {
#define FLAG(id, text) [HR_FLAG_##id] = text,
	HR_FLAG_LIST(FLAG)
#undef FLAG
};

const char *hr_flag_text(uint32_t flag)
{
	return flag < HR_FLAG_MAX ? flags[flag] : flags[HR_FLAG_OTHER];
}

const char *hr_flag_log(uint32_t flag)
{
	return flag == HR_FLAG_NONE ? "" : hr_flag_text(flag);
}

enum hr_flag hr_flag_of(const char *text)
{
	enum hr_flag f = HR_FLAG_NR;

	if (!*text)
		return HR_FLAG_NONE;
	while (f < HR_FLAG_OTHER && strcmp(text, flags[f]) != 0)
		f++;
	return f;
}

static size_t bucket(uint64_t us)
{
	size_t i = 0;

	while (i < HR_LAT_BUCKETS && us > bounds[i])
		i++;
	return i;
}

void hr_meter_count(struct hr_meter *m, uint64_t us, uint64_t tx, uint64_t rx)
{
	m->us += us;
	m->tx += tx;
	m->rx += rx;
	m->us_in[bucket(us)]++;
	m->tx_in[bucket(tx * 1000)]++;
	m->rx_in[bucket(rx * 1000)]++;
}

void hr_meter_add(struct hr_meter *to, const struct hr_meter *from)
{
	const __u64 *f = (const __u64 *)from;
	__u64 *t = (__u64 *)to;

	_Static_assert(sizeof(*to) % sizeof(*t) == 0, "counters only");
	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += f[i];
}

uint64_t hr_meter_requests(const struct hr_meter *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i <= HR_LAT_BUCKETS; i++)
		n += m->us_in[i];
	return n;
}
