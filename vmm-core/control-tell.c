/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* States that are told until they are heard: see control-tell.h. */
#include "vmm-core/control-tell.h"

#include <errno.h>

_Static_assert(TELL_X_MAX <= 32, "each has a bit");

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	tell_again(container_of(timer, struct tell, timer));
}

void tell_init(
	struct tell *t, struct loop *loop, int (*send)(void *opaque, unsigned what), void *opaque)
{
	*t = (struct tell){.loop = loop, .send = send, .opaque = opaque};
	loop_timer_init(&t->timer, loop, on_timer);
}

void tell_done(struct tell *t)
{
	if (t->loop)
		loop_timer_stop(&t->timer);
}

bool tell_may_notice(struct tell *t)
{
	uint64_t now_ns = loop_now_ns(t->loop);

	if (now_ns - t->since_ns >= NSEC_PER_SEC) {
		t->since_ns = now_ns;
		t->n_notices = 0;
	}
	if (t->n_notices >= TELL_MAX_NOTICES)
		return false;
	t->n_notices++;
	return true;
}

void tell_again(struct tell *t)
{
	for (unsigned i = 0; i < TELL_X_MAX; i++) {
		if (!(t->untold & UINT32_C(1) << i))
			continue;
		if (i >= TELL_LIMITED && !tell_may_notice(t)) {
			(void)loop_timer_set(&t->timer, t->since_ns + NSEC_PER_SEC);
			return;
		}
		if (t->send(t->opaque, i) < 0)
			return;
		t->untold &= ~(UINT32_C(1) << i);
	}
}

void tell_changed(struct tell *t, unsigned what)
{
	t->untold |= UINT32_C(1) << what;
	tell_again(t);
}

void tell_forget(struct tell *t, uint32_t told)
{
	t->untold &= ~told;
}
