/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl where it knows that a person looks: in a terminal (a pseudo-terminal here), against a canned vmmd. What top and the progress
 * bar draw, what top's keys do, and that the terminal is as it was afterwards, however they end.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>
#include <cmocka.h>

#include "client/vmctl.h"
#include "tests/fakes/fake-vmmd.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define PATIENCE_MS 60000
#define MAX_READS   200 /* a picture that is drawn again and again is not waited for in vain */

#define ROWS    12
#define COLUMNS 70

struct terminal {
	struct fake_vmmd fake;
	int master,
		slave; /* the slave is kept open: what the terminal is like can be asked when vmctl is gone */
	struct termios before;
	pid_t pid;
	char seen[64 * 1024]; /* what came since forget() */
	size_t len;
};

static int setup(void **state)
{
	static struct terminal t;
	struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};

	t = (struct terminal){.master = -EBADF, .slave = -EBADF};
	assert_int_equal(fake_vmmd_start(&t.fake), 0);
	assert_int_equal(openpty(&t.master, &t.slave, NULL, NULL, &size), 0);
	assert_int_equal(tcgetattr(t.slave, &t.before), 0);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct terminal *t = *state;

	if (t->pid > 0) {
		(void)kill(t->pid, SIGKILL);
		(void)waitpid(t->pid, NULL, 0);
	}
	(void)safe_close(t->master);
	(void)safe_close(t->slave);
	fake_vmmd_stop(&t->fake);
	return 0;
}

static _noreturn_ void child(struct terminal *t, char *const words[])
{
	char *argv[8] = {(char[]){"vmctl"}};
	int argc = 1;

	(void)safe_close(t->master);
	if (login_tty(t->slave) < 0)
		_exit(125);
	(void)setenv("VMMD_URI", t->fake.address, 1);
	(void)setenv("LC_ALL", "C.UTF-8", 1);
	while (*words)
		argv[argc++] = *words++;
	exit(vmctl_main(argc, argv));
}

#define RUN_VMCTL(t, ...) run_vmctl(t, (char *const[]){__VA_ARGS__, NULL})
static void run_vmctl(struct terminal *t, char *const words[])
{
	t->len = 0;
	*t->seen = 0;
	(void)fflush(NULL);
	t->pid = fork();
	assert_true(t->pid >= 0);
	if (t->pid == 0)
		child(t, words);
}

static void forget(struct terminal *t)
{
	t->len = 0;
	*t->seen = 0;
}

static void press(const struct terminal *t, char key)
{
	assert_int_equal(write(t->master, &key, 1), 1);
}

/* Read until 'text' has come. */
static void see(struct terminal *t, const char *text)
{
	struct pollfd p = {.fd = t->master, .events = POLLIN};

	for (unsigned i = 0; !strstr(t->seen, text); i++) {
		ssize_t n;

		if (i == MAX_READS)
			fail_msg("no '%s' in '%s'", text, t->seen);
		assert_true(t->len < sizeof(t->seen) - 1);
		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("no '%s' in '%s'", text, t->seen);
		n = read(t->master, t->seen + t->len, sizeof(t->seen) - 1 - t->len);
		assert_true(n > 0);
		t->len += (size_t)n;
		t->seen[t->len] = 0;
	}
}

static void expect_end(struct terminal *t, int status)
{
	struct termios now;
	int got;

	assert_int_equal(waitpid(t->pid, &got, 0), t->pid);
	t->pid = 0;
	assert_int_equal(got, status);
	assert_int_equal(tcgetattr(t->slave, &now), 0);
	assert_int_equal(now.c_lflag, t->before.c_lflag);
	assert_int_equal(now.c_iflag, t->before.c_iflag);
}

/* Lines of one picture: none is wider than the terminal, and they are fewer than it has. */
static void expect_fits(const char *picture, unsigned rows, unsigned columns)
{
	unsigned n = 0;

	while (*picture) {
		size_t len = strcspn(picture, "\r\n");

		assert_true(len <= columns);
		picture += len;
		n += *picture == '\n';
		picture += *picture != 0;
	}
	assert_true(n < rows);
}

/* The picture is drawn at once and anew at each key that asks for another order; 'q' ends it. */
static void test_top(void **state)
{
	struct terminal *t = *state;
	struct termios now;
	const char *picture;

	RUN_VMCTL(t, "top", "--delay", "1");
	see(t, "by cpu\r\n");
	see(t, "a: name");
	picture = strstr(t->seen, "\033[H\033[J");
	assert_non_null(picture);
	assert_non_null(strstr(picture, " active domain"));
	assert_non_null(strstr(picture, "t1"));
	expect_fits(picture + strlen("\033[H\033[J"), ROWS, COLUMNS);
	assert_int_equal(tcgetattr(t->slave, &now), 0);
	assert_false(now.c_lflag & (ICANON | ECHO));
	forget(t);
	press(t, 'm');
	see(t, "by memory\r\n");
	press(t, 'x'); /* means nothing */
	press(t, 'a');
	see(t, "by name\r\n");
	press(t, 'q');
	expect_end(t, 0);
}

/* The next sample comes by itself. ^C ends it as well. */
static void test_top_goes_on(void **state)
{
	struct terminal *t = *state;

	RUN_VMCTL(t, "top", "--delay", "1", "--sort", "disk");
	see(t, "by disk\r\n");
	see(t, "a: name");
	forget(t);
	see(t, "by disk\r\n");
	press(t, 3);
	expect_end(t, 0);
}

/* A start that takes long has a bar, which is drawn again and again; ^C is for the one who waits, not for the domain. */
static void test_bar(void **state)
{
	struct terminal *t = *state;

	RUN_VMCTL(t, "define", TESTS_DATA_DIR "/vmctl/mute.xml");
	see(t, "defined");
	expect_end(t, 0);
	RUN_VMCTL(t, "start", "mute");
	see(t, "\r\033[Kmute: start (machine) [");
	see(t, "]  25 %, 358 MiB/s, 5 s left");
	forget(t);
	see(t, "\r\033[Kmute: start (machine) [");
	press(t, 3);
	expect_end(t, SIGINT);
	RUN_VMCTL(t, "domstate", "mute");
	see(t, "shut off");
	expect_end(t, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_top, setup, teardown),
		cmocka_unit_test_setup_teardown(test_top_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
