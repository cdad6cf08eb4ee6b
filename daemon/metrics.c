/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Metrics as text: see metrics.h. */
#include "daemon/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "daemon/metrics-internal.h"
#include "vmm-core/base/cleanup.h"

const char *metric_type_name(enum metric_type type, enum metrics_format format)
{
	static const char *const names[METRIC_TYPE_X_MAX] = {
		[METRIC_GAUGE] = "gauge",
		[METRIC_COUNTER] = "counter",
		[METRIC_INFO] = "info",
	};

	/* The older format has no infos. */
	return names[type == METRIC_INFO && format == METRICS_TEXT ? METRIC_GAUGE : type];
}

const char *metric_type_suffix(enum metric_type type)
{
	static const char *const suffixes[METRIC_TYPE_X_MAX] = {
		[METRIC_GAUGE] = "",
		[METRIC_COUNTER] = "_total",
		[METRIC_INFO] = "_info",
	};

	return suffixes[type];
}

/* The three characters that both formats escape in a label's value. */
static void write_value(FILE *out, const char *s)
{
	for (; *s; s++)
		if (*s == '\n')
			(void)fputs("\\n", out);
		else
			(void)fprintf(out, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
}

static void write_labels(const struct metric_subject *s, const struct metric *m)
{
	FILE *out = s->walk->out;

	for (unsigned i = 0; m->scope->labels[i]; i++) {
		(void)fprintf(out, "%s%s=\"", i ? "," : "{", m->scope->labels[i]);
		write_value(out, s->values[i]);
		(void)fputc('"', out);
	}
	if (m->scope->labels[0])
		(void)fputc('}', out);
}

/* A fraction without its last zeroes: floating point would lose nanoseconds of old machines. */
static void write_fraction(FILE *out, uint64_t n, uint64_t per_unit, unsigned digits)
{
	uint64_t rest = n % per_unit;

	while (rest && rest % 10 == 0) {
		rest /= 10;
		digits--;
	}
	(void)fprintf(out, "%" PRIu64, n / per_unit);
	if (rest)
		(void)fprintf(out, ".%0*" PRIu64, (int)digits, rest);
}

void metrics_emit(const struct metric_subject *s, const struct metric *m)
{
	FILE *out = s->walk->out;
	uint64_t n;

	if (!m->get(s, m, &n))
		return;
	(void)fprintf(out, "%s%s", m->name, metric_type_suffix(m->type));
	write_labels(s, m);
	(void)fputc(' ', out);
	switch (m->form) {
	case METRIC_NUMBER:
		(void)fprintf(out, "%" PRIu64, n);
		break;
	case METRIC_NS:
		write_fraction(out, n, NSEC_PER_SEC, 9);
		break;
	case METRIC_USEC:
		write_fraction(out, n, 1000000, 6);
		break;
	case METRIC_KIB:
		(void)fprintf(out, "%" PRIu64, n * 1024);
		break;
	}
	(void)fputc('\n', out);
}

/* OpenMetrics names the family, the older format the samples. */
static void write_head(const struct metrics_walk *walk, const struct metric *m)
{
	const char *suffix = walk->format == METRICS_TEXT ? metric_type_suffix(m->type) : "";

	(void)fprintf(walk->out, "# TYPE %s%s %s\n", m->name, suffix,
		metric_type_name(m->type, walk->format));
	if (m->unit && walk->format == METRICS_OPENMETRICS)
		(void)fprintf(walk->out, "# UNIT %s %s\n", m->name, m->unit);
	(void)fprintf(walk->out, "# HELP %s%s %s\n", m->name, suffix, m->help);
}

int metrics_format(const struct metrics_source *source, enum metrics_format format, char **ret_text,
	size_t *ret_len)
{
	struct metrics_walk walk = {.source = source, .format = format};
	char *text = NULL;
	size_t len = 0;
	bool failed;
	int r;

	walk.out = open_memstream(&text, &len);
	if (!walk.out)
		return -ENOMEM;
	r = metrics_look(&walk);
	for (size_t i = 0; r == 0 && i < n_metrics; i++) {
		write_head(&walk, &metrics[i]);
		metrics[i].scope->each(&walk, &metrics[i]);
	}
	if (format == METRICS_OPENMETRICS)
		(void)fputs("# EOF\n", walk.out);
	metrics_forget(&walk);
	failed = ferror(walk.out);
	if (fclose(walk.out) != 0 || failed)
		r = -ENOMEM;
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}
