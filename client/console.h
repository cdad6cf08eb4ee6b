/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A console session: bytes between the user (terminal or pipes) and a stream to the guest.
 *
 * A terminal is put into raw mode for the time of the session and restored on every way out: the escape
 * character, the guest's end, an error, exit(), each signal that ends a process and can be caught
 * (SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGSEGV, SIGABRT, …: the handler restores, then the signal takes its
 * usual effect), and SIGTSTP (restored while stopped, raw again after SIGCONT).
 *
 * One session per process at a time; one thread.
 */
#pragma once

#include "client/pump.h"
#include "vmm-core/base/macro.h"

struct console_options {
	int in_fd, out_fd;
	unsigned char
		escape; /* leaves, when in_fd is a terminal; elsewhere a byte like any other */
	unsigned
		quiet_timeout_sec; /* after the end of in_fd, leave when so long nothing came; 0: stay until
				       the peer closes */
	/* The terminal has this size: told at the start and whenever it changes. NULL: nobody wants to know. */
	void (*resized)(void *opaque, unsigned cols, unsigned rows);
	void *opaque;
	struct pump *pump; /* of peer_fd */
};

enum console_end {
	CONSOLE_ESCAPE, /* the user left */
	CONSOLE_PEER,   /* the peer closed the stream */
	CONSOLE_SILENT, /* in_fd ended and nothing came for quiet_timeout_sec */
	CONSOLE_OUTPUT, /* nobody reads out_fd any more */
};

/* Copy until one of the ends. 'peer_fd' is a non-blocking or blocking stream that stays the caller's; it
 * becomes non-blocking. Returns 0 or -errno of the terminal or the stream. */
int console_run(int peer_fd, const struct console_options *options, enum console_end *ret_end);

/* "^]" or "x" as the byte that it names. Returns 0 or -EINVAL. */
int console_parse_escape(const char *text, unsigned char *ret_escape);
