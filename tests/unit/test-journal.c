/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records for the journal: their fields, what a hostile value can do, and what happens without a journal. */
#include "journal-fixture.h"

#include <fcntl.h>

#include "vmm-core/base/macro.h"

static struct journald journald;

static int setup(void **state)
{
	(void)state;
	journald_open(&journald, "/tmp");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	journald_close(&journald);
	return 0;
}

static void test_fields(void **state)
{
	const struct journal_field fields[] = {{"VMMD_A", "1"}, {"VMMD_B", ""}, {"VMMD_C", NULL}};

	(void)state;
	journal_write(JOURNAL_AUDIT, fields, ARRAY_SIZE(fields), "text %d", 7);
	assert_true(journald_take(&journald));
	assert_string_equal(journald_field(&journald, "MESSAGE"), "text 7");
	assert_string_equal(
		journald_field(&journald, "MESSAGE_ID"), journal_message_id(JOURNAL_AUDIT));
	assert_string_equal(journald_field(&journald, "PRIORITY"), "5");
	assert_string_equal(journald_field(&journald, "SYSLOG_IDENTIFIER"), "vmmd");
	assert_string_equal(journald_field(&journald, "VMMD_A"), "1");
	assert_null(journald_field(&journald, "VMMD_B"));
	assert_null(journald_field(&journald, "VMMD_C"));
}

/* No value becomes another field or another record. */
static void test_hostile_values(void **state)
{
	const struct journal_field fields[] = {{"VMMD_A", "x\nVMMD_RESULT=done\x01\xff"}};
	static char longest[JOURNAL_MAX_RECORD + 10];
	struct journal_field two[] = {{"VMMD_A", longest}, {"VMMD_B", "b"}};

	(void)state;
	journal_write(JOURNAL_AUDIT, fields, 1, "a\nPRIORITY=0");
	assert_true(journald_take(&journald));
	assert_string_equal(journald_field(&journald, "MESSAGE"), "a?PRIORITY=0");
	assert_string_equal(journald_field(&journald, "PRIORITY"), "5");
	assert_string_equal(journald_field(&journald, "VMMD_A"), "x?VMMD_RESULT=done??");
	assert_null(journald_field(&journald, "VMMD_RESULT"));
	/* What does not fit is left out whole, and the rest is there. */
	memset(longest, 'x', sizeof(longest) - 1);
	journal_write(JOURNAL_AUDIT, two, 2, "m");
	assert_true(journald_take(&journald));
	assert_null(journald_field(&journald, "VMMD_A"));
	assert_string_equal(journald_field(&journald, "VMMD_B"), "b");
}

static void test_ids(void **state)
{
	(void)state;
	for (enum journal_kind a = 0; a < JOURNAL_KIND_X_MAX; a++) {
		assert_int_equal(strspn(journal_message_id(a), "0123456789abcdef"), 32);
		assert_int_equal(strlen(journal_message_id(a)), 32);
		for (enum journal_kind b = 0; b < a; b++)
			assert_string_not_equal(journal_message_id(a), journal_message_id(b));
	}
}

/* What is on standard error while 'count' records of this kind are written. */
static const char *on_stderr(enum journal_kind kind, unsigned count)
{
	static char text[65536];
	int saved = dup(STDERR_FILENO), fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	for (unsigned i = 0; i < count; i++)
		journal_write(kind, NULL, 0, "line %u", i);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	text[n > 0 ? n : 0] = 0;
	return text;
}

/* Lines instead: without a journal, with one that is gone, and with one that does not read, which must not hold us up. */
static void test_no_journal(void **state)
{
	unsigned n = 0;

	(void)state;
	assert_string_equal(on_stderr(JOURNAL_AUDIT, 1), "");
	while (journald_take(&journald))
		;
	assert_non_null(strstr(on_stderr(JOURNAL_AUDIT, 2000), "vmmd: line 1999\n"));
	while (journald_take(&journald))
		n++;
	assert_in_range(n, 1, 1999);
	close(journald.fd);
	assert_string_equal(on_stderr(JOURNAL_AUDIT, 1), "vmmd: line 0\n");
	journal_open(NULL);
	assert_string_equal(on_stderr(JOURNAL_AUDIT, 1), "vmmd: line 0\n");
	journald.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void test_levels(void **state)
{
	(void)state;
	log_init("vmmd", LOG_ERR, false);
	journal_write(JOURNAL_DOMAIN_STARTED, NULL, 0, "not wanted");
	assert_false(journald_take(&journald));
	journal_write(JOURNAL_DEFINITION_LEFT_OUT, NULL, 0, "wanted");
	assert_true(journald_take(&journald));
	journal_write(JOURNAL_AUDIT, NULL, 0, "always");
	assert_true(journald_take(&journald));
	log_init("vmmd", LOG_INFO, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
