/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl top's arithmetic: rates between two samples, domains that come, go and start anew, the order, and how it is printed. */
#include "client/top.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "client/ctl.h"

#define SAMPLE(name, uuid, stats)                                                                  \
	"{\"name\":\"" name "\",\"uuid\":\"" uuid "\",\"stats\":{" stats "}}"
#define STATE(n) "\"state.state\":" #n ","

static const char before_text[] = "[" SAMPLE("a", "1",
	STATE(1) "\"cpu.time\":1000000000,\"block.0.rd.bytes\":1000,\"block.1.wr.bytes\":10,"
		 "\"net.0.rx.bytes\":5000") "," SAMPLE("b", "2",
	STATE(1) "\"cpu.time\":5000000000,"
		 "\"net.0.tx.bytes\":900") "," SAMPLE("gone", "3", STATE(1) "\"cpu.time\":1") "]";
static const char now_text[] =
	"[" SAMPLE("off", "5", STATE(5) "\"balloon.maximum\":1") "," SAMPLE("a", "1",
		STATE(1) "\"cpu.time\":2000000000,\"vcpu.current\":2,\"balloon.current\":2048,"
			 "\"balloon.rss\":1024,\"block.0.rd.bytes\":3000,\"block.1.wr.bytes\":4106,"
			 "\"net.0.rx.bytes\":5000,\"net.1.rx.bytes\":1000000") ","
	/* Started anew: its counters are lower, or by chance higher, but its time is lower. */
	SAMPLE("b", "2",
		STATE(3) "\"cpu.time\":10,\"net.0.tx.bytes\":1000000,\"balloon.rss\":4096") "," SAMPLE("new",
		"4", STATE(1) "\"cpu.time\":70000000000,\"balloon.rss\":1") "]";

static struct json_object *before, *now;
static struct top_row *rows;
static size_t n_rows;

static int setup(void **state)
{
	(void)state;
	before = json_tokener_parse(before_text);
	now = json_tokener_parse(now_text);
	assert_non_null(before);
	assert_non_null(now);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_putp(&before);
	json_putp(&now);
	free(rows);
	rows = NULL;
	return 0;
}

static const char *order(enum top_key key)
{
	static char text[64];

	free(rows);
	assert_int_equal(top_rows(before, now, 2 * NSEC_PER_SEC, key, &rows, &n_rows), 0);
	*text = 0;
	for (size_t i = 0; i < n_rows; i++)
		strcat(strcat(text, i ? " " : ""), rows[i].name);
	return text;
}

static void test_rates(void **state)
{
	(void)state;
	assert_string_equal(order(TOP_CPU), "a b new");
	assert_true(rows[0].cpu_percent == 50);
	assert_true(rows[0].read_rate == 1000 && rows[0].write_rate == 2048);
	assert_true(rows[0].receive_rate == 500000 && rows[0].transmit_rate == 0);
	assert_int_equal(rows[0].vcpus, 2);
	assert_true(rows[1].cpu_percent == 0 && rows[1].transmit_rate == 0);
	assert_true(rows[2].cpu_percent == 0);
}

static void test_order(void **state)
{
	(void)state;
	assert_string_equal(order(TOP_MEMORY), "b a new");
	assert_string_equal(order(TOP_DISK), "a b new");
	assert_string_equal(order(TOP_NET), "a b new");
	assert_string_equal(order(TOP_NAME), "a b new");
	json_putp(&before);
	assert_string_equal(order(TOP_CPU), "a b new");
	assert_true(rows[0].cpu_percent == 0);
}

static void test_keys(void **state)
{
	enum top_key key;

	(void)state;
	for (unsigned i = 0; i < TOP_KEY_X_MAX; i++) {
		assert_int_equal(top_key_from_name(top_key_name(i), &key), 0);
		assert_int_equal(key, i);
	}
	assert_null(top_key_name(TOP_KEY_X_MAX));
	assert_int_equal(top_key_from_name("CPU", &key), -EINVAL);
}

static void test_print(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct json_object *o;

	(void)state;
	(void)order(TOP_CPU);
	assert_int_equal(top_print(rows, 1, out, true), 0);
	fclose(out);
	assert_string_equal(text,
		" Name   State   vCPUs   %CPU   Memory    Resident   Read/s   Write/s   Receive/s  "
		" "
		"Transmit/s\n"
		"----------------------------------------------------------------------------------"
		"-------------\n"
		" a      run     2       50.0   2.0 MiB   1.0 MiB    1000 B   2.0 KiB   488.3 KiB  "
		" 0 B"
		"\n");
	free(text);
	o = top_to_json(rows, 1);
	assert_string_equal(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
		"[{\"domain\":\"a\",\"uuid\":\"1\",\"state\":1,\"vcpus\":2,\"cpu_percent\":50.0,"
		"\"memory_kib\":2048,\"rss_kib\":1024,\"read_bytes_per_second\":1000.0,"
		"\"write_bytes_per_second\":2048.0,\"receive_bytes_per_second\":500000.0,"
		"\"transmit_bytes_per_second\":0.0}]");
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test(test_keys),
		cmocka_unit_test_setup_teardown(test_print, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
