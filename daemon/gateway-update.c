/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A gateway that changes while it serves (net-update): what dnsmasq reads, and port forwards.
 *
 *	hosts, names		files that dnsmasq reads again at SIGHUP
 *	ranges, records		dnsmasq's configuration: it is started again, and finds its leases in their file
 *	port forwards		(GATEWAY_NAT; others have theirs in a table that they share with nobody) a child enters the namespace, adds what leads in if it is not there, and puts the new
 *				rules in the place of the old ones in one step; then pasta is started again, as it
 *				takes its ports when it starts. Connections that come in by it are cut; others are not
 *
 * Tested by tests/unit/test-gateway-nat.c and -host.c.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/gateway-internal.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

static bool same_ip(const struct net_ip *a, const struct net_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool same_forwards(const struct gateway_config *a, const struct gateway_config *b)
{
	if (a->n_forwards != b->n_forwards)
		return false;
	for (unsigned i = 0; i < a->n_forwards; i++) {
		const struct gateway_forward *x = &a->forwards[i], *y = &b->forwards[i];

		if (x->proto != y->proto || x->host_port != y->host_port ||
			x->guest_port != y->guest_port || !same_ip(&x->host, &y->host) ||
			!same_ip(&x->guest, &y->guest))
			return false;
	}
	return true;
}

/* Is this to be had at all? */
static int check(const struct gateway *g, const struct gateway_config *c, struct error *error)
{
	int r = gateway_config_validate(c, error);

	if (r < 0 || same_forwards(g->config, c))
		return r;
	if (c->kind != GATEWAY_NAT)
		return error_set(error, ERROR_NOT_SUPPORTED,
			"network '%s' has its port forwards by the host's kernel, and keeps those "
			"that "
			"it was started with; write --config, and start it anew",
			c->name);
	if (c->n_forwards && !g->processes[GATEWAY_PASTA].program[0])
		return error_set(error, ERROR_OPERATION_FAILED,
			"network '%s' needs pasta: install passt", c->name);
	return 0;
}

static void tell_dnsmasq(struct gateway *g, bool again)
{
	struct gateway_process *dnsmasq = &g->processes[GATEWAY_DNSMASQ];

	dnsmasq->wanted = gateway_wants_dnsmasq(g->config);
	/* One that does not run now reads all of it when it starts; one that has just begun does not know the signal yet. */
	if (again || !dnsmasq->wanted ||
		(dnsmasq->pid && faccessat(g->dir_fd, "dnsmasq.pid", F_OK, 0) < 0)) {
		gateway_process_restart(dnsmasq, SIGTERM);
	} else if (dnsmasq->pid) {
		gateway_expect_reading(g);
		(void)syscall(SYS_pidfd_send_signal, dnsmasq->pidfd, SIGHUP, NULL, 0);
	}
}

static void change_rules(struct gateway *g)
{
	struct gateway_process *changer = &g->processes[GATEWAY_CHANGER];

	/* One that is at work has the old configuration: another follows it. */
	changer->wanted = true;
	if (!changer->pid)
		gateway_process_start(changer);
	else
		changer->restarting = true;
}

bool gateway_rules_changed(struct gateway *g, int status)
{
	struct gateway_process *changer = &g->processes[GATEWAY_CHANGER];
	struct gateway_process *pasta = &g->processes[GATEWAY_PASTA];
	bool again = changer->restarting;

	changer->restarting = changer->wanted = false;
	if (again) {
		change_rules(g);
		return true;
	}
	if (status > 0)
		log_warning("network '%s': the rules of its port forwards are not set; see the log "
			    "gateway:%s.log",
			g->config->name, g->config->name);
	if (status != 0)
		gateway_follow_failed(g, GATEWAY_CHANGER, "are not set");
	pasta->wanted = g->config->n_forwards;
	gateway_process_restart(pasta, SIGKILL);
	gateway_save_status(g);
	return true;
}

int gateway_update(struct gateway *g, const struct gateway_config *config, struct error *error)
{
	_cleanup_(freep) struct gateway_config *c = malloc(sizeof(*c));
	_cleanup_(freep) char *before = NULL, *after = NULL;
	bool forwards;
	int r;

	if (!c)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	*c = *config;
	/* It has become a name by now. */
	memcpy(c->ifname, g->config->ifname, sizeof(c->ifname));
	r = check(g, c, error);
	if (r < 0)
		return r;
	r = gateway_format_conf(g, g->config, &before);
	if (r == 0)
		r = gateway_format_conf(g, c, &after);
	if (r == 0)
		r = gateway_write_files(g, c);
	if (r < 0) {
		(void)gateway_write_files(g, g->config);
		return error_set_errno(
			error, r, "network '%s': cannot write the files of its gateway", c->name);
	}
	forwards = !same_forwards(g->config, c);
	/* What nobody waits for any more is nothing of this change's. */
	if (list_empty(&g->waits))
		g->changed = 0;
	g->changed |= 1U << GATEWAY_DNSMASQ |
		(forwards ? 1U << GATEWAY_CHANGER | 1U << GATEWAY_PASTA : 0);
	free(g->config);
	g->config = TAKE_PTR(c);
	tell_dnsmasq(g, !streq(before, after));
	if (forwards)
		change_rules(g);
	return 0;
}
