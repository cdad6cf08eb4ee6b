/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans, some documents in a turn: see plan-soon.h. */
#include "daemon/plan-soon.h"

#include <stdlib.h>

#include "daemon/manager.h"

struct planning {
	struct manager *manager;
	struct list link;
	struct plan_document *documents;
	struct plan_work *work;
	sd_event_source *source;
	plan_done_fn done;
	void *userdata;
};

static struct planning *planning_free(struct planning *p)
{
	if (!p)
		return NULL;
	list_del(&p->link);
	p->manager->n_plannings--;
	(void)sd_event_source_disable_unref(p->source);
	(void)plan_work_free(p->work);
	free(p->documents);
	free(p);
	return NULL;
}

/* It is nobody's any more when the receiver hears of it. */
static void finish(struct planning *p, struct plan *plan, const struct error *error)
{
	plan_done_fn done = p->done;
	void *userdata = p->userdata;

	(void)planning_free(p);
	done(userdata, plan, error);
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct planning *p = userdata;
	struct plan *plan = NULL;
	struct error error = {0};
	int r = 1;

	for (unsigned i = 0; r > 0 && i < PLAN_AT_ONCE; i++)
		r = plan_step(p->work, &error);
	/* It is compared, and perhaps applied, with all that was defined before: the end comes in a turn that finds little to read again. */
	if (r == 0) {
		manager_commit(p->manager);
		r = plan_refresh(p->work, PLAN_AT_ONCE, &error);
	}
	if (r > 0) {
		(void)sd_event_source_set_time(source, usec);
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
		return 0;
	}
	if (r == 0)
		r = plan_end(p->work, &plan, &error);
	finish(p, plan, r < 0 ? &error : NULL);
	return 0;
}

static int begin(struct planning *p, size_t n, unsigned flags, struct error *error)
{
	int r = plan_begin(p->manager, p->documents, n, flags, &p->work, error);

	if (r < 0)
		return r;
	/* A timer, not a source that is always ready: others have their turn in between. */
	r = sd_event_add_time_relative(
		p->manager->event, &p->source, CLOCK_MONOTONIC, 0, 1, on_turn, p);
	return r < 0 ? error_set_errno(error, r, "cannot make a plan") : 0;
}

int plan_soon(struct manager *m, struct plan_document *documents, size_t n, unsigned flags,
	plan_done_fn done, void *userdata, struct error *error)
{
	struct planning *p = m->n_plannings < PLANS_AT_ONCE ? calloc(1, sizeof(*p)) : NULL;
	int r;

	if (!p) {
		free(documents);
		return error_set(error, ERROR_RESOURCE_BUSY,
			"as many plans as vmmd makes at a time are being made; try again");
	}
	*p = (struct planning){
		.manager = m, .documents = documents, .done = done, .userdata = userdata};
	list_add_tail(&m->plannings, &p->link);
	m->n_plannings++;
	r = begin(p, n, flags, error);
	if (r < 0)
		(void)planning_free(p);
	return r;
}

void plans_end(struct manager *m)
{
	struct error error = {0};

	(void)error_set(&error, ERROR_INTERRUPTED, "vmmd ends");
	while (!list_empty(&m->plannings))
		finish(list_entry(m->plannings.next, struct planning, link), NULL, &error);
}
