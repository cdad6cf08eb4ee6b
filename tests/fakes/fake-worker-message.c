/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a fake worker says: see fake-worker.h. */
#include "tests/fakes/fake-worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"

bool fake_told(const struct fake *f, const char *word)
{
	char want[64];

	snprintf(want, sizeof(want), "fake=%s", word);
	return strstr(f->config.cmdline, want);
}

uint64_t fake_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void fake_send(struct fake *f, unsigned type, uint32_t seq, int error, const void *payload,
	size_t len, const int *fds, unsigned n_fds)
{
	struct {
		struct proto_header header;
		char payload[PROTO_MAX_PAYLOAD];
	} p = {
		.header = {.version = PROTO_VERSION,
			.type = (uint16_t)type,
			.seq = seq,
			.len = (uint32_t)len,
			.error = error},
	};

	if (len)
		memcpy(p.payload, payload, len);
	if (f->control >= 0)
		(void)send_packet(f->control, &p, sizeof(p.header) + len, fds, n_fds);
}

void fake_send_state(struct fake *f, enum proto_type type)
{
	struct proto_state s = {.state = f->state,
		.reason = f->reason,
		.pid = (uint32_t)getpid(),
		.nics = f->nics,
		.code = f->pausing && f->state == PROTO_VM_RUNNING};

	memcpy(s.uuid, f->is_network ? f->net.uuid : f->config.uuid, 16);
	memcpy(s.text, f->text, sizeof(s.text));
	fake_send(f, type, 0, 0, &s, sizeof(s), NULL, 0);
}

void fake_set_state(struct fake *f, uint32_t state, uint32_t reason)
{
	f->state = state;
	f->reason = reason;
	fake_send_state(f, PROTO_STATE);
}

void fake_stop(struct fake *f, uint32_t reason)
{
	fake_set_state(f, PROTO_VM_STOPPED, reason);
	exit(0);
}

void fake_reply(struct fake *f, uint32_t seq, int error, const char *text)
{
	struct proto_reason r = {0};

	snprintf(r.text, sizeof(r.text), "%s", text);
	fake_send(f, PROTO_REPLY, seq, error, &r, error ? sizeof(r) : 0, NULL, 0);
}

void fake_notice(struct fake *f, uint32_t kind)
{
	struct proto_notice n = {.kind = kind};

	fake_send(f, PROTO_NOTICE, 0, 0, &n, sizeof(n), NULL, 0);
}
