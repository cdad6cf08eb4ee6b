/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vNICs with taps of their own, in the daemon: a fake worker holds the fds, the interfaces are real ones in a network
 * namespace of the test's own. */
#include "daemon/domain-nic.h"

#include <json-c/json.h>
#include <linux/if_link.h>
#include <signal.h>
#include <sys/wait.h>

#include "daemon-fixture.h"
#include "daemon/api.h"
#include "daemon/domain-internal.h"
#include "daemon/host-link.h"
#include "daemon/host-net.h"
#include "link-fixture.h"

#define BRIDGE_OF(last, more)                                                                      \
	"<interface type='bridge'><mac address='52:54:00:00:00:" last                              \
	"'/><source bridge='br0'/>" more "</interface>"
#define BRIDGE(more) BRIDGE_OF("01", more)
#define DIRECT(mode)                                                                               \
	"<interface type='direct'><mac address='52:54:00:00:00:04'/><source dev='eth7' "           \
	"mode='" mode "'/></interface>"

static int setup(void **state)
{
	link_make_bridge("br0", 0);
	return fixture_setup(state);
}

static int teardown(void **state)
{
	int r = fixture_teardown(state);

	link_remove_bridge("br0");
	return r;
}

static struct domain *define(struct fixture *f, const char *name, const char *devices)
{
	f->devices = devices;
	return fixture_define(f, name, "", "");
}

static void destroy(struct fixture *f, struct domain *d)
{
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
}

static bool has_file(struct fixture *f, const struct domain *d)
{
	char path[256], uuid[UUID_STRING_LEN + 1];

	uuid_format(d->uuid, uuid);
	snprintf(path, sizeof(path), "%s/domains/%s/nics", f->runtime, uuid);
	return access(path, F_OK) == 0;
}

static void assert_live_xml(const struct domain *d, const char *text)
{
	_cleanup_(freep) char *xml = NULL;
	struct error e = {0};

	assert_int_equal(domain_format_xml(d, false, &xml, &e), 0);
	if (!strstr(xml, text))
		fail_msg("no %s in:\n%s", text, xml);
}

static void keep_reply(struct api_call *call, struct json_object *out, int fd)
{
	struct json_object **ret = call->transport;

	assert_int_equal(fd, -EBADF);
	*ret = json_object_get(out);
}

static void no_failure(struct api_call *call, const struct error *error)
{
	(void)call;
	fail_msg("%s", error->message);
}

/* Without a network's switch to see them, addresses are those that the host has met. */
static void test_addresses(void **state)
{
	static const struct api_call_ops ops = {.reply = keep_reply, .fail = no_failure};
	struct fixture *f = *state;
	struct domain *d = define(f, "a", BRIDGE(""));
	struct json_object *out = NULL, *list, *first;
	struct api_call call = {.n_ref = 1,
		.method = api_find_method("ListInterfaceAddresses"),
		.manager = f->manager,
		.ops = &ops,
		.transport = &out,
		.in = json_object_new_object()};

	json_object_object_add(call.in, "domain", json_object_new_string("a"));
	fixture_start(f, d);
	assert_int_equal(system("ip link set br0 up && ip neigh add 10.0.0.5 lladdr "
				"52:54:00:00:00:01 dev br0 nud permanent && ip neigh add 10.0.0.6 "
				"lladdr 52:54:00:00:00:02 dev br0 nud permanent"),
		0);
	assert_int_equal(api_list_interface_addresses(&call, &f->error), 0);
	list = json_object_object_get(out, "addresses");
	assert_int_equal(json_object_array_length(list), 1);
	first = json_object_array_get_idx(list, 0);
	assert_string_equal(
		json_object_get_string(json_object_object_get(first, "target")), "vnet0");
	assert_string_equal(
		json_object_get_string(json_object_object_get(first, "address")), "10.0.0.5");
	assert_int_equal(json_object_get_int(json_object_object_get(first, "prefix")), 0);
	json_object_put(out);
	json_object_put(call.in);
	assert_int_equal(system("ip link set br0 down"), 0);
	destroy(f, d);
}

static void test_bridge(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "a", BRIDGE("") BRIDGE_OF("02", "<target dev='tap9'/>"));
	unsigned nic;

	assert_string_equal(domain_nic_target(d, 0), "");
	fixture_start(f, d);
	assert_true(link_is_in("br0", "vnet0"));
	assert_true(link_is_in("br0", "tap9"));
	assert_true(link_is_up("vnet0"));
	assert_int_equal((uint8_t)link_query("vnet0", SIOCGIFHWADDR).ifr_hwaddr.sa_data[5], 1);
	assert_string_equal(domain_nic_target(d, 0), "vnet0");
	assert_string_equal(domain_nic_target(d, 1), "tap9");
	assert_ptr_equal(domain_nic_find(f->manager, "tap9", &nic), d);
	assert_int_equal(nic, 1);
	assert_null(domain_nic_find(f->manager, "", &nic));
	assert_live_xml(d, "<target dev='vnet0'/>");
	/* Nothing to say about an MTU that is the usual one. */
	assert_int_equal(d->live->vm.nics[0].port.mtu, 0);
	/* The worker alone holds them. */
	assert_int_equal(d->run->resources.n, 0);
	destroy(f, d);
	assert_int_equal(if_nametoindex("vnet0"), 0);
	assert_int_equal(if_nametoindex("tap9"), 0);
	assert_false(has_file(f, d));
	assert_string_equal(domain_nic_target(d, 0), "");
}

static void test_mtu(void **state)
{
	struct fixture *f = *state;
	struct ifreq ifr = {.ifr_mtu = 9000};
	struct domain *d;

	assert_int_equal(link_try("br0", SIOCSIFMTU, &ifr), 0);
	d = define(f, "a", BRIDGE("") BRIDGE_OF("02", "<mtu size='1400'/>"));
	fixture_start(f, d);
	assert_int_equal(d->live->vm.nics[0].port.mtu, 9000);
	assert_int_equal(link_query("vnet0", SIOCGIFMTU).ifr_mtu, 9000);
	assert_int_equal(d->live->vm.nics[1].port.mtu, 1400);
	assert_int_equal(link_query("vnet1", SIOCGIFMTU).ifr_mtu, 1400);
	destroy(f, d);
}

/* Names are free ones: of the host, of other domains, of ports of networks. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;
	struct error e = {0};
	struct domain *a, *b;
	int fd;

	assert_int_equal(
		host_net_make_tap("vnet0", (const uint8_t[NET_MAC_LEN]){0}, 0, &fd, &e), 0);
	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n.xml",
				 0, &n, NULL, &f->error),
		0);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	/* A port of a network is no interface, and may have a name that the host has. */
	a = define(f, "a",
		BRIDGE("") "<interface type='network'><mac address='52:54:00:00:00:03'/><source "
			   "network='red'/></interface>");
	fixture_start(f, a);
	assert_string_equal(domain_nic_target(a, 0), "vnet1");
	assert_string_equal(domain_nic_target(a, 1), "vnet0");
	b = define(f, "b", BRIDGE(""));
	fixture_start(f, b);
	assert_string_equal(domain_nic_target(b, 0), "vnet2");
	destroy(f, a);
	destroy(f, b);
	close(fd);
}

static void assert_no_start(struct fixture *f, const char *devices, const char *text)
{
	static unsigned n;
	struct domain *d;
	char name[16];

	snprintf(name, sizeof(name), "no%u", n++);
	d = define(f, name, devices);
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	if (!strstr(f->error.message, text))
		fail_msg("%s", f->error.message);
	assert_false(domain_is_active(d));
	assert_int_equal(if_nametoindex("vnet0"), 0);
	assert_false(has_file(f, d));
	assert_string_equal(domain_nic_target(d, 0), "");
	f->error = (struct error){0};
}

/* What fails leaves nothing behind, also what had worked before it. */
static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	assert_no_start(f, "<interface type='bridge'><source bridge='nosuch'/></interface>",
		"the host has no bridge 'nosuch'");
	assert_no_start(f, "<interface type='bridge'><source bridge='lo'/></interface>", "'lo'");
	assert_no_start(
		f, BRIDGE("<target dev='br0'/>"), "the host has an interface 'br0' already");
	assert_no_start(f, BRIDGE("<vlan><tag id='4'/></vlan>"), "does not filter VLANs");
	assert_no_start(f,
		BRIDGE("") "<interface type='ethernet'><target dev='nosuch' managed='no'/>"
			   "</interface>",
		"the host has no tap 'nosuch'");
	assert_no_start(f, BRIDGE("") "<interface type='direct'><source dev='nosuch'/></interface>",
		"the host has no network interface 'nosuch'");
	/* A later step fails. */
	d = define(f, "a", BRIDGE(""));
	free(f->manager->worker_path);
	f->manager->worker_path = strdup("/nosuch/worker");
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_int_equal(if_nametoindex("vnet0"), 0);
	assert_false(has_file(f, d));
}

/* The worker fails, or dies: the taps go with it, and a restart has them again. */
static void test_failing_worker(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	f->devices = BRIDGE("");
	d = fixture_define(f, "a", "fake=fail-start", "");
	fixture_wait(f, domain_start(d, 0, fixture_done, f, &f->error));
	assert_true(f->done_error.code);
	RUN_UNTIL(f, if_nametoindex("vnet0") == 0);
	d = fixture_define(f, "b", "", "<on_crash>restart</on_crash>");
	fixture_start(f, d);
	kill(worker_pid(d->worker), SIGKILL);
	RUN_UNTIL(f, fixture_saw(f, "reboot b  "));
	assert_true(link_is_in("br0", "vnet0"));
	destroy(f, d);
	assert_int_equal(if_nametoindex("vnet0"), 0);
}

static void test_ethernet(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "a",
		"<interface type='ethernet'><mac address='52:54:00:00:00:03'/></interface>"
		"<interface type='ethernet'><target dev='mine'/></interface>");

	fixture_start(f, d);
	assert_true(link_is_up("vnet0"));
	assert_false(link_is_in("br0", "vnet0"));
	assert_true(link_is_up("mine"));
	destroy(f, d);
	assert_int_equal(if_nametoindex("mine"), 0);
}

/* A new daemon knows what the taps are called, and the MTU that the guest was told. */
static void test_readoption(void **state)
{
	struct fixture *f = *state;
	struct ifreq ifr = {.ifr_mtu = 4000};
	struct domain *d, *other;
	uint8_t uuid[16];

	assert_int_equal(link_try("br0", SIOCSIFMTU, &ifr), 0);
	d = define(f, "a", BRIDGE("<target dev='tap9'/>") BRIDGE_OF("02", ""));
	fixture_start(f, d);
	memcpy(uuid, d->uuid, 16);
	f->manager = manager_free(f->manager);
	assert_true(link_is_in("br0", "vnet0"));
	fixture_open_manager(f);
	d = manager_find_uuid(f->manager, uuid);
	assert_string_equal(domain_nic_target(d, 0), "tap9");
	assert_string_equal(domain_nic_target(d, 1), "vnet0");
	assert_int_equal(d->live->vm.nics[1].port.mtu, 4000);
	assert_live_xml(d, "<target dev='vnet0'/>");
	RUN_UNTIL(f, worker_is_connected(d->worker));
	other = define(f, "b", "<interface type='ethernet'/>");
	fixture_start(f, other);
	assert_string_equal(domain_nic_target(other, 0), "vnet1");
	destroy(f, other);
	destroy(f, d);
	assert_int_equal(if_nametoindex("vnet0"), 0);
}

/* A file that is damaged costs names, no domain. */
static void test_damaged_file(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "a", BRIDGE(""));
	uint8_t uuid[16];

	fixture_start(f, d);
	memcpy(uuid, d->uuid, 16);
	assert_int_equal(
		store_save_runtime(&f->manager->store->domains, uuid, "nics",
			"\n99 x - 52:54:00:00:00:01 1500\n0 ../x - 52:54:00:00:00:01 1500\n0 y z\n"
			"0 y - 52:54:00:00:00:01 70000\n"
			"1 ok - 52:54:00:00:00:01 1500\n0 y ? 52:54:00"),
		0);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find_uuid(f->manager, uuid);
	assert_true(domain_is_active(d));
	assert_string_equal(domain_nic_target(d, 0), "");
	assert_string_equal(domain_nic_target(d, 1), "ok");
	destroy(f, d);
}

/* A NIC for macvtaps to be on: a tap, too. */
static int nic_fd;
static bool have_macvtap;

static int setup_direct(void **state)
{
	static const uint8_t mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 7}, own[NET_MAC_LEN] = {2, 1};
	struct host_macvtap probe = {"probe0", "eth7", own, 0, MACVLAN_MODE_BRIDGE};
	struct error e = {0};
	int fd;

	assert_int_equal(host_net_make_tap("eth7", mac, 0, &nic_fd, &e), 0);
	have_macvtap = host_link_make_macvtap(&probe, &fd, &e) == 0;
	if (have_macvtap) {
		close(fd);
		assert_int_equal(host_link_remove_macvtap("probe0", "eth7", own), 0);
	} else {
		print_message("skipped: %s\n", e.message);
	}
	return setup(state);
}

static int teardown_direct(void **state)
{
	int r = teardown(state);

	close(nic_fd);
	return r;
}

static void test_direct(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	if (!have_macvtap)
		skip();
	d = define(f, "a", DIRECT("bridge"));
	fixture_start(f, d);
	assert_string_equal(domain_nic_target(d, 0), "macvtap0");
	assert_true(link_is_up("macvtap0"));
	assert_live_xml(d, "<source dev='eth7' mode='bridge'/>\n      <target dev='macvtap0'/>");
	destroy(f, d);
	assert_int_equal(if_nametoindex("macvtap0"), 0);
	/* A later step fails. */
	d = define(f, "b",
		DIRECT("vepa") "<interface type='ethernet'><target dev='br0'/></interface>");
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_int_equal(if_nametoindex("macvtap0"), 0);
}

/* It outlives its worker and the daemon: the next one removes it, and none that is another's. */
static void test_direct_left(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	pid_t pid;

	if (!have_macvtap)
		skip();
	d = define(f, "a", DIRECT("private"));
	fixture_start(f, d);
	pid = worker_pid(d->worker);
	f->manager = manager_free(f->manager);
	assert_true(if_nametoindex("macvtap0"));
	/* While it runs it stays. */
	fixture_open_manager(f);
	assert_true(if_nametoindex("macvtap0"));
	f->manager = manager_free(f->manager);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	fixture_open_manager(f);
	assert_int_equal(if_nametoindex("macvtap0"), 0);
	assert_false(domain_is_active(manager_find_name(f->manager, "a")));
}

/* A daemon that was killed before it had a worker. */
static void test_direct_cut_short(void **state)
{
	struct fixture *f = *state;
	struct domain_config *config;
	struct domain *d;
	uint8_t uuid[16];
	int dir, fd;

	if (!have_macvtap)
		skip();
	d = define(f, "a", DIRECT("private"));
	memcpy(uuid, d->uuid, 16);
	assert_int_equal(definition_parse(d->definition, &config), 0);
	assert_int_equal(domain_set_live(d, config), 0);
	assert_int_equal(store_open_runtime(&f->manager->store->domains, uuid, true, &dir), 0);
	close(dir);
	assert_int_equal(domain_nic_prepare(d, 0, &f->error), 0);
	assert_int_equal(domain_nic_open(d, 0, &fd, &f->error), 0);
	close(fd);
	f->manager = manager_free(f->manager);
	assert_true(if_nametoindex("macvtap0"));
	fixture_open_manager(f);
	assert_int_equal(if_nametoindex("macvtap0"), 0);
}

int main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TD(f) cmocka_unit_test_setup_teardown(f, setup_direct, teardown_direct)
	const struct CMUnitTest tests[] = {
		T(test_bridge),
		T(test_addresses),
		T(test_mtu),
		T(test_names),
		T(test_refusals),
		T(test_failing_worker),
		T(test_ethernet),
		T(test_readoption),
		T(test_damaged_file),
		TD(test_direct),
		TD(test_direct_left),
		TD(test_direct_cut_short),
	};

	return netns_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
