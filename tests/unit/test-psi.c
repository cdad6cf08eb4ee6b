/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of pressure, and how it is asked to say so; the fake is a file. */
#include "daemon/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

#define SOME "some avg10=12.34 avg60=0.05 avg300=100.00 total=123456789012345\n"

static void test_parse(void **state)
{
	struct psi psi;

	(void)state;
	assert_int_equal(
		psi_parse(SOME "full avg10=0.07 avg60=0.00 avg300=0.00 total=42\n", &psi), 0);
	assert_int_equal(psi.lines[PSI_SOME].avg10, 1234);
	assert_int_equal(psi.lines[PSI_SOME].total_us, 123456789012345);
	assert_true(psi.lines[PSI_FULL].known);
	assert_int_equal(psi.lines[PSI_FULL].avg10, 7);
	assert_int_equal(psi.lines[PSI_FULL].total_us, 42);
	/* Of CPUs older kernels have no second line. */
	assert_int_equal(psi_parse(SOME, &psi), 0);
	assert_false(psi.lines[PSI_FULL].known);
	assert_int_equal(psi_parse("some avg10=100.00 avg60=0.00 avg300=0.00 total=0\n", &psi), 0);
	assert_int_equal(psi.lines[PSI_SOME].avg10, 10000);
}

static void test_nonsense(void **state)
{
	static const char *const texts[] = {"", "some", "some avg10=1.00",
		"full avg10=0.07 avg60=0.00 avg300=0.00 total=42\n",
		"awesome avg10=1.00 avg60=0.00 avg300=0.00 total=1\n",
		"some avg10=101.00 avg60=0.00 avg300=0.00 total=1\n",
		"some avg10=-1.00 avg60=0.00 avg300=0.00 total=1\n",
		"some avg10=1.00 avg60=0.00 avg300=0.00 total=\n"};
	struct psi psi;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (psi_parse(texts[i], &psi) != -EBADMSG)
			fail_msg("'%s' is taken for pressure", texts[i]);
}

static void test_files(void **state)
{
	char path[] = "/tmp/test-psi-XXXXXX", text[64] = "";
	int fd = mkstemp(path), trigger;
	struct psi psi;

	(void)state;
	assert_int_equal(psi_read("/nonexistent", &psi), -ENOENT);
	assert_int_equal(psi_open_trigger("/nonexistent", 100000), -ENOENT);
	trigger = psi_open_trigger(path, 100000);
	assert_true(trigger >= 0);
	assert_true(pread(fd, text, sizeof(text), 0) > 0);
	assert_string_equal(text, "some 100000 2000000");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, SOME, strlen(SOME), 0), strlen(SOME));
	assert_int_equal(psi_read(path, &psi), 0);
	assert_int_equal(psi.lines[PSI_SOME].avg10, 1234);
	close(trigger);
	close(fd);
	unlink(path);
}

static void test_why_not(void **state)
{
	(void)state;
	assert_non_null(strstr(psi_why_not(-ENOENT), "CONFIG_PSI"));
	assert_non_null(strstr(psi_why_not(-EOPNOTSUPP), "psi=1"));
	assert_non_null(strstr(psi_why_not(-EPERM), "root"));
	assert_string_equal(psi_why_not(-EMFILE), strerror(EMFILE));
}

/* Where this kernel has it. */
static void test_kernel(void **state)
{
	struct psi psi;
	int r = psi_read(PSI_HOST_MEMORY, &psi), fd;

	(void)state;
	if (r < 0) {
		print_message("%s\n", psi_why_not(r));
		skip();
	}
	assert_true(psi.lines[PSI_FULL].known);
	fd = psi_open_trigger(PSI_HOST_MEMORY, 100000);
	if (fd < 0) {
		print_message("%s\n", psi_why_not(fd));
		skip();
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_why_not),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
