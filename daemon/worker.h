/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One worker process, seen from the daemon: spawned or adopted, watched by its pidfd, spoken to by vmm-core/proto.h.
 * It knows no domain: what happens is told through worker_ops.
 *
 * The worker is hostile. Nothing here waits for it: sends do not block, every request has a deadline, and a message
 * that breaks the protocol (type, length, sequence, fds, text) makes the daemon kill it. Its texts are cleaned before
 * they are passed on.
 *
 * Until it is told START a worker belongs to the daemon that made it: the kernel kills it when that daemon ends, whatever it is doing
 * (PR_SET_PDEATHSIG, in the child before exec; what it does first about START is to take that back). So there is no
 * worker that the next daemon would have to find and cannot: a run is noted on disk before START is sent.
 *
 * Life: worker_spawn() or worker_adopt(), then callbacks from the event loop, at the end exactly one gone(). Only in
 * gone() or outside all callbacks may the worker be freed. Freeing neither kills nor stops the process: that is how
 * a daemon that ends leaves its workers running.
 */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/error.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/proto.h"

#define WORKER_MAX_PENDING 32  /* requests without an answer, late ones included */
#define WORKER_MAX_BATCH   16  /* packets read in one turn of the loop, of which one is no answer */
#define WORKER_RATE_BURST  200 /* wake-ups a second by one worker; more are put off */
#define WORKER_HELLO_USEC  (10 * UINT64_C(1000000))
#define WORKER_EXIT_USEC   (5 * UINT64_C(1000000)) /* from the end of the connection to the kill */

#define WORKER_PROBE_USEC  (10 * UINT64_C(1000000))
#define WORKER_ANSWER_USEC (10 * UINT64_C(1000000)) /* that a worker has for a sign of life */

struct worker;
struct jail_plan;
struct spawner;

struct worker_exit {
	bool violation; /* killed because it broke the protocol */
	bool killed;    /* by worker_kill() */
	bool by_other; /* SIGKILL that was not ours; or an adopted worker's end, of which no more is known */
	char text[512]; /* one line: "killed by signal 11 (Segmentation fault)" */
};

struct worker_ops {
	/* The first message of a connection, checked: the uuid is the one expected. */
	void (*hello)(void *opaque, const struct proto_state *state);
	void (*state)(void *opaque, const struct proto_state *state);
	void (*notice)(void *opaque, const struct proto_notice *notice);
	/* Its numbers are not checked beyond the kind. */
	void (*net_event)(void *opaque, const struct proto_net_event *event);
	/* False: it cannot be true, the worker is to be killed. NULL: it has no business to say such a thing. */
	bool (*team_state)(void *opaque, const struct net_team_state *state);
	bool (*team_report)(void *opaque, const struct net_team_report *report);
	/* Its numbers are possible, each id comes once. */
	bool (*links)(void *opaque, const struct proto_links *links);
	/* Of a vm: the vCPUs that are there. False: they cannot be. */
	bool (*vcpus)(void *opaque, const struct proto_vcpus *vcpus);
	bool (*memories)(void *opaque, const struct proto_memories *memories);
	/* Of a vm: what its processors are; the number of leaves is possible, nothing else is checked. */
	void (*cpuid)(void *opaque, const struct proto_cpuid *cpuid);
	/* It does not answer worker_probe() in time (true), or something came from it again (false). NULL: nobody asks. */
	void (*hung)(void *opaque, bool hung);
	/* No HELLO within WORKER_HELLO_USEC. A spawned worker is then killed; an adopted one lives on and may still
	 * say HELLO later. */
	void (*silent)(void *opaque);
	/* The process is dead; pending requests have been answered with -ECONNRESET. */
	void (*gone)(void *opaque, const struct worker_exit *exit);
};

/* The answer to a request: 0 or a negative errno, with a line of text ("" if there is none). -ETIMEDOUT: no answer
 * by the deadline. -ECONNRESET: the worker is gone. Called exactly once, never from within worker_request(). */
typedef void (*worker_reply_fn)(void *userdata, int error, const char *text);

struct worker_spec {
	const char *name;             /* shown by ps: argv[1] */
	const uint8_t *uuid;          /* 16 bytes */
	int exe_fd;                   /* the program, opened O_PATH or O_RDONLY */
	int listen_fd;                /* becomes PROTO_LISTEN_FD */
	int log_fd;                   /* becomes standard output and error; -EBADF: /dev/null */
	const struct jail_plan *jail; /* NULL: none (tests) */
	struct spawner *spawner;      /* spawner.h's; NULL: none */
};

/* The program at 'path', for worker_spec.exe_fd: the fd is the caller's. Or -errno. */
int worker_open_program(const char *path);
int worker_spawn(sd_event *event, const struct worker_spec *spec, const struct worker_ops *ops,
	void *opaque, struct worker **ret_worker, struct error *error);

/* Find the process again that an earlier daemon spawned: -ESRCH when pid and start time name no living process.
 * 'dir_fd' is the folder with its control socket. When the socket cannot be reached, the worker is returned all
 * the same (watched, not connected) and silent() is called later. */
int worker_adopt(sd_event *event, const uint8_t uuid[16], pid_t pid, uint64_t start_time,
	int dir_fd, const struct worker_ops *ops, void *opaque, struct worker **ret_worker);

struct worker *worker_free(struct worker *worker);
DEFINE_CLEANUP(struct worker *, worker_free);

/* Send a request. An adopted worker that has not said HELLO yet reads it after that. Returns 0 (then 'reply' will be called, unless the worker is freed before), or -ENOTCONN, -EAGAIN
 * (the worker does not read), -EBUSY (too many requests pending), -ENOMEM. fds stay the caller's. */
int worker_request(struct worker *worker, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds, uint64_t timeout_usec, worker_reply_fn reply,
	void *userdata);

/* Does it still answer? Asks, if it was not asked within WORKER_PROBE_USEC, and returns at once; hung() comes when there is no answer
 * within worker_answer_usec. True: it was asked now. Nothing is asked unless somebody wants to know: a worker that idles is not woken for it. */
bool worker_probe(struct worker *worker);
bool worker_is_hung(const struct worker *worker);
extern uint64_t worker_answer_usec; /* WORKER_ANSWER_USEC; tests have less time */

/* SIGKILL. gone() follows. */
void worker_kill(struct worker *worker);

pid_t worker_pid(const struct worker *worker);
int worker_pidfd(const struct worker *worker); /* borrowed */
sd_event *worker_event(const struct worker *worker);
uint64_t worker_start_time(const struct worker *worker);
bool worker_is_connected(const struct worker *worker); /* HELLO seen */

/* A listening control socket at dir_fd/control, mode 0600. Returns the fd or -errno. */
int worker_listen(int dir_fd);
