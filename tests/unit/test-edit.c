/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The editor on a temporary file, and the question at a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/edit.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

static void edit_with(const char *editor, int want_result, const char *want_content)
{
	_cleanup_(freep) char *content = NULL;
	_cleanup_(ctl_done) struct ctl ctl = {};
	struct edit_file file = {};
	struct stat st;

	(void)setenv("VISUAL", editor, 1);
	assert_int_equal(edit_file_init(&ctl, &file, "old\n"), 0);
	assert_int_equal(stat(file.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(edit_file_run(&ctl, &file), want_result);
	assert_int_equal(read_file(AT_FDCWD, file.path, 100, &content, NULL), 0);
	assert_string_equal(content, want_content);
	edit_file_done(&file);
	assert_int_equal(access(file.path, F_OK), -1);
}

static void test_editor(void **state)
{
	(void)state;
	edit_with("true", 0, "old\n");
	edit_with("sed -i s/old/new/", 0, "new\n");
	edit_with("false", -EINVAL, "old\n");
	edit_with("/nonexistent/editor", -EINVAL, "old\n");
	edit_with("kill -9 $$ #", -EINVAL, "old\n");
}

/* The name of the file is an argument, not a part of a shell's line. */
static void test_odd_folder(void **state)
{
	char dir[] = "/tmp/edit $(exit 7) ' XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)setenv("TMPDIR", dir, 1);
	edit_with("sed -i s/old/new/", 0, "new\n");
	(void)unsetenv("TMPDIR");
	assert_int_equal(rmdir(dir), 0);
}

static void test_which_editor(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {};
	struct edit_file file = {};

	(void)state;
	assert_int_equal(edit_file_init(&ctl, &file, ""), 0);
	(void)setenv("VISUAL", "", 1);
	(void)setenv("EDITOR", "true", 1);
	assert_int_equal(edit_file_run(&ctl, &file), 0);
	(void)setenv("VISUAL", "false", 1);
	assert_int_equal(edit_file_run(&ctl, &file), -EINVAL);
	edit_file_done(&file);
}

static int ask_at_terminal(const char *keys, bool may_relax)
{
	struct ctl ctl = {};
	int master, slave, status;
	char out[2048];
	pid_t pid;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(write_full(master, keys, strlen(keys)), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct termios before, after;
		int answer;

		(void)alarm(20);
		(void)dup2(slave, 0);
		(void)dup2(slave, 1);
		(void)tcgetattr(0, &before);
		answer = (int)edit_ask(&ctl, "Failed.", may_relax);
		(void)tcgetattr(0, &after);
		_exit(before.c_lflag == after.c_lflag ? answer : 99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(read(master, out, sizeof(out)) > 0);
	(void)close(master);
	(void)close(slave);
	return WEXITSTATUS(status);
}

static void test_ask(void **state)
{
	(void)state;
	assert_int_equal(ask_at_terminal("y", true), EDIT_AGAIN);
	assert_int_equal(ask_at_terminal("Y", true), EDIT_AGAIN);
	assert_int_equal(ask_at_terminal("n", true), EDIT_GIVE_UP);
	assert_int_equal(ask_at_terminal("f", true), EDIT_FORCE);
	assert_int_equal(ask_at_terminal("i", true), EDIT_RELAX);
	assert_int_equal(ask_at_terminal("in", false), EDIT_GIVE_UP);
	assert_int_equal(ask_at_terminal("?xf", true), EDIT_FORCE);
}

static void test_ask_without_terminal(void **state)
{
	struct ctl ctl = {};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(dup2(null, 0), 0);
	assert_int_equal(edit_ask(&ctl, "Failed.", true), EDIT_GIVE_UP);
	(void)close(null);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_editor),
		cmocka_unit_test(test_odd_folder),
		cmocka_unit_test(test_which_editor),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_ask_without_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
