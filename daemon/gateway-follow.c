/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a gateway's programs have followed a change (gateway-update.c), or what of them has not. Nobody tells:
 *
 *	dnsmasq, started again		it writes dnsmasq.pid when it has opened everything
 *	dnsmasq, told to read		it opens its files and closes them, which the folder tells; what is asked after that it answers by them
 *	the rules of forwards		the changer ends
 *	pasta				it listens before it takes system calls away from itself: it has more filters than the daemon, whose own
 *					(SystemCallFilter= of the service) it was born with (Seccomp_filters in /proc/PID/status)
 *
 * So as long as somebody waits, all of that is looked at each GATEWAY_TICK_USEC, and nothing is when nobody does.
 *
 * Tested by tests/unit/test-gateway-nat.c and tests/unit/test-gateway-host.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "daemon/gateway-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define GATEWAY_TICK_USEC UINT64_C(20000)

struct gateway_wait {
	struct list link;
	uint64_t until_usec;
	void (*done)(void *userdata, const struct error *error);
	void *userdata;
};

static const char *const files[] = {"hosts", "dhcp-hosts"};

/* All of those that wait, or ('now' not 0) those that have waited for long enough. */
static void answer(struct gateway *g, const struct error *error, uint64_t now_usec)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &g->waits) {
		struct gateway_wait *w = list_entry(pos, struct gateway_wait, link);

		if (now_usec && now_usec < w->until_usec)
			continue;
		list_del(&w->link);
		w->done(w->userdata, error);
		free(w);
	}
}

/* -1: not known. */
static int count_filters(const char *path)
{
	static const char key[] = "\nSeccomp_filters:\t";
	_cleanup_(freep) char *text = NULL;
	const char *at;

	if (read_file(AT_FDCWD, path, KIB(64), &text, NULL) < 0)
		return -1;
	at = strstr(text, key);
	return at ? atoi(at + strlen(key)) : -1;
}

static bool has_sealed_itself(pid_t pid)
{
	int own = count_filters("/proc/self/status");
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return own >= 0 && count_filters(path) > own;
}

static bool dnsmasq_follows(const struct gateway *g)
{
	const struct gateway_process *p = &g->processes[GATEWAY_DNSMASQ];

	if (!p->wanted)
		return !p->pid;
	return p->pid && !p->restarting && !g->unread &&
		faccessat(g->dir_fd, "dnsmasq.pid", F_OK, 0) == 0;
}

static bool pasta_follows(const struct gateway_process *p)
{
	return p->wanted ? p->pid && !p->restarting && has_sealed_itself(p->pid) : !p->pid;
}

/* What is waited for, or NULL. */
static const char *missing(const struct gateway *g)
{
	const struct gateway_process *dnsmasq = &g->processes[GATEWAY_DNSMASQ];
	const struct gateway_process *pasta = &g->processes[GATEWAY_PASTA];

	if (g->processes[GATEWAY_CHANGER].pid && g->changed & 1U << GATEWAY_CHANGER)
		return "the rules of its port forwards are not set";
	if (g->changed & 1U << GATEWAY_DNSMASQ && !dnsmasq_follows(g))
		return dnsmasq->wanted ? "dnsmasq does not serve by it" : "dnsmasq does not end";
	if (g->changed & 1U << GATEWAY_PASTA && !pasta_follows(pasta))
		return pasta->wanted ? "pasta does not listen" : "pasta does not end";
	return NULL;
}

static uint64_t now_usec(const struct gateway *g)
{
	uint64_t now = 0;

	(void)sd_event_now(g->event, CLOCK_MONOTONIC, &now);
	return now;
}

static void look(struct gateway *g)
{
	const char *what = missing(g);
	struct error error;

	if (!what) {
		answer(g, NULL, 0);
		return;
	}
	(void)error_set(&error, ERROR_TIMEOUT,
		"network '%s' is changed, but %s after %u s; see the log gateway:%s.log",
		g->config->name, what, (unsigned)(GATEWAY_SETUP_USEC / 1000000), g->config->name);
	answer(g, &error, now_usec(g));
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct gateway *g = userdata;

	(void)usec;
	look(g);
	if (list_empty(&g->waits))
		return 0;
	(void)sd_event_source_set_time_relative(source, GATEWAY_TICK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int start_ticking(struct gateway *g)
{
	if (!g->tick)
		return sd_event_add_time_relative(
			g->event, &g->tick, CLOCK_MONOTONIC, GATEWAY_TICK_USEC, 0, on_tick, g);
	(void)sd_event_source_set_time_relative(g->tick, GATEWAY_TICK_USEC);
	return sd_event_source_set_enabled(g->tick, SD_EVENT_ONESHOT);
}

static int on_read(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct gateway *g = userdata;

	(void)source;
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
		if (event->len && streq(event->name, files[i]))
			g->unread &= ~(1U << i);
	return 0;
}

void gateway_expect_reading(struct gateway *g)
{
	if (!g->read_watch &&
		sd_event_add_inotify(g->event, &g->read_watch, g->dir_path,
			IN_CLOSE_NOWRITE | IN_ONLYDIR, on_read, g) < 0)
		return;
	g->unread = (g->config->dns ? 1U << 0 : 0) |
		(gateway_has_dhcp(g->config, 4) || gateway_has_family(g->config, 6) ? 1U << 1 : 0);
}

void gateway_follow_failed(struct gateway *g, enum gateway_process_kind kind, const char *how)
{
	const char *what = kind == GATEWAY_CHANGER ? "the rules of its port forwards"
						   : gateway_process_name(kind);
	struct error error;

	if (list_empty(&g->waits) || !(g->changed & 1U << kind))
		return;
	(void)error_set(&error, ERROR_OPERATION_FAILED,
		"network '%s' is changed, but %s %s; see the log gateway:%s.log", g->config->name,
		what, how, g->config->name);
	answer(g, &error, 0);
}

void gateway_follow_end(struct gateway *g)
{
	struct error error;

	g->read_watch = sd_event_source_disable_unref(g->read_watch);
	g->tick = sd_event_source_disable_unref(g->tick);
	(void)error_set(&error, ERROR_OPERATION_FAILED,
		"network '%s' is changed, and ended before its programs had followed",
		g->config ? g->config->name : "");
	answer(g, &error, 0);
}

int gateway_follow(struct gateway *g, void (*done)(void *userdata, const struct error *error),
	void *userdata, struct error *error)
{
	struct gateway_wait *w = calloc(1, sizeof(*w));

	if (!w || start_ticking(g) < 0) {
		free(w);
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	}
	*w = (struct gateway_wait){
		.until_usec = now_usec(g) + GATEWAY_SETUP_USEC, .done = done, .userdata = userdata};
	list_add_tail(&g->waits, &w->link);
	return 0;
}
