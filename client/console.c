/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The console session: two small buffers and poll(2), and the terminal's way there and back (see
 * console.h). The terminal and pipes are not made non-blocking, since that would change them for the shell
 * too: they are read and written only when poll says so, at most PIPE_BUF bytes at a time.
 */
#include "client/console.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

/* A signal handler has no other way to know these: the one exception to "no mutable globals". Written only
 * while the signals are blocked. */
static struct {
	volatile sig_atomic_t active;
	volatile sig_atomic_t resized; /* or may be: to be looked at */
	int fd;
	struct termios cooked, raw;
} terminal;

static const int fatal_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS,
	SIGFPE, SIGILL, SIGSYS, SIGTRAP, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ, SIGPIPE,
	SIGVTALRM, SIGPROF, SIGIO, SIGPWR};

static void set_terminal(const struct termios *t)
{
	/* All signals are blocked or SIGTTOU is: a background process may do this too. */
	while (tcsetattr(terminal.fd, TCSADRAIN, t) < 0 && errno == EINTR)
		;
}

/* TCSADRAIN could wait for a terminal that is stopped or gone; a dying process does not. */
static void set_terminal_now(const struct termios *t)
{
	(void)tcsetattr(terminal.fd, TCSANOW, t);
}

static void raise_default(int sig)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t set;

	(void)sigaction(sig, &dfl, NULL);
	(void)raise(sig); /* pending: it is blocked in its handler */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void on_fatal_signal(int sig)
{
	if (terminal.active)
		set_terminal_now(&terminal.cooked);
	raise_default(sig);
}

static void on_stop_signal(int sig);

static void catch_stop(void)
{
	struct sigaction sa = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};

	(void)sigfillset(&sa.sa_mask);
	(void)sigaction(SIGTSTP, &sa, NULL);
}

static void on_stop_signal(int sig)
{
	int saved = errno;

	if (terminal.active)
		set_terminal_now(&terminal.cooked);
	raise_default(sig); /* stopped here, until SIGCONT */
	catch_stop();
	errno = saved;
}

/* Also after a SIGSTOP, which nobody can catch. In the background the terminal is another's; the read that
 * is tried then stops us until we are in the foreground, which comes with another SIGCONT. */
static void on_continue(int sig)
{
	int saved = errno;

	(void)sig;
	if (terminal.active && tcgetpgrp(terminal.fd) == getpgrp())
		set_terminal_now(&terminal.raw);
	/* Who is stopped hears of no change. */
	terminal.resized = true;
	errno = saved;
}

static void on_resize(int sig)
{
	(void)sig;
	terminal.resized = true;
}

struct saved_signals {
	struct sigaction fatal[ARRAY_SIZE(fatal_signals)];
	struct sigaction stop, cont, winch;
	sigset_t mask;    /* as it was */
	sigset_t waiting; /* with SIGWINCH, which only comes while we wait */
};

static void block_all(sigset_t *old)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, old);
}

static void catch_signals(struct saved_signals *saved)
{
	struct sigaction sa = {.sa_handler = on_fatal_signal};
	struct sigaction cont = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
	struct sigaction winch = {.sa_handler = on_resize, .sa_flags = SA_RESTART};

	(void)sigfillset(&sa.sa_mask);
	(void)sigfillset(&cont.sa_mask);
	(void)sigfillset(&winch.sa_mask);
	(void)sigaction(SIGCONT, &cont, &saved->cont);
	(void)sigaction(SIGWINCH, &winch, &saved->winch);
	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++) {
		(void)sigaction(fatal_signals[i], NULL, &saved->fatal[i]);
		/* What our parent had us ignore (nohup) stays ignored. */
		if (saved->fatal[i].sa_handler != SIG_IGN)
			(void)sigaction(fatal_signals[i], &sa, NULL);
	}
	(void)sigaction(SIGTSTP, NULL, &saved->stop);
	if (saved->stop.sa_handler != SIG_IGN)
		catch_stop();
}

static void restore_signals(const struct saved_signals *saved)
{
	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		(void)sigaction(fatal_signals[i], &saved->fatal[i], NULL);
	(void)sigaction(SIGTSTP, &saved->stop, NULL);
	(void)sigaction(SIGCONT, &saved->cont, NULL);
	(void)sigaction(SIGWINCH, &saved->winch, NULL);
}

static void restore_at_exit(void)
{
	if (terminal.active)
		set_terminal_now(&terminal.cooked);
}

static int terminal_enter(int fd, struct saved_signals *saved)
{
	sigset_t running;
	int r = 0;

	assert(!terminal.active);
	if (atexit(restore_at_exit) != 0)
		return -ENOMEM;
	block_all(&saved->mask);
	running = saved->waiting = saved->mask;
	terminal.fd = fd;
	if (tcgetattr(fd, &terminal.cooked) < 0) {
		r = -errno;
	} else {
		terminal.raw = terminal.cooked;
		cfmakeraw(&terminal.raw);
		terminal.raw.c_cc[VMIN] = 1;
		terminal.raw.c_cc[VTIME] = 0;
		catch_signals(saved);
		(void)sigaddset(&running, SIGWINCH);
		(void)sigdelset(&saved->waiting, SIGWINCH);
		terminal.active = terminal.resized = true;
		set_terminal(&terminal.raw);
	}
	(void)pthread_sigmask(SIG_SETMASK, &running, NULL);
	return r;
}

static void terminal_leave(const struct saved_signals *saved)
{
	sigset_t running;

	block_all(&running);
	set_terminal(&terminal.cooked);
	terminal.active = false;
	restore_signals(saved);
	(void)pthread_sigmask(SIG_SETMASK, &saved->mask, NULL);
}

struct buffer {
	char data[PIPE_BUF];
	size_t start, end;
};

struct session {
	const struct console_options *options;
	int peer_fd;
	const sigset_t *waiting; /* the signals' mask while we wait; NULL: as it is */
	bool is_terminal, in_ended, peer_ended, left;
	bool out_closed;
	unsigned short cols, rows; /* as told last */
	struct buffer to_peer, to_user;
};

static bool buffer_empty(const struct buffer *b)
{
	return b->start == b->end;
}

/* Read into an empty buffer. Returns the number of bytes, 0 at the end, -EAGAIN, or -errno. */
static ssize_t fill(struct buffer *b, int fd)
{
	ssize_t n = read(fd, b->data, sizeof(b->data));

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	b->start = 0;
	b->end = (size_t)n;
	return n;
}

static int drain(struct buffer *b, int fd)
{
	ssize_t n = write(fd, b->data + b->start, b->end - b->start);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	b->start += (size_t)n;
	return 0;
}

static int read_user(struct session *s)
{
	ssize_t n = fill(&s->to_peer, s->options->in_fd);
	char *escape;

	if (n == -EAGAIN)
		return 0;
	if (n == -EIO) /* the terminal hung up */
		n = 0;
	if (n < 0)
		return (int)n;
	if (n == 0) {
		s->in_ended = true;
		s->left |= s->is_terminal;
		return 0;
	}
	if (!s->is_terminal)
		return 0;
	escape = memchr(s->to_peer.data, s->options->escape, (size_t)n);
	if (escape) {
		s->to_peer.end = (size_t)(escape - s->to_peer.data);
		s->left = true;
	}
	return 0;
}

static int read_peer(struct session *s)
{
	ssize_t n = fill(&s->to_user, s->peer_fd);

	if (n == -EAGAIN)
		return 0;
	if (n == -ECONNRESET || n == 0) {
		s->peer_ended = true;
		return 0;
	}
	return n < 0 ? (int)n : 0;
}

static int write_user(struct session *s)
{
	int r = drain(&s->to_user, s->options->out_fd);

	if (r == -EPIPE) {
		s->out_closed = true;
		return 0;
	}
	return r;
}

static int write_peer(struct session *s)
{
	int r = drain(&s->to_peer, s->peer_fd);

	if (r == -EPIPE || r == -ECONNRESET) {
		/* What it said before it went is still to be read. */
		s->to_peer.start = s->to_peer.end = 0;
		s->in_ended = true;
		return 0;
	}
	return r;
}

enum { FD_IN, FD_OUT, FD_PEER, FD_PUMP, FD_N = FD_PUMP + PUMP_FDS };

static void fill_pollfds(const struct session *s, struct pollfd fds[FD_N])
{
	fds[FD_IN] = (struct pollfd){.fd = s->options->in_fd, .events = POLLIN};
	fds[FD_OUT] = (struct pollfd){.fd = s->options->out_fd, .events = POLLOUT};
	fds[FD_PEER] = (struct pollfd){.fd = s->peer_fd};
	if (s->in_ended || s->left || !buffer_empty(&s->to_peer))
		fds[FD_IN].fd = -1;
	if (buffer_empty(&s->to_user))
		fds[FD_OUT].fd = -1;
	if (!buffer_empty(&s->to_peer))
		fds[FD_PEER].events |= POLLOUT;
	if (!s->peer_ended && buffer_empty(&s->to_user))
		fds[FD_PEER].events |= POLLIN;
	if (!fds[FD_PEER].events)
		fds[FD_PEER].fd = -1;
}

static int turn(struct session *s, struct pollfd fds[FD_N])
{
	int r = 0;

	if (fds[FD_OUT].revents)
		r = write_user(s);
	if (r >= 0 && fds[FD_IN].revents)
		r = read_user(s);
	if (r >= 0 && (fds[FD_PEER].revents & (POLLOUT | POLLERR)) && !buffer_empty(&s->to_peer))
		r = write_peer(s);
	if (r >= 0 && (fds[FD_PEER].revents & (POLLIN | POLLHUP | POLLERR)) &&
		buffer_empty(&s->to_user) && !s->peer_ended)
		r = read_peer(s);
	return r;
}

/* Whether the session is over, and how. The user's last bytes are sent if the peer takes them at once. */
static bool is_over(const struct session *s, enum console_end *ret_end)
{
	if (s->left) {
		*ret_end = CONSOLE_ESCAPE;
		return true;
	}
	if (s->out_closed) {
		*ret_end = CONSOLE_OUTPUT;
		return true;
	}
	if (s->peer_ended && buffer_empty(&s->to_user)) {
		*ret_end = CONSOLE_PEER;
		return true;
	}
	return false;
}

static void tell_size(struct session *s)
{
	struct winsize size;

	if (!s->is_terminal || !terminal.resized)
		return;
	terminal.resized = false;
	if (!s->options->resized || ioctl(s->options->in_fd, TIOCGWINSZ, &size) < 0)
		return;
	/* A terminal that does not know its size says 0. */
	if (!size.ws_col || !size.ws_row || (size.ws_col == s->cols && size.ws_row == s->rows))
		return;
	s->cols = size.ws_col;
	s->rows = size.ws_row;
	s->options->resized(s->options->opaque, s->cols, s->rows);
}

static int copy(struct session *s, enum console_end *ret_end)
{
	const struct timespec quiet = {.tv_sec = s->options->quiet_timeout_sec};

	while (!is_over(s, ret_end)) {
		bool ending = s->in_ended && !s->is_terminal && buffer_empty(&s->to_peer);
		struct pollfd fds[FD_N];
		int r;

		tell_size(s);
		fill_pollfds(s, fds);
		pump_run(s->options->pump, fds + FD_PUMP);
		r = ppoll(fds, FD_N, ending && quiet.tv_sec > 0 ? &quiet : NULL, s->waiting);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0) {
			*ret_end = CONSOLE_SILENT;
			return 0;
		}
		if (r > 0) {
			r = turn(s, fds);
			if (r < 0)
				return r;
		}
	}
	if (!buffer_empty(&s->to_peer))
		(void)write_peer(s);
	return 0;
}

int console_run(int peer_fd, const struct console_options *options, enum console_end *ret_end)
{
	struct session s = {
		.options = options, .peer_fd = peer_fd, .is_terminal = isatty(options->in_fd)};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old_pipe;
	struct saved_signals saved;
	int r;

	r = fd_set_nonblock(peer_fd, true);
	if (r < 0)
		return r;
	/* A reader or a guest that goes away is an end, not a death. */
	(void)sigaction(SIGPIPE, &ignore, &old_pipe);
	r = s.is_terminal ? terminal_enter(options->in_fd, &saved) : 0;
	if (r >= 0) {
		s.waiting = s.is_terminal ? &saved.waiting : NULL;
		r = copy(&s, ret_end);
		if (s.is_terminal)
			terminal_leave(&saved);
	}
	(void)sigaction(SIGPIPE, &old_pipe, NULL);
	return r;
}

int console_parse_escape(const char *text, unsigned char *ret_escape)
{
	if (text[0] == '^' && text[1] >= '@' && text[1] <= '_' && !text[2])
		*ret_escape = (unsigned char)text[1] & 0x1f;
	else if (text[0] == '^' && text[1] >= 'a' && text[1] <= 'z' && !text[2])
		*ret_escape = (unsigned char)text[1] & 0x1f;
	else if (text[0] && !text[1])
		*ret_escape = (unsigned char)text[0];
	else
		return -EINVAL;
	return 0;
}
