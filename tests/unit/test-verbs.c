/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl against a canned vmmd, byte by byte. Each .golden file of tests/data/vmctl is a scenario on a fresh vmmd:
 *
 *	$ list --all		run vmctl with these words ('quoted', NAME=value first: environment,
 *				"< file" last: standard input)
 *	| Id   Name …		a line of standard output (the '|' is not part of it)
 *	! error: …		a line of standard error
 *	= 1			the exit status
 *
 * What virsh 9.0 printed for the same command is the reference. VMCTL_GOLDEN_UPDATE=1 writes what vmctl does
 * now into the files, to be read before it is committed.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/vmctl.h"
#include "tests/fakes/fake-vmmd.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define MAX_WORDS 32

struct command {
	char text[512];
	char *words[MAX_WORDS];
	int n_words;
	int n_environment; /* the first words */
	const char *input; /* NULL: /dev/null */
};

static void parse_command(const char *line, struct command *c)
{
	char *p = c->text;

	*c = (struct command){};
	assert_int_equal(str_copy(c->text, sizeof(c->text), line), 0);
	while (*(p += strspn(p, " "))) {
		char end = ' ';

		if (*p == '\'') {
			end = '\'';
			p++;
		}
		assert_true(c->n_words < MAX_WORDS - 1);
		c->words[c->n_words++] = p;
		p = strchrnul(p, end);
		if (*p)
			*p++ = 0;
	}
	if (c->n_words >= 2 && streq(c->words[c->n_words - 2], "<")) {
		c->input = c->words[c->n_words - 1];
		c->n_words -= 2;
	}
	c->words[c->n_words] = NULL;
	while (c->n_environment < c->n_words && c->words[c->n_environment][0] >= 'A' &&
		c->words[c->n_environment][0] <= 'Z')
		c->n_environment++;
}

static char *memfd_text(int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	assert_non_null(text);
	assert_int_equal(pread_full(fd, text, (size_t)size, 0), 0);
	return text;
}

static void append_lines(FILE *out, const char *text, char mark)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		(void)fprintf(out, "%c%.*s%s\n", mark, (int)n, text, text[n] ? "" : "\\");
		text += n + (text[n] == '\n');
	}
}

static void child(const struct command *c, const char *address, int out, int err)
{
	char *argv[MAX_WORDS + 1] = {(char[]){"vmctl"}};
	int in = open(c->input ?: "/dev/null", O_RDONLY | O_CLOEXEC);
	int n = 1;

	if (in < 0)
		_exit(125);
	(void)dup2(in, 0);
	(void)dup2(out, 1);
	(void)dup2(err, 2);
	(void)setenv("VMMD_URI", address, 1);
	(void)setenv("LC_ALL", "C.UTF-8", 1);
	for (int i = 0; i < c->n_environment; i++)
		(void)putenv(c->words[i]);
	for (int i = c->n_environment; i < c->n_words; i++)
		argv[n++] = c->words[i];
	exit(vmctl_main(n, argv));
}

static void run_command(FILE *out, const char *line, const struct fake_vmmd *fake)
{
	_cleanup_(closep) int fd_out = memfd_create("out", MFD_CLOEXEC);
	_cleanup_(closep) int fd_err = memfd_create("err", MFD_CLOEXEC);
	_cleanup_(freep) char *text_out = NULL, *text_err = NULL;
	struct command c;
	int status;
	pid_t pid;

	parse_command(line, &c);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(&c, fake->address, fd_out, fd_err);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	text_out = memfd_text(fd_out);
	text_err = memfd_text(fd_err);
	(void)fprintf(out, "$ %s\n", line);
	append_lines(out, text_out, '|');
	append_lines(out, text_err, '!');
	(void)fprintf(out, "= %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* The address of the socket differs from run to run. */
static void hide_address(char *text, const char *address)
{
	for (char *p; (p = strstr(text, address));) {
		memcpy(p, "ADDRESS", 7);
		memmove(p + 7, p + strlen(address), strlen(p + strlen(address)) + 1);
	}
}

static char *play(const char *golden, const struct fake_vmmd *fake)
{
	_cleanup_(freep) char *copy = strdup(golden);
	char *text = NULL, *save = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '#')
			(void)fprintf(out, "%s\n", line);
		if (line[0] == '$')
			run_command(out, line + 2, fake);
	}
	(void)fclose(out);
	hide_address(text, fake->address);
	return text;
}

static void first_difference(const char *file, const char *want, const char *got)
{
	unsigned line = 1;
	const char *w = want, *g = got;

	for (; *w && *w == *g; w++, g++)
		line += *w == '\n';
	while (w > want && w[-1] != '\n')
		w--, g--;
	print_error("%s:%u:\n  want: %.*s\n  got:  %.*s\n", file, line, (int)strcspn(w, "\n"), w,
		(int)strcspn(g, "\n"), g);
}

static void check_golden(const char *file)
{
	_cleanup_(freep) char *want = NULL, *got = NULL;
	struct fake_vmmd fake;

	assert_int_equal(read_file(AT_FDCWD, file, 1 << 20, &want, NULL), 0);
	assert_int_equal(fake_vmmd_start(&fake), 0);
	got = play(want, &fake);
	fake_vmmd_stop(&fake);
	if (streq(want, got))
		return;
	if (getenv("VMCTL_GOLDEN_UPDATE")) {
		FILE *f = fopen(file, "we");

		assert_non_null(f);
		(void)fputs(got, f);
		(void)fclose(f);
		return;
	}
	first_difference(file, want, got);
	fail();
}

static void test_golden(void **state)
{
	check_golden(*state);
}

static void test_no_vmmd(void **state)
{
	struct fake_vmmd fake = {.address = "p2p:unix:path=/nonexistent"};
	_cleanup_(freep) char *text = NULL;

	(void)state;
	text = play("$ list\n$ list --json\n$ -c nosuch:///x list\n$ help nosuch\n", &fake);
	assert_string_equal(text,
		"$ list\n"
		"!error: failed to connect to the hypervisor\n"
		"!error: cannot connect to 'ADDRESS': No such file or directory\n"
		"= 1\n"
		"$ list --json\n"
		"|{\n"
		"|  \"error\": {\n"
		"|    \"code\": \"Connect\",\n"
		"|    \"message\": \"cannot connect to 'ADDRESS': No such file or directory\"\n"
		"|  }\n"
		"|}\n"
		"!error: failed to connect to the hypervisor\n"
		"!error: cannot connect to 'ADDRESS': No such file or directory\n"
		"= 1\n"
		"$ -c nosuch:///x list\n"
		"!error: failed to connect to the hypervisor\n"
		"!error: cannot connect to 'nosuch:///x': use 'system', 'session', unix:PATH, "
		"ssh://HOST, tls://HOST or the address of a bus\n"
		"= 1\n"
		"$ help nosuch\n"
		"|\n"
		"!error: command or command group 'nosuch' doesn't exist\n"
		"= 1\n");
}

/* A vmctl in the background, its standard output in a pipe. */
static pid_t start_background(const char *line, const struct fake_vmmd *fake, int *ret_out)
{
	struct command c;
	int out[2], err;
	pid_t pid;

	parse_command(line, &c);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		err = open("/dev/null", O_WRONLY | O_CLOEXEC);
		child(&c, fake->address, out[1], err);
	}
	(void)close(out[1]);
	*ret_out = out[0];
	return pid;
}

/* Have something happen to t1 and default until the child has seen it and is gone, or at most for 20 s. */
static void make_events(const struct fake_vmmd *fake, pid_t pid, int *ret_status)
{
	for (int i = 0; i < 200; i++) {
		_cleanup_(freep) char *text = NULL;

		text = play(
			"$ suspend t1\n$ resume t1\n$ net-destroy default\n$ net-start default\n",
			fake);
		if (waitpid(pid, ret_status, WNOHANG) == pid)
			return;
		(void)usleep(100 * 1000);
	}
	fail_msg("vmctl event saw nothing");
}

static void read_output(int fd, char *text, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = 0;
	(void)close(fd);
}

static void check_event(const char *line, const char *pattern)
{
	struct fake_vmmd fake;
	char text[4096];
	int fd, status;
	pid_t pid;

	assert_int_equal(fake_vmmd_start(&fake), 0);
	pid = start_background(line, &fake, &fd);
	make_events(&fake, pid, &status);
	read_output(fd, text, sizeof(text));
	fake_vmmd_stop(&fake);
	assert_int_equal(status, 0);
	if (fnmatch(pattern, text, 0) != 0)
		fail_msg("want: %s\ngot: %s", pattern, text);
}

#define TIMESTAMP                                                                                  \
	"[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] "                                              \
	"[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]+0000"

static void test_event(void **state)
{
	(void)state;
	check_event("event --event lifecycle",
		"event 'lifecycle' for domain 't1': [SR]*ed [PU]*aused\nevents received: 1\n\n");
	check_event("event t1 --all --timestamp",
		TIMESTAMP ": event 'lifecycle' for domain 't1': [SR]*ed [PU]*aused\n"
			  "events received: 1\n\n");
	check_event("event --all --json",
		"{ \"event\": \"lifecycle\", \"domain\": \"t1\", "
		"\"uuid\": \"65a927f1-f665-46ed-acd0-0fe2c9b3ef83\", \"detail\": \"*ed\", "
		"\"reason\": \"*aused\", \"sequence\": *, \"time\": \"" TIMESTAMP "\" }\n");
}

static void test_net_event(void **state)
{
	(void)state;
	check_event("net-event --event lifecycle",
		"event 'lifecycle' for network default: St*ed\nevents received: 1\n\n");
	check_event("net-event default --event lease --timestamp",
		TIMESTAMP ": event 'lease' for network default: Assigned ip=192.168.122.5 "
			  "mac=52:54:00:a6:b5:71\nevents received: 1\n\n");
	check_event("net-event --event lease --json",
		"{ \"event\": \"lease\", \"network\": \"default\", "
		"\"uuid\": \"10f9bd3f-6a61-4f40-a9c9-71f0c28b6b59\", \"detail\": \"Assigned\", "
		"\"fields\": { \"ip\": \"192.168.122.5\", \"mac\": \"52:54:00:a6:b5:71\" }, "
		"\"sequence\": *, \"time\": \"" TIMESTAMP "\" }\n");
}

/* Events that the filters leave out do not end it. */
static void test_event_filters(void **state)
{
	struct fake_vmmd fake;
	char text[4096];
	int fd[2], status;
	pid_t pid[2];

	(void)state;
	assert_int_equal(fake_vmmd_start(&fake), 0);
	pid[0] = start_background("event --domain t2 --all --timeout 2", &fake, &fd[0]);
	pid[1] = start_background("event --event reboot --timeout 2", &fake, &fd[1]);
	for (int i = 0; i < 10; i++) {
		free(play("$ suspend t1\n$ resume t1\n", &fake));
		(void)usleep(100 * 1000);
	}
	for (int i = 0; i < 2; i++) {
		read_output(fd[i], text, sizeof(text));
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(WEXITSTATUS(status), 1);
		assert_string_equal(text, "event loop timed out\nevents received: 0\n\n");
	}
	fake_vmmd_stop(&fake);
}

/* A vmmd that goes away ends who waits for it, at once and with an error. */
static void test_vmmd_goes_away(void **state)
{
	static const char *const lines[] = {
		"event --all --loop", "start mute", "shutdown stubborn --wait"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_(freep) char *text = NULL;
		struct fake_vmmd fake;
		int fd, status;
		char out[4096];
		pid_t pid;

		assert_int_equal(fake_vmmd_start(&fake), 0);
		text = play("$ define mute.xml\n$ create stubborn.xml\n", &fake);
		pid = start_background(lines[i], &fake, &fd);
		(void)usleep(500 * 1000);
		assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
		fake_vmmd_stop(&fake);
		(void)alarm(20);
		read_output(fd, out, sizeof(out));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		(void)alarm(0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 1);
	}
}

/* With a bus between: no vmmd there, a vmmd that goes away, events, a console. */
static void test_bus(void **state)
{
	_cleanup_(freep) char *text = NULL, *after = NULL;
	struct fake_vmmd fake;
	int fd, status, r;
	char out[4096];
	pid_t pid;

	(void)state;
	r = fake_vmmd_start_on_bus(&fake);
	if (r == -ENOENT) {
		print_message("SKIP: no dbus-daemon on this host\n");
		skip();
	}
	assert_int_equal(r, 0);
	text = play(
		"$ domid t1\n$ start die\n$ console t1 < quit.txt\n$ shutdown t1 --wait\n", &fake);
	assert_string_equal(text,
		"$ domid t1\n|4\n|\n= 0\n"
		"$ start die\n|\n!error: failed to get domain 'die'\n= 1\n"
		"$ console t1 < quit.txt\n|login: SAY QUIT\n!Connected to domain 't1'\n= 0\n"
		"$ shutdown t1 --wait\n|Domain 't1' is being shutdown\n|Domain 't1' is shut "
		"off\n|\n"
		"= 0\n");
	pid = start_background("event --all --loop", &fake, &fd);
	(void)usleep(500 * 1000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	fake_vmmd_kill(&fake);
	(void)alarm(20);
	read_output(fd, out, sizeof(out));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)alarm(0);
	assert_int_equal(WEXITSTATUS(status), 1);
	after = play("$ list\n", &fake);
	assert_string_equal(after,
		"$ list\n!error: failed to connect to the hypervisor\n"
		"!error: no vmmd on the bus at 'ADDRESS'; is vmmd running?\n= 1\n");
	fake_vmmd_stop(&fake);
}

int main(void)
{
	struct CMUnitTest tests[64] = {
		cmocka_unit_test(test_no_vmmd),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_net_event),
		cmocka_unit_test(test_event_filters),
		cmocka_unit_test(test_vmmd_goes_away),
		cmocka_unit_test(test_bus),
	};
	size_t n = 5;
	glob_t files;
	int r;

	if (chdir(TESTS_DATA_DIR "/vmctl") < 0 || glob("*.golden", 0, NULL, &files) != 0)
		return 1;
	for (size_t i = 0; i < files.gl_pathc && n < ARRAY_SIZE(tests); i++)
		tests[n++] = (struct CMUnitTest){.name = files.gl_pathv[i],
			.test_func = test_golden,
			.initial_state = files.gl_pathv[i]};
	r = _cmocka_run_group_tests("verbs", tests, n, NULL, NULL);
	globfree(&files);
	return r;
}
