// SPDX-License-Identifier: Apache-2.0
/*
 * istio_*: names, labels and buckets that existing dashboards ask for. What is not known is the
 * word "unknown". Histograms have no response_code: buckets are counted for a row, not for a
 * status.
 */
#include <stdlib.h>

#include "core/cleanup.h"
#include "observe/ledger.h"
#include "observe/meters.h"

static const uint64_t bounds[HR_LAT_BUCKETS] = HR_LAT_BOUNDS_US;

static void count_line(struct hr_strbuf *out, const char *name, const char *labels, uint64_t n)
{
	hr_sb_printf(out, "%s{%s} %llu\n", name, labels, (unsigned long long)n);
}

static void code_line(struct hr_strbuf *out, const char *labels, const char *code, uint64_t n)
{
	hr_sb_printf(out, "istio_requests_total{%s,response_code=\"%s\"} %llu\n", labels, code,
		     (unsigned long long)n);
}

static void requests(const struct hr_map *map, struct hr_strbuf *out)
{
	struct hr_map_iter it = {};

	hr_metrics_head(out, "istio_requests_total", "counter", "Requests.");
	while (hr_map_next(map, &it)) {
		const struct hr_series *s = it.value;
		const struct hr_series_odd *o;
		char code[12];

		for (uint32_t c = 0; c < HR_CODES; c++)
			if (s->http.codes[c])
				code_line(out, s->labels, hr_meter_code_text(c, code),
					  s->http.codes[c]);
		hr_vec_for_each (o, &s->odd) {
			snprintf(code, sizeof(code), "%u", o->status);
			code_line(out, s->labels, code, o->n);
		}
	}
}

/* One histogram of a row. `scale`: how many of the sum's units one of the bounds' is. */
struct histogram {
	const char *name, *help;
	size_t in, sum; /* offsets in struct hr_meter */
	double scale;
};

static void histogram(const struct histogram *h, const struct hr_series *s, struct hr_strbuf *out)
{
	const uint64_t *in = (const uint64_t *)((const char *)&s->http + h->in);
	double total = (double)*(const uint64_t *)((const char *)&s->http + h->sum);
	uint64_t n = 0;

	if (!hr_meter_requests(&s->http))
		return;
	for (int b = 0; b < HR_LAT_BUCKETS; b++) {
		n += in[b];
		hr_sb_printf(out, "%s_bucket{%s,le=\"%.10g\"} %llu\n", h->name, s->labels,
			     (double)bounds[b] / 1000.0, (unsigned long long)n);
	}
	n += in[HR_LAT_BUCKETS];
	hr_sb_printf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", h->name, s->labels,
		     (unsigned long long)n);
	hr_sb_printf(out, "%s_sum{%s} %.15g\n%s_count{%s} %llu\n", h->name, s->labels,
		     total / h->scale, h->name, s->labels, (unsigned long long)n);
}

static void histograms(const struct hr_map *map, struct hr_strbuf *out)
{
	static const struct histogram all[] = {
		{"istio_request_duration_milliseconds",
		 "Time from a request's head to the end of its answer.",
		 offsetof(struct hr_meter, us_in), offsetof(struct hr_meter, us), 1000},
		{"istio_request_bytes", "Bytes of requests, with their heads.",
		 offsetof(struct hr_meter, tx_in), offsetof(struct hr_meter, tx), 1},
		{"istio_response_bytes", "Bytes of answers, with their heads.",
		 offsetof(struct hr_meter, rx_in), offsetof(struct hr_meter, rx), 1},
	};

	for (size_t i = 0; i < HR_ARRAY_SIZE(all); i++) {
		struct hr_map_iter it = {};

		hr_metrics_head(out, all[i].name, "histogram", all[i].help);
		while (hr_map_next(map, &it))
			histogram(&all[i], it.value, out);
	}
}

/* A counter of the rows of one protocol. */
struct counter {
	const char *name, *help;
	size_t at; /* offset in struct hr_series */
	enum hr_meter_proto proto;
};

static void counters(const struct hr_map *map, struct hr_strbuf *out)
{
	static const struct counter all[] = {
		{"istio_request_messages_total", "Messages of gRPC from clients.",
		 offsetof(struct hr_series, http.tx_messages), HR_METER_GRPC},
		{"istio_response_messages_total", "Messages of gRPC from servers.",
		 offsetof(struct hr_series, http.rx_messages), HR_METER_GRPC},
		{"istio_tcp_connections_opened_total", "Opaque connections that were opened.",
		 offsetof(struct hr_series, tcp.opened), HR_METER_TCP},
		{"istio_tcp_connections_closed_total", "Opaque connections that were closed.",
		 offsetof(struct hr_series, tcp.closed), HR_METER_TCP},
		/* Istio's point of view is the server's */
		{"istio_tcp_received_bytes_total", "Bytes of opaque connections from clients.",
		 offsetof(struct hr_series, tcp.tx), HR_METER_TCP},
		{"istio_tcp_sent_bytes_total", "Bytes of opaque connections to clients.",
		 offsetof(struct hr_series, tcp.rx), HR_METER_TCP},
	};

	for (size_t i = 0; i < HR_ARRAY_SIZE(all); i++) {
		struct hr_map_iter it = {};

		hr_metrics_head(out, all[i].name, "counter", all[i].help);
		while (hr_map_next(map, &it)) {
			const struct hr_series *s = it.value;

			if (s->proto == all[i].proto)
				count_line(out, all[i].name, s->labels,
					   *(const uint64_t *)((const char *)s + all[i].at));
		}
	}
}

void hr_metrics_istio(const struct hr_meters *m, struct hr_strbuf *out)
{
	struct hr_map *series = m->ledger ? hr_ledger_read(m->ledger, m) : NULL;

	if (!series)
		return;
	requests(series, out);
	histograms(series, out);
	counters(series, out);
	hr_ledger_free_series(series);
}
