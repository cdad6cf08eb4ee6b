/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Documents compared with what is there, and applied together: what a plan says, what is refused, what changes where and when, and that
 * it is all or nothing. The workers are tests/fakes/fake-worker.h. */
#include "daemon/apply.h"

#include "config/net-addr.h"
#include "daemon/plan-soon.h"
#include "network-fixture.h"

#define MAX_DOCUMENTS 512
#define NIC(network, last, more)                                                                   \
	"<interface type='network'><mac address='52:54:00:00:00:" last                             \
	"'/><source network='" network "'/>" more "</interface>"

#define NIC_VALUE(last, slot)                                                                      \
	"type='network', mac address='52:54:00:00:00:" last "', source network='red', model "      \
	"type='virtio', address type='pci' domain='0x0000' bus='0x00' slot='0x" slot               \
	"' function='0x0'"

/* Documents that a test has put together. */
static struct plan_document documents[MAX_DOCUMENTS];
static size_t n_documents;

static void reset(void)
{
	for (size_t i = 0; i < n_documents; i++)
		free((char *)(uintptr_t)documents[i].xml);
	n_documents = 0;
}

static void give(const char *source, const char *xml)
{
	documents[n_documents++] = (struct plan_document){strdup(xml), source};
}

/* Domain 'name' of 'mib'. */
static void give_domain(
	struct fixture *f, const char *name, unsigned mib, const char *extra, const char *devices)
{
	char xml[4096];

	snprintf(xml, sizeof(xml),
		"<domain type='kvm'><name>%s</name><memory unit='MiB'>%u</memory><vcpu>2</vcpu><os>"
		"<type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel></os><features>"
		"<acpi/></features>%s<devices>%s</devices></domain>",
		name, mib, f->kernel, extra, devices);
	give("domain.xml", xml);
}

static void give_network(const char *name, const char *extra)
{
	give("network.xml", net_xml(name, extra));
}

static int setup(void **state)
{
	reset();
	return fixture_setup(state);
}

static struct plan *make(struct fixture *f, unsigned flags)
{
	struct plan *plan;

	f->error = (struct error){0};
	if (plan_new(f->manager, documents, n_documents, flags, &plan, &f->error) < 0)
		fail_msg("%s", f->error.message);
	return plan;
}

static const char *member(struct json_object *o, const char *name)
{
	return json_object_get_string(json_object_object_get(o, name));
}

/* A plan as lines: "domain a change now memory: 16384 KiB -> 32768 KiB". */
static const char *lines(const struct plan *plan)
{
	static char text[16 * 1024];
	struct json_object *array = plan_to_json(plan);
	size_t len = 0;

	*text = 0;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);
		const char *words[] = {member(o, "name"), member(o, "action"), member(o, "when"),
			member(o, "outcome"), member(o, "reason")};

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", member(o, "object"));
		for (size_t k = 0; k < ARRAY_SIZE(words); k++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
				*words[k] ? " " : "", words[k]);
		if (*member(o, "path"))
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s: %s -> %s",
				member(o, "path"), member(o, "old"), member(o, "new"));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "\n");
	}
	json_object_put(array);
	return text;
}

static void expect_plan(struct fixture *f, unsigned flags, const char *expected)
{
	struct plan *plan = make(f, flags);

	assert_string_equal(lines(plan), expected);
	plan_free(plan);
}

static struct plan *applied;

static void on_applied(void *userdata, struct plan *plan)
{
	applied = plan;
	fixture_done(userdata, NULL);
}

static void apply_ok(struct fixture *f, unsigned flags, const char *expected)
{
	struct plan *plan = make(f, flags);
	unsigned n = f->n_done;
	int r = apply_plan(f->manager, plan, on_applied, f, &f->error);

	if (r < 0)
		fail_msg("%s", f->error.message);
	if (r == 0) {
		RUN_UNTIL(f, f->n_done > n);
		plan = applied;
	}
	if (!streq(lines(plan), expected))
		fail_msg("%s", lines(plan));
	plan_free(plan);
}

static void apply_fails(struct fixture *f, unsigned flags, const char *message)
{
	struct plan *plan = make(f, flags);

	assert_true(apply_plan(f->manager, plan, on_applied, f, &f->error) < 0);
	if (!strstr(f->error.message, message))
		fail_msg("%s", f->error.message);
	plan_free(plan);
}

static void reopen(struct fixture *f)
{
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
}

static struct domain *domain(struct fixture *f, const char *name)
{
	return manager_find_name(f->manager, name);
}

static void test_new_changed_same(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[16];

	give_domain(f, "a", 16, "", "");
	give_network("red", "");
	expect_plan(f, 0, "domain a create now\nnetwork red create now\n");
	assert_null(domain(f, "a"));
	apply_ok(f, 0, "domain a create now done\nnetwork red create now done\n");
	assert_true(fixture_saw(f, "lifecycle a Defined Added"));
	memcpy(uuid, domain(f, "a")->uuid, 16);
	/* Again: neither has a UUID in its file. */
	expect_plan(f, 0, "domain a same\nnetwork red same\n");
	apply_ok(f, 0, "domain a same\nnetwork red same\n");

	reset();
	give_domain(f, "a", 32, "<title>second</title>", NIC("red", "01", ""));
	give_domain(f, "b", 16, "", "");
	expect_plan(f, 0,
		"domain a change now title:  -> second\n"
		"domain a change now memory: 16384 KiB -> 32768 KiB\n"
		"domain a change now currentMemory: 16384 KiB -> 32768 KiB\n"
		"domain a change now devices/interface[52:54:00:00:00:01]:  -> type='network', mac "
		"address='52:54:00:00:00:01', source network='red', model type='virtio', address "
		"type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'\n"
		"domain b create now\n");
	reset();
	give_domain(f, "a", 32, "", "");
	apply_ok(f, 0,
		"domain a change now done memory: 16384 KiB -> 32768 KiB\n"
		"domain a change now done currentMemory: 16384 KiB -> 32768 KiB\n");
	assert_memory_equal(domain(f, "a")->uuid, uuid, 16);
	assert_int_equal(domain(f, "a")->definition->memory_kib, 32768);

	/* The files follow by themselves; another daemon finds the same. */
	RUN_UNTIL(f, !f->manager->store->unsettled);
	reopen(f);
	assert_int_equal(domain(f, "a")->definition->memory_kib, 32768);
	assert_non_null(network_find_name(f->manager, "red"));
	expect_plan(f, 0, "domain a same\n");
}

/* The files have not followed yet when the daemon ends, or when something else is defined. */
static void test_files_follow(void **state)
{
	struct fixture *f = *state;

	give_domain(f, "a", 16, "", "");
	apply_ok(f, 0, "domain a create now done\n");
	assert_non_null(f->manager->store->unsettled);
	reopen(f);
	assert_int_equal(domain(f, "a")->definition->memory_kib, 16384);
	reset();
	give_domain(f, "a", 32, "", "");
	apply_ok(f, 0,
		"domain a change now done memory: 16384 KiB -> 32768 KiB\n"
		"domain a change now done currentMemory: 16384 KiB -> 32768 KiB\n");
	assert_int_equal(manager_undefine(f->manager, domain(f, "a"), &f->error), 0);
	assert_non_null(f->manager->store->unsettled);
	RUN_UNTIL(f, !f->manager->store->unsettled);
	reopen(f);
	assert_null(domain(f, "a"));
}

#define OLD_UUID "11111111-2222-3333-4444-555555555555"

static void test_refused(void **state)
{
	struct fixture *f = *state;

	(void)fixture_define(f, "old", "", "<uuid>" OLD_UUID "</uuid>");
	give_domain(f, "fine", 16, "", "");
	give_domain(f, "renamed", 16, "<uuid>" OLD_UUID "</uuid>", "");
	give_domain(f, "old", 16, "<uuid>11111111-2222-3333-4444-666666666666</uuid>", "");
	give_domain(f, "fine", 32, "", "");
	give("x.xml", "<pool/>");
	give("y.xml", "<domain");
	give("z.xml", "");
	expect_plan(f, 0,
		"domain fine create now\n"
		"domain renamed refuse refused operation failed: domain 'old' is already defined "
		"with uuid " OLD_UUID "\n"
		"domain old refuse refused operation failed: domain 'old' already exists with "
		"uuid " OLD_UUID "\n"
		"domain fine refuse refused 'domain.xml' is about the same name, too\n"
		"domain refuse refused XML error: x.xml:1: neither a <domain> nor a <network>\n"
		"domain refuse refused XML error: y.xml:1: not well-formed: Couldn't find end of "
		"Start Tag domain line 1; mend the markup\n"
		"domain refuse refused XML error: z.xml:1: an empty document; write an element\n");
}

/* 'expected' begins a line of the plan. */
static void expect_line(struct fixture *f, unsigned flags, const char *expected)
{
	struct plan *plan = make(f, flags);

	if (!strstr(lines(plan), expected))
		fail_msg("%s", lines(plan));
	plan_free(plan);
}

static void test_nothing_changes_when_refused(void **state)
{
	struct fixture *f = *state;

	(void)fixture_define(f, "old", "", "");
	give_domain(f, "new", 16, "", "");
	give_domain(f, "old", 32, "", "");
	give_network("red", "");
	give("bad.xml", "<domain type='kvm'><name>bad</name><memory>much</memory></domain>");
	expect_line(f, 0, "domain refuse refused XML error: bad.xml:1: memory");
	apply_fails(f, 0, "nothing has changed: 1 of the documents are refused; 'bad.xml': ");
	assert_null(domain(f, "new"));
	assert_null(network_find_name(f->manager, "red"));
	assert_int_equal(domain(f, "old")->definition->memory_kib, 16384);
	assert_int_equal(f->manager->n_domains, 1);
	assert_int_equal(f->manager->n_networks, 0);
}

static int no_space(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)opaque;
	return step == STORE_STEP_RECORD ? -ENOSPC : 0;
}

static void test_nothing_changes_without_space(void **state)
{
	struct fixture *f = *state;

	(void)fixture_define(f, "old", "", "");
	give_domain(f, "new", 16, "", "");
	give_domain(f, "old", 32, "", "");
	give_network("red", "");
	f->manager->store->fault = no_space;
	apply_fails(f, 0, "cannot save the definitions: No space left on device");
	f->manager->store->fault = NULL;
	assert_int_equal(f->manager->n_domains, 1);
	assert_int_equal(f->manager->n_networks, 0);
	assert_int_equal(domain(f, "old")->definition->memory_kib, 16384);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;

	(void)fixture_define(f, "gone", "", "");
	fixture_start(f, fixture_define(f, "runs", "", ""));
	(void)define(f, "red", "");
	give_domain(f, "new", 16, "", "");
	expect_plan(f, 0, "domain new create now\n");
	/* There is no network among the documents: none is meant. */
	expect_plan(f, PLAN_PRUNE,
		"domain new create now\ndomain gone delete now\n"
		"domain runs keep it is active\n");
	assert_int_equal(manager_set_autostart(f->manager, domain(f, "gone"), true, &f->error), 0);
	apply_ok(f, PLAN_PRUNE,
		"domain new create now done\ndomain gone delete now done\n"
		"domain runs keep it is active\n");
	assert_null(domain(f, "gone"));
	assert_true(domain_is_active(domain(f, "runs")));
	assert_true(fixture_saw(f, "lifecycle gone Undefined Removed"));
	reset();
	give_network("blue", "");
	apply_ok(f, PLAN_PRUNE, "network blue create now done\nnetwork red delete now done\n");
	assert_non_null(domain(f, "new"));
	reset();
	reopen(f);
	assert_null(domain(f, "gone"));
	assert_null(network_find_name(f->manager, "red"));
	assert_non_null(network_find_name(f->manager, "blue"));
}

/* Of what runs, interfaces follow at once, and the rest at the next boot. */
static void test_running_domain(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	(void)running(f, "red");
	give_domain(f, "a", 16, "", NIC("red", "01", "") NIC("red", "02", ""));
	apply_ok(f, 0, "domain a create now done\n");
	d = domain(f, "a");
	fixture_start(f, d);
	reset();
	give_domain(f, "a", 32, "",
		NIC("red", "02",
			"<link state='down'/><bandwidth><inbound average='1000'/></bandwidth>")
			NIC("red", "03", ""));
	expect_line(f, 0, "domain a change next boot memory: 16384 KiB -> 32768 KiB\n");
	expect_line(f, 0, "domain a change now devices/interface[52:54:00:00:00:03]:  -> type=");
	expect_line(f, 0,
		"domain a change now devices/interface[52:54:00:00:00:02]/link:  -> "
		"state='down'\n");
	expect_line(f, 0,
		"domain a change now devices/interface[52:54:00:00:00:02]/bandwidth:  -> inbound "
		"average='1000'\n");
	apply_ok(f, 0,
		"domain a change next boot done memory: 16384 KiB -> 32768 KiB\n"
		"domain a change next boot done currentMemory: 16384 KiB -> 32768 KiB\n"
		"domain a change now done devices/interface[52:54:00:00:00:02]/bandwidth:  -> "
		"inbound average='1000'\n"
		"domain a change now done devices/interface[52:54:00:00:00:02]/link:  -> "
		"state='down'\n"
		"domain a change now done devices/interface[52:54:00:00:00:03]:  -> " NIC_VALUE(
			"03", "01") "\n"
				    "domain a change now done "
				    "devices/interface[52:54:00:00:00:01]: " NIC_VALUE(
					    "01", "01") " -> \n");
	assert_int_equal(d->definition->memory_kib, 32768);
	assert_int_equal(d->live->vm.memory_kib, 16384);
	assert_int_equal(d->live->vm.n_nics, 2);
	assert_int_equal(d->live->vm.nics[0].port.mac[5], 2);
	assert_int_equal(d->live->vm.nics[0].port.bandwidth.in.average, 1000);
	assert_true(d->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	assert_int_equal(d->live->vm.nics[1].port.mac[5], 3);
	/* What waits for the next boot is no difference. */
	expect_line(f, 0, "domain a same\ndomain a same pending memory: 16384 KiB -> 32768 KiB\n");
}

/* What a document leaves open is as it was: an address for each, a generation id. */
static void test_what_is_not_said(void **state)
{
	struct fixture *f = *state;

	give_domain(f, "a", 16, "<genid/>", NIC("red", "01", "") NIC("red", "02", ""));
	apply_ok(f, 0, "domain a create now done\n");
	expect_plan(f, 0, "domain a same\n");
	reset();
	give_domain(f, "a", 16, "<genid/>",
		NIC("red", "02", "") "<rng model='virtio'><backend "
				     "model='random'>/dev/urandom</backend></rng>" NIC(
					     "red", "01", ""));
	expect_plan(f, 0,
		"domain a change now devices/rng:  -> model='virtio', backend /dev/urandom "
		"model='random', address type='pci' domain='0x0000' bus='0x00' slot='0x04' "
		"function='0x0'\n");
}

/* Somebody has changed what runs, and only that: it becomes again what the document says. */
static void test_running_is_another(void **state)
{
	struct fixture *f = *state;
	struct net_port_config config;
	struct domain *d;

	(void)running(f, "red");
	give_domain(f, "a", 16, "", NIC("red", "01", ""));
	apply_ok(f, 0, "domain a create now done\n");
	d = domain(f, "a");
	fixture_start(f, d);
	config = d->live->vm.nics[0].port;
	config.flags |= NET_PORT_LINK_DOWN;
	fixture_wait(f, network_update_port(d, 0, &config, fixture_done, f, &f->error));
	apply_ok(f, 0,
		"domain a change now done devices/interface[52:54:00:00:00:01]/link: state='down' "
		"-> \n");
	assert_false(d->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	expect_plan(f, 0, "domain a same\n");
}

/* The definition stays when what runs does not follow. */
static void test_live_failure(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	give_domain(f, "a", 16, "", "");
	apply_ok(f, 0, "domain a create now done\n");
	d = domain(f, "a");
	fixture_start(f, d);
	reset();
	give_domain(f, "a", 16, "", NIC("nowhere", "01", ""));
	expect_line(f, 0, "domain a change now devices/interface[52:54:00:00:00:01]:  -> ");
	{
		struct plan *plan = make(f, 0);

		assert_int_equal(apply_plan(f->manager, plan, on_applied, f, &f->error), 1);
		if (!strstr(lines(plan), "domain a change now failed Network not found: "))
			fail_msg("%s", lines(plan));
		plan_free(plan);
	}
	assert_int_equal(d->live->vm.n_nics, 0);
	assert_int_equal(d->definition->n_nics, 1);
	RUN_UNTIL(f, !f->manager->store->unsettled);
	reopen(f);
	assert_int_equal(domain(f, "a")->definition->n_nics, 1);
}

static void test_running_network(void **state)
{
	struct fixture *f = *state;
	struct network *n;

	give_network("red", "<portgroup name='one'/>");
	apply_ok(f, 0, "network red create now done\n");
	n = network_find_name(f->manager, "red");
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	reset();
	give_network("red", "<mtu size='9000'/><portgroup name='one'/><portgroup name='two'/>");
	apply_ok(f, 0,
		"network red change next boot done mtu:  -> size='9000'\n"
		"network red change now done portgroup[two]:  -> name='two'\n");
	assert_int_equal(n->config->n_portgroups, 2);
	assert_int_equal(n->config->net.mtu, 0);
	expect_plan(f, 0, "network red same\nnetwork red same pending mtu:  -> size='9000'\n");
}

static void test_hundreds(void **state)
{
	struct fixture *f = *state;
	struct plan *plan;
	char name[32];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "domain-%u", i);
		give_domain(f, name, 16, "", "");
	}
	plan = make(f, 0);
	assert_int_equal(apply_plan(f->manager, plan, on_applied, f, &f->error), 1);
	plan_free(plan);
	assert_int_equal(f->manager->n_domains, 300);
	RUN_UNTIL(f, !f->manager->store->unsettled);
	reopen(f);
	assert_int_equal(f->manager->n_domains, 300);
}

static struct plan *planned;

static void on_planned(void *userdata, struct plan *plan, const struct error *error)
{
	struct fixture *f = userdata;

	f->n_done++;
	f->done_error = error ? *error : (struct error){0};
	planned = plan;
}

static int plan_later(struct fixture *f)
{
	struct plan_document *copy = calloc(n_documents, sizeof(*copy));

	memcpy(copy, documents, n_documents * sizeof(*copy));
	f->error = (struct error){0};
	return plan_soon(f->manager, copy, n_documents, 0, on_planned, f, &f->error);
}

static unsigned n_turns;

static int on_other_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)userdata;
	n_turns++;
	(void)sd_event_source_set_time(source, usec);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Some documents in a turn, others have theirs in between; what changes meanwhile is in the plan as it is in the end. */
static void test_in_turns(void **state)
{
	const unsigned n = 10 * PLAN_AT_ONCE;
	struct fixture *f = *state;
	sd_event_source *other;
	struct plan *whole;
	char name[32], text[16 * 1024];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d%02u", i);
		give_domain(f, name, 16, "", "");
		if (i < 4)
			(void)fixture_define(f, name, "", "");
	}
	assert_true(sd_event_add_time_relative(
			    f->event, &other, CLOCK_MONOTONIC, 0, 1, on_other_turn, NULL) >= 0);
	assert_int_equal(plan_later(f), 0);
	RUN_UNTIL(f, n_turns == 4);
	assert_int_equal(f->n_done, 0);
	/* Read already: one is gone, and another one in its place; one is new; one is another. */
	assert_int_equal(manager_undefine(f->manager, domain(f, "d00"), &f->error), 0);
	assert_int_equal(manager_undefine(f->manager, domain(f, "d01"), &f->error), 0);
	(void)fixture_define(f, "d01", "", "<title>new</title>");
	(void)fixture_define(f, "d05", "", "");
	RUN_UNTIL(f, f->n_done == 1);
	assert_true(n_turns >= n / PLAN_AT_ONCE - 1);
	assert_non_null(planned);
	snprintf(text, sizeof(text), "%s", lines(planned));
	whole = make(f, 0);
	assert_string_equal(text, lines(whole));
	for (size_t i = 0; i < whole->n_items; i++)
		assert_ptr_equal(planned->items[i].domain, whole->items[i].domain);
	plan_free(whole);
	plan_free(planned);
	sd_event_source_disable_unref(other);
	/* So many at a time; and the end of the daemon is the end of them. */
	for (unsigned i = 0; i < PLANS_AT_ONCE; i++)
		assert_int_equal(plan_later(f), 0);
	assert_true(plan_later(f) < 0);
	assert_int_equal(f->error.code, ERROR_RESOURCE_BUSY);
	manager_free(f->manager);
	assert_int_equal(f->n_done, 1 + PLANS_AT_ONCE);
	assert_int_equal(f->done_error.code, ERROR_INTERRUPTED);
	assert_null(planned);
	fixture_open_manager(f);
}

static unsigned n_titles;

/* All of them are others. */
static void redefine_all(struct fixture *f, unsigned n)
{
	char name[32], title[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d%02u", i);
		snprintf(title, sizeof(title), "<title>%u</title>", n_titles++);
		assert_int_equal(manager_undefine(f->manager, domain(f, name), &f->error), 0);
		(void)fixture_define(f, name, "", title);
	}
}

static void define_all(struct fixture *f, unsigned n)
{
	char name[32];

	n_turns = 0;
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d%02u", i);
		give_domain(f, name, 16, "", "");
		(void)fixture_define(f, name, "", "");
	}
}

/* All has changed when all is read: it is read again, some in a turn, and the plan is of the end. */
static void test_all_changed(void **state)
{
	const unsigned n = 10 * PLAN_AT_ONCE;
	struct fixture *f = *state;
	sd_event_source *other;
	struct plan *whole;
	unsigned before;
	char text[16 * 1024];

	define_all(f, n);
	assert_true(sd_event_add_time_relative(
			    f->event, &other, CLOCK_MONOTONIC, 0, 1, on_other_turn, NULL) >= 0);
	assert_int_equal(plan_later(f), 0);
	RUN_UNTIL(f, n_turns == n / PLAN_AT_ONCE - 1);
	assert_int_equal(f->n_done, 0);
	redefine_all(f, n);
	before = n_turns;
	RUN_UNTIL(f, f->n_done == 1);
	assert_true(n_turns - before >= n / PLAN_AT_ONCE - 2);
	assert_non_null(planned);
	snprintf(text, sizeof(text), "%s", lines(planned));
	whole = make(f, 0);
	assert_string_equal(text, lines(whole));
	plan_free(whole);
	plan_free(planned);
	/* What changes all the time is no plan's business for ever. */
	before = n_turns;
	f->n_done = 0;
	assert_int_equal(plan_later(f), 0);
	while (!f->n_done) {
		unsigned turn = n_turns;

		redefine_all(f, PLAN_AT_ONCE);
		RUN_UNTIL(f, n_turns > turn || f->n_done);
	}
	assert_null(planned);
	assert_int_equal(f->done_error.code, ERROR_RESOURCE_BUSY);
	assert_non_null(strstr(f->done_error.message, "changes faster than 40 documents"));
	sd_event_source_disable_unref(other);
}

static void test_limits(void **state)
{
	static struct plan_document many[PLAN_MAX_DOCUMENTS + 1];
	struct fixture *f = *state;
	char *big = malloc(PLAN_MAX_BYTES / 16 + 2);
	struct plan *plan;

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct plan_document){"<x/>", "x.xml"};
	assert_true(plan_new(f->manager, many, ARRAY_SIZE(many), 0, &plan, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "4097 documents; at most 4096 at once"));
	memset(big, 'x', PLAN_MAX_BYTES / 16 + 1);
	big[PLAN_MAX_BYTES / 16 + 1] = 0;
	for (size_t i = 0; i < 16; i++)
		many[i].xml = big;
	assert_true(plan_new(f->manager, many, 16, 0, &plan, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "at most 16777216 at once"));
	free(big);
}

static void test_digest(void **state)
{
	struct fixture *f = *state;
	char one[DIGEST_TEXT_SIZE], two[DIGEST_TEXT_SIZE];
	struct plan *plan;

	give_domain(f, "a", 16, "", "");
	for (unsigned i = 0; i < 3; i++) {
		if (i == 2)
			(void)fixture_define(f, "a", "", "");
		plan = make(f, 0);
		plan_digest(plan, i == 0 ? one : two);
		plan_free(plan);
		if (i == 1)
			assert_string_equal(one, two);
	}
	assert_string_not_equal(one, two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)
		T(test_new_changed_same),
		T(test_files_follow),
		T(test_refused),
		T(test_nothing_changes_when_refused),
		T(test_nothing_changes_without_space),
		T(test_prune),
		T(test_running_domain),
		T(test_what_is_not_said),
		T(test_running_is_another),
		T(test_live_failure),
		T(test_running_network),
		T(test_hundreds),
		T(test_in_turns),
		T(test_all_changed),
		T(test_limits),
		T(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
