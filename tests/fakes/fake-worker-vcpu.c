/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker's vCPUs, which come and go at once, and its threads. fake=WORD in the command line:
 *
 *	threads		START makes threads, called as a worker's vCPUs and iothreads are
 *	few-threads	one iothread more than at the start, and no other
 *	keep-vcpus	releases no vCPU before the line "release" on its console
 *	refuse-vcpus	says that the guest will not let one go
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm-core/base/macro.h"

void fake_have_vcpus(struct fake *f, unsigned n)
{
	memset(f->vcpus, 0, sizeof(f->vcpus));
	for (unsigned i = 0; i < n; i++)
		f->vcpus[i / 32] |= UINT32_C(1) << i % 32;
}

static unsigned count_vcpus(const struct fake *f)
{
	unsigned n = 0;

	while (f->vcpus[n / 32] >> n % 32 & 1)
		n++;
	return n;
}

void fake_send_vcpus(struct fake *f)
{
	struct proto_vcpus vcpus;

	memcpy(vcpus.bits, f->vcpus, sizeof(vcpus.bits));
	fake_send(f, PROTO_VCPUS, 0, 0, &vcpus, sizeof(vcpus), NULL, 0);
}

void fake_vcpus(struct fake *f, const struct fake_request *p)
{
	struct proto_notice notice = {.kind = PROTO_NOTICE_VCPU_REFUSED};
	struct proto_vcpu_set set;
	bool fewer;

	memcpy(&set, p->payload, sizeof(set));
	f->wanted_vcpus = set.n;
	fewer = set.n < count_vcpus(f);
	if (fewer && fake_told(f, "refuse-vcpus")) {
		notice.index = count_vcpus(f) - 1;
		fake_reply(f, p->header.seq, 0, "");
		fake_send(f, PROTO_NOTICE, 0, 0, &notice, sizeof(notice), NULL, 0);
		return;
	}
	if (!fewer || !fake_told(f, "keep-vcpus")) {
		fake_have_vcpus(f, set.n);
		fake_send_vcpus(f);
	}
	fake_reply(f, p->header.seq, 0, "");
}

static void *sleep_for_ever(void *arg)
{
	while (pause() < 0)
		;
	return arg;
}

static void start_thread(struct fake *f, const char *name, pthread_t *ret)
{
	(void)f;
	if (pthread_create(ret, NULL, sleep_for_ever, NULL) == 0)
		(void)pthread_setname_np(*ret, name);
}

/* As a worker's vCPUs and iothreads are called. */
void fake_start_threads(struct fake *f)
{
	char name[32];

	for (unsigned i = 0; i < f->config.vcpus_max; i++) {
		pthread_t thread;

		(void)snprintf(name, sizeof(name), "CPU %u/KVM", i % 256);
		start_thread(f, name, &thread);
	}
	for (unsigned i = 0; i < f->config.n_iothreads; i++) {
		f->iothreads[i].id = f->config.iothreads[i];
		(void)snprintf(name, sizeof(name), "IO iothread%u", f->iothreads[i].id % 10000);
		start_thread(f, name, &f->iothreads[i].thread);
	}
	f->n_iothreads = f->config.n_iothreads;
}

/* As the worker, but that none of them ends: one that is gone has another name, and becomes the next. */
void fake_iothread(struct fake *f, const struct fake_request *p)
{
	struct proto_iothread what;
	char name[32] = "gone";

	memcpy(&what, p->payload, sizeof(what));
	if (what.on && fake_told(f, "few-threads") && f->n_iothreads > f->config.n_iothreads) {
		fake_reply(f, p->header.seq, -EAGAIN, "the host makes no thread: nothing is left");
		return;
	}
	if (what.on && f->n_iothreads < ARRAY_SIZE(f->iothreads)) {
		f->iothreads[f->n_iothreads].id = 0;
		start_thread(f, name, &f->iothreads[f->n_iothreads++].thread);
	}
	for (unsigned i = 0; i < f->n_iothreads; i++) {
		if (f->iothreads[i].id != (what.on ? 0 : what.id))
			continue;
		f->iothreads[i].id = what.on ? what.id : 0;
		if (what.on)
			(void)snprintf(name, sizeof(name), "IO iothread%u", what.id % 10000);
		(void)pthread_setname_np(f->iothreads[i].thread, name);
		fake_reply(f, p->header.seq, 0, "");
		return;
	}
	fake_reply(f, p->header.seq, what.on ? -ENOSPC : -ENOENT, "the worker has no thread left");
}
