/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * capture and net-capture: frames of an interface, a network or an uplink, to a file or to standard output.
 *
 * Tested by tests/unit/test-verbs.c and tests/unit/test-client-capture.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/capture-filter.h"
#include "client/capture.h"
#include "client/remote.h"
#include "client/verb-option.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/strutil.h"

#define CAPTURE_OPTIONS                                                                            \
	NAMED("write", COMPLETE_FILE,                                                              \
		"file for the frames (pcapng); without it or with -, standard output"),            \
		NUMBER("count", "end after that many frames"),                                     \
		NUMBER("seconds", "end after that many seconds"),                                  \
		NUMBER("snaplen", "keep that many bytes of each frame"),                           \
		NAMED("direction", COMPLETE_NOTHING, "in, out or both (default)")
#define FILTER_OPTION                                                                              \
	{                                                                                          \
		.name = "filter", .type = OPTION_LIST,                                             \
		.help = "which frames: an expression of pcap-filter(7)"                            \
	}

const struct verb_option capture_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	INTERFACE_OPTION,
	CAPTURE_OPTIONS,
	FILTER_OPTION,
	{},
};

const struct verb_option net_capture_options[] = {
	NETWORK_OPTION(COMPLETE_ACTIVE_NETWORK),
	NAMED("uplink", COMPLETE_NOTHING, "what this NIC sends and receives, for this network"),
	CAPTURE_OPTIONS,
	FILTER_OPTION,
	{},
};

#define SNAPLEN_MAX 262144 /* the API's */
#define SECONDS_MAX 31536000
/* What a filter may look at, however little is wanted: all of a frame but for those that are cut later. */
#define LOOK_MIN    2048U
#define FILTER_SIZE 4096

struct plan {
	const char *method;
	const char *subject; /* domain or network */
	const char *part;    /* interface or uplink; "": none */
	const char *file;    /* "-": standard output */
	char filter[FILTER_SIZE];
	uint64_t count, seconds, snaplen;
	uint32_t direction;
	uint64_t job; /* of the capture; 0: none */
	struct capture_filter code;
};

/* The words of the filter, with blanks between. */
static int join_filter(struct ctl *ctl, const struct args *args, char filter[FILTER_SIZE])
{
	size_t len = 0;

	for (size_t i = 0; i < args->n_list; i++) {
		size_t n = strlen(args->list[i]);

		if (len + n + 2 > FILTER_SIZE)
			return ctl_error(ctl, "the filter is too long: write at most %d bytes",
				FILTER_SIZE - 1);
		if (len)
			filter[len++] = ' ';
		memcpy(filter + len, args->list[i], n);
		len += n;
	}
	filter[len] = 0;
	return 0;
}

static int read_direction(struct ctl *ctl, const struct args *args, uint32_t *ret)
{
	static const struct {
		const char *word;
		uint32_t direction;
	} words[] = {{"in", CAPTURE_IN}, {"out", CAPTURE_OUT}, {"both", CAPTURE_IN | CAPTURE_OUT}};
	const char *s = args_string(args, "direction") ?: "both";

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!streq(s, words[i].word))
			continue;
		*ret = words[i].direction;
		return 0;
	}
	return ctl_error(ctl, "invalid direction '%s': write in, out or both", s);
}

static int check_output(struct ctl *ctl, const char *file)
{
	if (!streq(file, "-"))
		return 0;
	if (ctl->json)
		return ctl_error(ctl,
			"frames and a JSON document cannot both go to standard output: write "
			"--write FILE");
	if (isatty(STDOUT_FILENO))
		return ctl_error(ctl,
			"standard output is a terminal: write --write FILE, or give the frames to "
			"a "
			"reader: vmctl ... | wireshark -k -i -, vmctl ... | tcpdump -nr -");
	return 0;
}

static int read_plan(struct ctl *ctl, const struct args *args, struct plan *plan)
{
	char reason[CAPTURE_FILTER_ERROR_MAX];
	int r;

	plan->file = args_string(args, "write") ?: "-";
	r = join_filter(ctl, args, plan->filter);
	if (r == 0)
		r = read_direction(ctl, args, &plan->direction);
	if (r == 0)
		r = ctl_number_option(ctl, args, "count", UINT64_MAX, 0, &plan->count);
	if (r == 0)
		r = ctl_number_option(ctl, args, "seconds", SECONDS_MAX, 0, &plan->seconds);
	if (r == 0)
		r = ctl_number_option(
			ctl, args, "snaplen", SNAPLEN_MAX, SNAPLEN_MAX, &plan->snaplen);
	if (r == 0 && !plan->snaplen)
		r = ctl_error(ctl, "invalid snaplen '0': write 1 to %d", SNAPLEN_MAX);
	if (r == 0)
		r = check_output(ctl, plan->file);
	if (r < 0)
		return r;
	if (capture_filter_compile(plan->filter, (uint32_t)plan->snaplen, &plan->code, reason) < 0)
		return ctl_error(ctl, "invalid filter '%s': %s", plan->filter, reason);
	return 0;
}

/* Others' conversations: for its owner only. */
static FILE *open_output(const char *file)
{
	int fd;

	if (streq(file, "-"))
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int print_result(
	struct ctl *ctl, const struct plan *plan, const struct capture_session *session)
{
	struct json_object *o;

	if (!ctl->json) {
		(streq(plan->file, "-") ? ctl_note : ctl_extra)(ctl,
			"%llu frame%s captured, %llu lost%s", (unsigned long long)session->n_frames,
			session->n_frames == 1 ? "" : "s", (unsigned long long)session->n_lost,
			streq(plan->file, "-") ? "" : "\n");
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "file", json_object_new_string(plan->file));
	(void)json_object_object_add(o, "frames", json_object_new_uint64(session->n_frames));
	(void)json_object_object_add(o, "bytes", json_object_new_uint64(session->n_bytes));
	(void)json_object_object_add(o, "lost", json_object_new_uint64(session->n_lost));
	(void)json_object_object_add(
		o, "ended", json_object_new_string(capture_end_to_string(session->end)));
	ctl->has_document = true;
	return ctl_json(ctl, o);
}

/* Why the frames have ended, of which only their job knows: 0 with '*ret_job' (NULL: nothing is known), which the caller puts. */
static struct json_object *ask_why(struct ctl *ctl, const struct plan *plan)
{
	struct json_object *job = NULL;

	if (!plan->job || remote_call_one(ctl, "GetJob", &job, "t", plan->job) < 0)
		return NULL;
	return job;
}

static int say_why(struct ctl *ctl, const struct plan *plan, struct json_object *job)
{
	const char *error = json_string(job, "error", "");

	if (streq(error, "Timeout"))
		return ctl_error(ctl, "the capture was cancelled: its time (job %llu) is over",
			(unsigned long long)plan->job);
	if (streq(json_string(job, "state", ""), "cancelled"))
		return ctl_error(
			ctl, "the capture was cancelled (job %llu)", (unsigned long long)plan->job);
	return ctl_error(ctl, "the capture ended: what was captured is gone, or its worker is");
}

static int run_session(struct ctl *ctl, const struct plan *plan, int fd)
{
	struct capture_session session = {.fd = fd,
		.pump = remote_pump(ctl),
		.epoch_ns = remote_epoch_ns(ctl),
		.count = plan->count,
		.seconds = plan->seconds};
	const struct pcapng_interface interface = {.name = *plan->part ? plan->part : plan->subject,
		.description = plan->subject,
		.filter = plan->filter,
		.snaplen = (uint32_t)plan->snaplen};
	_cleanup_(json_putp) struct json_object *job = NULL;
	bool is_source;
	int r;

	session.out = open_output(plan->file);
	if (!session.out)
		return ctl_error(ctl, "cannot write '%s': %s", plan->file, strerror(errno));
	(void)signal(SIGPIPE, SIG_IGN);
	ctl->bare_output = streq(plan->file, "-");
	r = capture_run(&session, &interface);
	if (fclose(session.out) != 0 && r == 0 && session.end != CAPTURE_END_OUTPUT)
		r = -errno;
	if (r < 0)
		return ctl_error(ctl, "the capture to '%s' failed: %s", plan->file, strerror(-r));
	is_source = session.end == CAPTURE_END_SOURCE;
	if (is_source)
		job = ask_why(ctl, plan);
	if (streq(json_string(job, "state", ""), "cancelled"))
		session.end = CAPTURE_END_CANCELLED;
	r = print_result(ctl, plan, &session);
	return r == 0 && is_source ? say_why(ctl, plan, job) : r;
}

/* 0 with '*ret_fd', or the error printed by the caller. */
static int start(struct ctl *ctl, struct plan *plan, int *ret_fd)
{
	int fd = -EBADF;
	int r = remote_open_capture(ctl, plan->method, plan->subject, plan->part, plan->direction,
		MAX((uint32_t)plan->snaplen, LOOK_MIN), &fd, &plan->job);

	if (r < 0)
		return r;
	r = capture_filter_attach(fd, &plan->code);
	if (r < 0) {
		(void)remote_close(ctl, fd);
		return ctl_set_error(ctl, "OperationFailed",
			"the kernel does not take the filter: %s", strerror(-r));
	}
	*ret_fd = fd;
	return 0;
}

/* What was captured is whole, whatever has ended it. */
static int run_and_close(struct ctl *ctl, const struct plan *plan, int fd)
{
	int r = run_session(ctl, plan, fd);

	if (remote_close(ctl, fd) < 0)
		r = ctl_report(ctl);
	return r;
}

int verb_capture(struct ctl *ctl, const struct args *args)
{
	static struct plan plan;
	int fd = -EBADF, r;

	plan = (struct plan){.method = "OpenCapture", .part = args_string(args, "interface")};
	r = ctl_domain_option(ctl, args, &plan.subject);
	if (r == 0)
		r = read_plan(ctl, args, &plan);
	if (r < 0)
		return r;
	if (start(ctl, &plan, &fd) < 0)
		return ctl_fail_domain(
			ctl, plan.subject, "Failed to capture interface '%s'", plan.part);
	return run_and_close(ctl, &plan, fd);
}

int verb_net_capture(struct ctl *ctl, const struct args *args)
{
	static struct plan plan;
	int fd = -EBADF, r;

	plan = (struct plan){.method = "OpenNetworkCapture",
		.subject = args_string(args, "network"),
		.part = args_string(args, "uplink") ?: ""};
	if (args_string(args, "direction") && !*plan.part)
		return ctl_error(ctl,
			"what passes through a network has no direction: write --uplink, or leave "
			"--direction out");
	r = read_plan(ctl, args, &plan);
	if (r < 0)
		return r;
	if (start(ctl, &plan, &fd) < 0)
		return ctl_fail(ctl, "Failed to capture network '%s'", plan.subject);
	return run_and_close(ctl, &plan, fd);
}
