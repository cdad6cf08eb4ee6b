/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Console sessions: what passes, how they end, and that the terminal is as before, whatever ends them. Each
 * terminal test runs in a session of its own: a process that plays the shell owns the terminal, the console
 * runs in its foreground job. Its checks end it with the number of the line that failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/console.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			_exit_with_line(__LINE__, #x);                                             \
	} while (0)

#define ESCAPE 0x1d

static void _exit_with_line(int line, const char *what)
{
	(void)fprintf(stderr, "test-console.c:%d: %s (errno %s)\n", line, what, strerror(errno));
	_exit(1);
}

struct shell {
	int master, slave, peer;
	pid_t job;
	struct termios before;
};

static bool same_terminal(int fd, const struct termios *want)
{
	struct termios t;

	CHECK(tcgetattr(fd, &t) == 0);
	return t.c_iflag == want->c_iflag && t.c_oflag == want->c_oflag &&
		t.c_cflag == want->c_cflag && t.c_lflag == want->c_lflag &&
		memcmp(t.c_cc, want->c_cc, sizeof(t.c_cc)) == 0;
}

static bool is_raw(int fd)
{
	struct termios t;

	CHECK(tcgetattr(fd, &t) == 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

/* Sizes go where the test reads: to the peer. */
static void on_resized(void *opaque, unsigned cols, unsigned rows)
{
	CHECK(dprintf(*(const int *)opaque, "[%ux%u]", cols, rows) > 0);
}

static _noreturn_ void run_job(struct shell *s, int peer)
{
	struct console_options options = {.in_fd = s->slave,
		.out_fd = s->slave,
		.escape = ESCAPE,
		.resized = on_resized,
		.opaque = &peer};
	enum console_end end = CONSOLE_SILENT;
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	(void)signal(SIGTTOU, SIG_IGN);
	CHECK(tcsetpgrp(s->slave, getpgrp()) == 0);
	(void)signal(SIGTTOU, SIG_DFL);
	r = console_run(peer, &options, &end);
	exit(r < 0 ? 100 : 10 + (int)end);
}

/* Become a shell: session, terminal, and a console as the foreground job, known to be running. */
static void start(struct shell *s)
{
	static const int expected[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT, SIGPIPE};
	int pair[2];
	char c;

	/* Whoever runs the tests may ignore some (nohup does): a console would, rightly, go on ignoring them. */
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		(void)signal(expected[i], SIG_DFL);
	CHECK(openpty(&s->master, &s->slave, NULL, NULL, NULL) == 0);
	CHECK(setsid() > 0);
	CHECK(ioctl(s->slave, TIOCSCTTY, 0) == 0);
	CHECK(tcgetattr(s->slave, &s->before) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	s->peer = pair[0];
	(void)alarm(30);
	s->job = fork();
	CHECK(s->job >= 0);
	if (s->job == 0) {
		(void)close(pair[0]);
		(void)close(s->master);
		run_job(s, pair[1]);
	}
	(void)close(pair[1]);
	/* Its first byte comes through when it is in raw mode: before, the line has no end. */
	CHECK(write(s->master, "!", 1) == 1);
	CHECK(read(s->peer, &c, 1) == 1 && c == '!');
	CHECK(is_raw(s->slave));
}

static int wait_job(const struct shell *s)
{
	int status;

	CHECK(waitpid(s->job, &status, WUNTRACED) == s->job);
	return status;
}

/* Run 'body' in a process of its own; it passes by returning. */
static void in_shell(void (*body)(struct shell *s, int arg), int arg)
{
	struct shell s = {};
	int status;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		start(&s);
		body(&s, arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void body_signal(struct shell *s, int sig)
{
	int status;

	CHECK(kill(s->job, sig) == 0);
	status = wait_job(s);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	CHECK(same_terminal(s->slave, &s->before));
}

static void test_signals_restore(void **state)
{
	static const int signals[] = {
		SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGSEGV, SIGABRT, SIGBUS, SIGUSR1, SIGALRM};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		in_shell(body_signal, signals[i]);
}

static void expect_at_peer(const struct shell *s, const char *want)
{
	char text[64] = {};

	for (size_t n = 0; n < strlen(want);) {
		ssize_t got = read(s->peer, text + n, strlen(want) - n);

		CHECK(got > 0);
		n += (size_t)got;
	}
	CHECK(strcmp(text, want) == 0);
}

static void set_size(const struct shell *s, unsigned short cols, unsigned short rows)
{
	const struct winsize size = {.ws_col = cols, .ws_row = rows};

	CHECK(ioctl(s->master, TIOCSWINSZ, &size) == 0);
}

/* start()'s terminal has no size, so nothing was said at first. */
static void body_size(struct shell *s, int arg)
{
	int status;

	(void)arg;
	set_size(s, 132, 43);
	expect_at_peer(s, "[132x43]");
	set_size(s, 0, 0);
	set_size(s, 80, 25);
	expect_at_peer(s, "[80x25]");
	/* A change while stopped is told afterwards. */
	CHECK(kill(s->job, SIGSTOP) == 0);
	status = wait_job(s);
	CHECK(WIFSTOPPED(status));
	set_size(s, 100, 30);
	CHECK(kill(s->job, SIGCONT) == 0);
	expect_at_peer(s, "[100x30]");
	/* Bytes go on as before. */
	CHECK(write(s->master, "x\x1d", 2) == 2);
	status = wait_job(s);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 10 + CONSOLE_ESCAPE);
	expect_at_peer(s, "x");
	CHECK(same_terminal(s->slave, &s->before));
}

static void test_size(void **state)
{
	(void)state;
	in_shell(body_size, 0);
}

static void body_peer_closes(struct shell *s, int arg)
{
	char text[64] = {};
	ssize_t got;
	int status;

	(void)arg;
	CHECK(write_full(s->peer, "bye", 3) == 0);
	(void)close(s->peer);
	status = wait_job(s);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 10 + CONSOLE_PEER);
	/* In what pieces it likes, perhaps behind the echo of start()'s byte. */
	for (size_t n = 0; !strstr(text, "bye"); n += (size_t)got) {
		got = read(s->master, text + n, sizeof(text) - n - 1);
		CHECK(got > 0);
	}
	CHECK(same_terminal(s->slave, &s->before));
}

static void test_peer_closes(void **state)
{
	(void)state;
	in_shell(body_peer_closes, 0);
}

static void body_escape(struct shell *s, int arg)
{
	char text[64];
	int status;

	(void)arg;
	/* ^C and ^Z are the guest's; what stands before the escape reaches it, what follows does not. */
	CHECK(write(s->master,
		      "ab\x03\x1a\x1d"
		      "cd",
		      7) == 7);
	status = wait_job(s);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 10 + CONSOLE_ESCAPE);
	CHECK(read(s->peer, text, sizeof(text)) == 4 && memcmp(text, "ab\x03\x1a", 4) == 0);
	CHECK(same_terminal(s->slave, &s->before));
}

static void test_escape(void **state)
{
	(void)state;
	in_shell(body_escape, 0);
}

static void body_stop(struct shell *s, int sig)
{
	int status;
	char c;

	CHECK(kill(s->job, sig) == 0);
	status = wait_job(s);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == sig);
	if (sig == SIGTSTP)
		CHECK(same_terminal(s->slave, &s->before));
	/* The shell puts its own settings back, and the job into the foreground again. */
	(void)signal(SIGTTOU, SIG_IGN);
	CHECK(tcsetpgrp(s->slave, getpgrp()) == 0);
	CHECK(tcsetattr(s->slave, TCSANOW, &s->before) == 0);
	CHECK(tcsetpgrp(s->slave, s->job) == 0);
	CHECK(kill(s->job, SIGCONT) == 0);
	for (int i = 0; i < 500 && !is_raw(s->slave); i++)
		(void)poll(NULL, 0, 10);
	CHECK(is_raw(s->slave));
	CHECK(write(s->master, "x", 1) == 1);
	CHECK(read(s->peer, &c, 1) == 1 && c == 'x');
	body_signal(s, SIGTERM);
}

static void test_stop_and_continue(void **state)
{
	(void)state;
	in_shell(body_stop, SIGTSTP);
	in_shell(body_stop, SIGSTOP);
}

static void body_hang_up(struct shell *s, int arg)
{
	int status;

	(void)arg;
	/* The last master goes away: SIGHUP goes to the session's leader, EIO to the reader. */
	(void)signal(SIGHUP, SIG_IGN);
	(void)close(s->master);
	status = wait_job(s);
	CHECK(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) < 100));
}

static void test_hang_up(void **state)
{
	(void)state;
	in_shell(body_hang_up, 0);
}

/* Without a terminal: a child runs the session between pipes, a socket is the guest. */
struct piped {
	int in, out, peer;
	pid_t pid;
};

static void start_piped(struct piped *p, unsigned timeout_sec)
{
	int in[2], out[2], pair[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	(void)fflush(NULL);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		struct console_options options = {.in_fd = in[0],
			.out_fd = out[1],
			.escape = ESCAPE,
			.quiet_timeout_sec = timeout_sec};
		enum console_end end = CONSOLE_ESCAPE;

		(void)alarm(60);
		(void)close(in[1]);
		(void)close(out[0]);
		(void)close(pair[0]);
		_exit(console_run(pair[1], &options, &end) < 0 ? 100 : 10 + (int)end);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	(void)close(pair[1]);
	*p = (struct piped){in[1], out[0], pair[0], p->pid};
}

static int end_piped(const struct piped *p)
{
	int status;

	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) - 10;
}

static void test_pipes_carry_every_byte(void **state)
{
	struct piped p;
	char all[256], back[256];

	(void)state;
	start_piped(&p, 0);
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i; /* the escape is a byte like any other here */
	assert_int_equal(write_full(p.in, all, sizeof(all)), 0);
	assert_int_equal(recv(p.peer, back, sizeof(back), MSG_WAITALL), sizeof(back));
	assert_memory_equal(all, back, sizeof(all));
	(void)close(p.in); /* the session goes on until the guest ends */
	assert_int_equal(write_full(p.peer, all, sizeof(all)), 0);
	(void)close(p.peer);
	assert_int_equal(read(p.out, back, sizeof(back)), sizeof(back));
	assert_memory_equal(all, back, sizeof(all));
	assert_int_equal(end_piped(&p), CONSOLE_PEER);
	(void)close(p.out);
}

/* More than every buffer on the way holds, both ways at once. */
static void test_bulk(void **state)
{
	enum { TOTAL = 1 << 20 };
	_cleanup_(freep) char *data = malloc(TOTAL);
	size_t sent_in = 0, sent_peer = 0, got_out = 0, got_peer = 0;
	struct piped p;

	(void)state;
	start_piped(&p, 0);
	for (size_t i = 0; i < TOTAL; i++)
		data[i] = (char)(i * 31 >> 3);
	assert_int_equal(fd_set_nonblock(p.in, true), 0);
	assert_int_equal(fd_set_nonblock(p.peer, true), 0);
	assert_int_equal(fd_set_nonblock(p.out, true), 0);
	while (got_out < TOTAL || got_peer < TOTAL) {
		struct pollfd fds[3] = {{.fd = sent_in < TOTAL ? p.in : -1, .events = POLLOUT},
			{.fd = p.peer,
				.events = (short)(POLLIN | (sent_peer < TOTAL ? POLLOUT : 0))},
			{.fd = p.out, .events = POLLIN}};
		char buf[5000];
		ssize_t n;

		assert_true(poll(fds, 3, 30000) > 0);
		n = write(p.in, data + sent_in, MIN((size_t)TOTAL - sent_in, (size_t)7000));
		sent_in += n > 0 ? (size_t)n : 0;
		n = write(p.peer, data + sent_peer, MIN((size_t)TOTAL - sent_peer, (size_t)9000));
		sent_peer += n > 0 ? (size_t)n : 0;
		n = read(p.peer, buf, sizeof(buf));
		if (n > 0) {
			assert_memory_equal(buf, data + got_peer, (size_t)n);
			got_peer += (size_t)n;
		}
		n = read(p.out, buf, sizeof(buf));
		if (n > 0) {
			assert_memory_equal(buf, data + got_out, (size_t)n);
			got_out += (size_t)n;
		}
	}
	(void)close(p.in);
	(void)close(p.peer);
	assert_int_equal(end_piped(&p), CONSOLE_PEER);
	(void)close(p.out);
}

static void test_silence_after_the_input(void **state)
{
	struct piped p;
	char text[8];

	(void)state;
	start_piped(&p, 1);
	assert_int_equal(write_full(p.peer, "slow", 4), 0);
	assert_int_equal(read(p.out, text, sizeof(text)), 4);
	(void)close(p.in);
	assert_int_equal(end_piped(&p), CONSOLE_SILENT);
	(void)close(p.peer);
	(void)close(p.out);
}

static void test_reader_goes_away(void **state)
{
	struct piped p;

	(void)state;
	start_piped(&p, 0);
	(void)close(p.out);
	assert_int_equal(write_full(p.peer, "x", 1), 0);
	assert_int_equal(end_piped(&p), CONSOLE_OUTPUT);
	(void)close(p.in);
	(void)close(p.peer);
}

static void test_parse_escape(void **state)
{
	unsigned char c = 0;

	(void)state;
	assert_int_equal(console_parse_escape("^]", &c), 0);
	assert_int_equal(c, 0x1d);
	assert_int_equal(console_parse_escape("^a", &c), 0);
	assert_int_equal(c, 1);
	assert_int_equal(console_parse_escape("^A", &c), 0);
	assert_int_equal(c, 1);
	assert_int_equal(console_parse_escape("~", &c), 0);
	assert_int_equal(c, '~');
	assert_int_equal(console_parse_escape("^", &c), 0);
	assert_int_equal(c, '^');
	assert_int_equal(console_parse_escape("", &c), -EINVAL);
	assert_int_equal(console_parse_escape("abc", &c), -EINVAL);
	assert_int_equal(console_parse_escape("^1", &c), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals_restore),
		cmocka_unit_test(test_peer_closes),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_stop_and_continue),
		cmocka_unit_test(test_hang_up),
		cmocka_unit_test(test_pipes_carry_every_byte),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_silence_after_the_input),
		cmocka_unit_test(test_reader_goes_away),
		cmocka_unit_test(test_parse_escape),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
