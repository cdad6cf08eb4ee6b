/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks in the daemon: definitions, their life, net-update, the first network. */
#include "daemon/network.h"

#include "config/network-update.h"
#include "network-fixture.h"

static void test_definitions(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", ""), *other;
	char uuid[UUID_STRING_LEN + 1], extra[96], want[160];

	uuid_format(n->uuid, uuid);
	assert_ptr_equal(network_find(f->manager, "red", &f->error), n);
	assert_ptr_equal(network_find(f->manager, uuid, &f->error), n);
	assert_null(network_find(f->manager, "blue", &f->error));
	assert_string_equal(
		f->error.message, "Network not found: no network with matching name 'blue'");
	assert_int_equal(f->error.code, ERROR_NO_NETWORK);
	/* The name under another UUID, the UUID under another name. */
	assert_int_equal(
		network_define(f->manager,
			net_xml("red", "<uuid>11111111-1111-1111-1111-111111111111</uuid>"), "x", 0,
			&other, NULL, &f->error),
		-EEXIST);
	(void)snprintf(want, sizeof(want),
		"operation failed: network 'red' already exists with uuid %s", uuid);
	assert_string_equal(f->error.message, want);
	(void)snprintf(extra, sizeof(extra), "<uuid>%s</uuid>", uuid);
	assert_int_equal(
		network_define(f->manager, net_xml("blue", extra), "x", 0, &other, NULL, &f->error),
		-EEXIST);
	assert_true(network_define(f->manager, "<network/>", "x", 0, &other, NULL, &f->error) < 0);
	assert_int_equal(f->manager->n_networks, 1);
	assert_int_equal(network_set_autostart(n, true, &f->error), 0);
	/* All of it survives the daemon. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	n = network_find(f->manager, "red", &f->error);
	assert_non_null(n);
	assert_true(n->autostart);
	assert_false(network_is_active(n));
	assert_int_equal(network_undefine(n, &f->error), 0);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_networks, 0);
}

static void test_start_and_destroy(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");

	assert_true(network_is_active(n));
	assert_true(fixture_saw(f, "network lifecycle red Started"));
	assert_int_equal(network_start(n, fixture_done, f, &f->error), -ENOTCONN);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: network is already active");
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_false(network_is_active(n));
	assert_true(fixture_saw(f, "network lifecycle red Stopped"));
	assert_int_equal(network_destroy(n, fixture_done, f, &f->error), -ENOTCONN);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_true(network_is_active(n));
}

static void test_start_fails(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "net-fail", "");

	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_non_null(strstr(f->done_error.message, "the switch: Cannot allocate memory"));
	assert_false(network_is_active(n));
	assert_false(fixture_saw(f, "network lifecycle net-fail Started"));
}

static void test_transient(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;

	fixture_wait(f,
		network_create(f->manager, net_xml("t", ""), "t.xml", 0, fixture_done, f, &n, NULL,
			&f->error));
	assert_false(network_is_persistent(n));
	assert_int_equal(network_undefine(n, &f->error), -ENOTCONN);
	assert_int_equal(network_set_autostart(n, true, &f->error), -ENOTCONN);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(f->manager->n_networks, 0);
	/* Undefined while it runs: transient from then. */
	n = running(f, "p");
	assert_int_equal(network_undefine(n, &f->error), 0);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(f->manager->n_networks, 0);
}

static void test_redefined_while_active(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	char uuid[UUID_STRING_LEN + 1], extra[128], *xml;

	uuid_format(n->uuid, uuid);
	(void)snprintf(extra, sizeof(extra), "<uuid>%s</uuid><mtu size='9000'/>", uuid);
	assert_ptr_equal(define(f, "red", extra), n);
	assert_int_equal(network_format_xml(n, false, &xml, &f->error), 0);
	assert_null(strstr(xml, "9000"));
	free(xml);
	assert_int_equal(network_format_xml(n, true, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "9000"));
	free(xml);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(network_format_xml(n, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "9000"));
	free(xml);
}

static int update(
	struct fixture *f, struct network *n, unsigned section, const char *xml, unsigned flags)
{
	const struct network_update u = {
		NETWORK_UPDATE_ADD_LAST, section, -1, xml, strlen(xml), "u"};

	return network_update_section(n, &u, flags, &f->error);
}

static bool has(const struct network *n, bool inactive, const char *part)
{
	struct error e = {0};
	char *xml = NULL;
	bool found;

	assert_int_equal(network_format_xml(n, inactive, &xml, &e), 0);
	found = strstr(xml, part);
	free(xml);
	return found;
}

#define GROUP(name) "<portgroup name='" name "'/>"

static void test_update(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", "");
	unsigned section = NETWORK_SECTION_PORTGROUP;

	assert_int_equal(update(f, n, section, GROUP("a"), NETWORK_UPDATE_LIVE), -ENOTCONN);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: network is not running");
	/* Inactive: "current" is the definition. */
	assert_int_equal(update(f, n, section, GROUP("a"), 0), 0);
	assert_true(has(n, true, "name='a'") && has(n, false, "name='a'"));
	assert_true(fixture_saw(f, "network lifecycle red Changed"));
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	/* Active: what runs, the definition, or both. */
	assert_int_equal(update(f, n, section, GROUP("live"), 0), 0);
	assert_true(has(n, false, "'live'") && !has(n, true, "'live'"));
	assert_int_equal(update(f, n, section, GROUP("kept"), NETWORK_UPDATE_CONFIG), 0);
	assert_true(!has(n, false, "'kept'") && has(n, true, "'kept'"));
	/* Both or none: it is there in one of them. */
	assert_int_equal(
		update(f, n, section, GROUP("kept"), NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG),
		-ENOTCONN);
	assert_false(has(n, false, "'kept'"));
	assert_int_equal(
		update(f, n, section, GROUP("b"), NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG), 0);
	assert_true(has(n, false, "'b'") && has(n, true, "'b'"));
	/* Both survive the daemon. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	n = network_find(f->manager, "red", &f->error);
	RUN_UNTIL(f, n->worker && worker_is_connected(n->worker));
	assert_true(has(n, false, "'live'") && !has(n, true, "'live'"));
	assert_true(!has(n, false, "'kept'") && has(n, true, "'kept'"));
	/* A domain can have it at once. */
	fixture_start(f, define_domain(f, "vm", "red", "", "<mac address='52:54:00:00:00:01'/>"));
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_true(has(n, false, "'kept'") && !has(n, false, "'live'"));
}

static int fail_record(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)opaque;
	return step == STORE_STEP_RECORD ? -ENOSPC : 0;
}

static void test_update_refused(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red"), *t = NULL;
	unsigned both = NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG;

	assert_int_equal(
		update(f, n, NETWORK_SECTION_FORWARD_INTERFACE, "<interface dev='eth1'/>", 0),
		-ENOTSUP);
	assert_string_equal(f->error.message,
		"Operation not supported: network 'red' has no uplinks, and keeps the way out that "
		"it was started with; write --config, and start it anew");
	assert_int_equal(update(f, n, NETWORK_SECTION_BRIDGE, "<bridge name='x'/>", 0), -ENOSYS);
	assert_string_equal(f->error.message,
		"this function is not supported by the connection driver: can't update 'bridge' "
		"section of network 'red'");
	assert_int_equal(f->error.code, ERROR_NO_SUPPORT);
	assert_int_equal(update(f, n, NETWORK_SECTION_PORTGROUP, "<portgroup/>", 0), -EBADMSG);
	assert_int_equal(f->error.code, ERROR_XML_ERROR);
	/* The disk is full: what runs goes back. */
	f->manager->store->fault = fail_record;
	assert_int_equal(update(f, n, NETWORK_SECTION_PORTGROUP, GROUP("a"), both), -ENOSPC);
	f->manager->store->fault = NULL;
	assert_false(has(n, false, "'a'") || has(n, true, "'a'"));
	fixture_wait(f,
		network_create(f->manager, net_xml("t", ""), "t.xml", 0, fixture_done, f, &t, NULL,
			&f->error));
	assert_int_equal(update(f, t, NETWORK_SECTION_PORTGROUP, GROUP("a"), both), -ENOTCONN);
	assert_string_equal(f->error.message,
		"Requested operation is not valid: cannot change persistent config of a transient "
		"network");
	assert_int_equal(update(f, t, NETWORK_SECTION_PORTGROUP, GROUP("a"), 0), 0);
	assert_true(has(t, false, "'a'"));
}

#define DEFAULT_XML TESTS_SOURCE_DIR "/daemon/default-network.xml"

static void reopen(struct fixture *f)
{
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	network_define_default(f->manager, DEFAULT_XML);
}

static void test_default_network(void **state)
{
	struct fixture *f = *state;
	const struct network_config *c;
	struct network *n;

	/* A package without it, then one with it. */
	network_define_default(f->manager, "/nonexistent/default.xml");
	assert_int_equal(f->manager->n_networks, 0);
	network_define_default(f->manager, DEFAULT_XML);
	n = network_find(f->manager, "default", &f->error);
	assert_non_null(n);
	assert_true(n->autostart && network_is_persistent(n));
	c = n->config;
	assert_int_equal(c->forward, NETWORK_NAT);
	assert_string_equal(c->bridge, "virbr0");
	assert_int_equal(c->n_ips, 1);
	assert_memory_equal(c->ips[0].ip.bytes, "\xc0\xa8\x7a\x01", 4);
	assert_int_equal(c->ips[0].ip.prefix, 24);
	assert_int_equal(c->ips[0].ranges[0].start.bytes[3], 2);
	assert_int_equal(c->ips[0].ranges[0].end.bytes[3], 254);
	reopen(f);
	assert_int_equal(f->manager->n_networks, 1);
	n = network_find(f->manager, "default", &f->error);
	assert_true(n && n->autostart);
	/* Whoever removes it does not get it back. */
	assert_int_equal(network_undefine(n, &f->error), 0);
	reopen(f);
	assert_int_equal(f->manager->n_networks, 0);
}

static void test_no_default_beside_others(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", "");

	reopen(f);
	assert_int_equal(f->manager->n_networks, 1);
	n = network_find(f->manager, "red", &f->error);
	assert_false(n->autostart);
	assert_int_equal(network_undefine(n, &f->error), 0);
	reopen(f);
	assert_int_equal(f->manager->n_networks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_definitions),
		TEST(test_start_and_destroy),
		TEST(test_start_fails),
		TEST(test_transient),
		TEST(test_redefined_while_active),
		TEST(test_update),
		TEST(test_update_refused),
		TEST(test_default_network),
		TEST(test_no_default_beside_others),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
