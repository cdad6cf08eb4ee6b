/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines: see log.h. */
#include "vmm-core/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The one place of the project with file-scope state: a log belongs to the process. */
static struct {
	const char *ident;
	int max_level;
	bool with_priority;
} log_conf = {.ident = "vmmd", .max_level = LOG_INFO};

static struct {
	pthread_mutex_t lock;
	uint64_t window_start_ns;
	unsigned used, dropped;
} guest_limit = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_init(const char *ident, int max_level, bool with_priority)
{
	log_conf.ident = ident;
	log_conf.max_level = max_level;
	log_conf.with_priority = with_priority;
}

int log_max_level(void)
{
	return log_conf.max_level;
}

static void log_v(int level, int error, const char *format, va_list ap)
{
	char line[2048];
	int saved = errno;
	size_t used = 0;
	int n;

	if (log_conf.with_priority)
		n = snprintf(line, sizeof(line), "<%d>", level);
	else
		n = snprintf(line, sizeof(line), "%s: ", log_conf.ident);
	if (n > 0)
		used = MIN((size_t)n, sizeof(line) - 2);
	errno = error < 0 ? -error : error;
	n = vsnprintf(line + used, sizeof(line) - used - 1, format, ap);
	if (n > 0)
		used = MIN(used + (size_t)n, sizeof(line) - 2);
	for (size_t i = 0; i < used; i++)
		if ((unsigned char)line[i] < ' ' && line[i] != '\t')
			line[i] = '?';
	line[used++] = '\n';
	(void)!write(STDERR_FILENO, line, used);
	errno = saved;
}

int log_internal(int level, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_v(level, error, format, ap);
	va_end(ap);
	return error < 0 ? error : -error;
}

void log_guest(const char *format, ...)
{
	struct timespec ts;
	unsigned dropped = 0;
	uint64_t now_ns;
	bool allowed;
	va_list ap;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	now_ns = (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	(void)pthread_mutex_lock(&guest_limit.lock);
	if (now_ns - guest_limit.window_start_ns >= LOG_GUEST_INTERVAL_NS) {
		guest_limit.window_start_ns = now_ns;
		guest_limit.used = 0;
		dropped = guest_limit.dropped;
		guest_limit.dropped = 0;
	}
	allowed = guest_limit.used < LOG_GUEST_BURST;
	if (allowed)
		guest_limit.used++;
	else
		guest_limit.dropped++;
	(void)pthread_mutex_unlock(&guest_limit.lock);

	if (dropped)
		log_warning("%u lines about the guest left out", dropped);
	if (!allowed)
		return;
	va_start(ap, format);
	log_v(LOG_WARNING, 0, format, ap);
	va_end(ap);
}
