/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon is told of a team: see team-news.h. */
#include "devices/fabric/team-news.h"

#include <errno.h>

static bool is_due(const struct team_news *n)
{
	return n->ready && !n->deaf &&
		(n->n_told < n->n_made || n->told != team_n_changes(n->team));
}

static int tell(struct team_news *n, enum proto_type type, const void *payload, size_t len)
{
	int r = n->owner->team(n->owner->opaque, type, payload, len);

	if (r == -ENOTCONN)
		n->deaf = true;
	return r;
}

int team_news_tell_state(struct team_news *n)
{
	uint64_t changes = team_n_changes(n->team);
	struct net_team_state state;
	int r;

	team_state(n->team, &state);
	r = tell(n, PROTO_TEAM_STATE, &state, sizeof(state));
	if (r == 0)
		n->told = changes;
	return r;
}

/* The state last: what it says is what the reports lead to. */
static int tell_all(struct team_news *n)
{
	int r = 0;

	if (n->n_made - n->n_told > NEWS_REPORTS)
		n->n_told = n->n_made - NEWS_REPORTS;
	for (unsigned i = 0; r == 0 && i < NEWS_BURST && n->n_told < n->n_made; i++) {
		const struct net_team_report *report = &n->reports[(n->n_told + 1) % NEWS_REPORTS];

		r = tell(n, PROTO_TEAM_REPORT, report, sizeof(*report));
		n->n_told += r == 0;
	}
	if (r == 0 && n->told != team_n_changes(n->team))
		r = team_news_tell_state(n);
	return r;
}

static void step(struct team_news *n)
{
	uint64_t now_ns = loop_now_ns(n->timer.loop);

	if (!is_due(n))
		return;
	if (now_ns >= n->next_ns) {
		n->next_ns = now_ns + NEWS_STEP_NS;
		(void)tell_all(n);
	}
	/* The rest, or all of it again if it could not be sent. */
	if (is_due(n) && n->timer.deadline_ns != n->next_ns)
		(void)loop_timer_set(&n->timer, n->next_ns);
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	step(container_of(timer, struct team_news, timer));
}

void team_news_init(struct team_news *n, struct loop *loop, const struct network_owner *owner,
	const struct team *team)
{
	*n = (struct team_news){.owner = owner, .team = team, .told = UINT64_MAX};
	loop_timer_init(&n->timer, loop, on_timer);
}

void team_news_done(struct team_news *n)
{
	if (n->timer.loop)
		loop_timer_stop(&n->timer);
}

void team_news_report(struct team_news *n, const struct net_team_report *report)
{
	n->n_made = report->number;
	n->reports[report->number % NEWS_REPORTS] = *report;
	step(n);
}

void team_news_check(struct team_news *n)
{
	n->ready = true;
	step(n);
}

void team_news_restart(struct team_news *n)
{
	n->deaf = false;
	n->told = UINT64_MAX;
	n->n_told = 0;
	n->next_ns = 0;
	step(n);
}
