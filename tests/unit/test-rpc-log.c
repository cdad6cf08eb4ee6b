/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log of events: what passes a filter, what is gone, and where a reader goes on. */
#include "daemon/rpc-log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/domain.h"
#include "daemon/network.h"
#include "vmm-core/base/strutil.h"

static struct domain domains[2];
static struct network network;

static int setup(void **state)
{
	struct rpc_log *log;

	snprintf(domains[0].name, sizeof(domains[0].name), "a");
	snprintf(domains[1].name, sizeof(domains[1].name), "b");
	snprintf(network.name, sizeof(network.name), "a");
	domains[1].uuid[0] = 1;
	network.uuid[0] = 2;
	assert_int_equal(rpc_log_new(&log), 0);
	*state = log;
	return 0;
}

static int teardown(void **state)
{
	(void)rpc_log_free(*state);
	return 0;
}

static void add(struct rpc_log *log, uint64_t n, enum event_kind kind, const struct domain *d)
{
	const struct event_field fields[] = {{"mac", "52:54:00:00:00:01"}, {"ip", ""}};
	const struct event e = {.kind = kind,
		.domain = d,
		.network = d ? NULL : &network,
		.detail = "Started",
		.reason = d ? "Booted" : NULL,
		.fields = fields,
		.n_fields = d ? 0 : 2,
		.sequence = n};

	assert_int_equal(rpc_log_add(log, &e), 0);
}

/* The numbers that a reader gets, up to the end: "1 2 -5 6" with a minus before the end of a gap. */
static const char *numbers(
	struct rpc_log *log, uint64_t after, const struct rpc_filter *filter, uint64_t *ret_next)
{
	static char text[65536];
	const struct rpc_logged *e;
	uint64_t next;
	int r;

	*text = 0;
	while ((r = rpc_log_next(log, after, filter, &e, &next)) != 0) {
		after = r > 0 ? e->sequence : next;
		sprintf(text + strlen(text), "%s%s%lu", *text ? " " : "", r < 0 ? "-" : "",
			(unsigned long)after);
	}
	*ret_next = next;
	return text;
}

static void test_filters(void **state)
{
	struct rpc_filter all = {0}, of_a = {.domain = "a"}, of_net = {.network = "a"},
			  both = {.domain = "b", .network = "a"},
			  kind = {.kinds = 1U << EVENT_LEASE},
			  by_uuid = {.domain = "01000000-0000-0000-0000-000000000000"};
	struct rpc_log *log = *state;
	const struct rpc_logged *e;
	uint64_t next;

	add(log, 1, EVENT_LIFECYCLE, &domains[0]);
	add(log, 2, EVENT_LIFECYCLE, &domains[1]);
	add(log, 3, EVENT_NETWORK, NULL);
	add(log, 4, EVENT_LEASE, NULL);
	add(log, 5, EVENT_REBOOT, &domains[0]);
	assert_string_equal(numbers(log, 0, &all, &next), "1 2 3 4 5");
	assert_int_equal(next, 5);
	assert_string_equal(numbers(log, 3, &all, &next), "4 5");
	assert_string_equal(numbers(log, 0, &of_a, &next), "1 5");
	assert_string_equal(numbers(log, 0, &of_net, &next), "3 4");
	assert_string_equal(numbers(log, 0, &both, &next), "2 3 4");
	assert_string_equal(numbers(log, 0, &by_uuid, &next), "2");
	assert_string_equal(numbers(log, 0, &kind, &next), "4");
	/* What did not pass is behind the reader all the same. */
	assert_int_equal(next, 5);
	assert_string_equal(numbers(log, 5, &all, &next), "");

	assert_int_equal(rpc_log_next(log, 3, &all, &e, &next), 1);
	assert_string_equal(e->text,
		"\"sequence\":4,\"event\":\"lease\",\"network\":{\"name\":\"a\",\"uuid\":"
		"\"02000000-0000-0000-0000-000000000000\"},\"detail\":\"Started\",\"mac\":"
		"\"52:54:00:00:00:01\"}");
	assert_int_equal(rpc_log_next(log, 0, &all, &e, &next), 1);
	assert_string_equal(e->text,
		"\"sequence\":1,\"event\":\"lifecycle\",\"domain\":{\"name\":\"a\",\"uuid\":"
		"\"00000000-0000-0000-0000-000000000000\"},\"detail\":\"Started\",\"reason\":"
		"\"Booted\"}");
}

/* What was before the log, and what it has forgotten, is one gap. */
static void test_gaps(void **state)
{
	struct rpc_filter all = {0};
	struct rpc_log *log = *state;
	uint64_t next;
	char expected[64];

	log->last = 10;
	log->first = 11;
	assert_string_equal(numbers(log, 10, &all, &next), "");
	assert_string_equal(numbers(log, 3, &all, &next), "-10");
	add(log, 11, EVENT_LIFECYCLE, &domains[0]);
	assert_string_equal(numbers(log, 0, &all, &next), "-10 11");
	for (uint64_t n = 12; n <= 11 + RPC_LOG_EVENTS; n++)
		add(log, n, EVENT_LIFECYCLE, &domains[0]);
	/* 11 is gone now, and 12 is not. */
	assert_int_equal(strncmp(numbers(log, 0, &all, &next), "-11 12 13 ", 10), 0);
	assert_int_equal(strncmp(numbers(log, 11, &all, &next), "12 13 ", 6), 0);
	snprintf(expected, sizeof(expected), "%d", 11 + RPC_LOG_EVENTS);
	assert_string_equal(numbers(log, 10 + RPC_LOG_EVENTS, &all, &next), expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gaps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
