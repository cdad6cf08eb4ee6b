/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker without a machine: it speaks vmm-core/proto.h on fds 3 and 4 as vmmd-worker does, so that the daemon can
 * be tested without KVM, and it can be told to misbehave:
 *
 *	before START	words in argv[1] (the domain's name): no-hello garbage-hello exit-early wrong-version hello-fds; hang-unborn
 *			stops (SIGSTOP) before HELLO, clings lives on when its daemon ends
 *	at START	words fake=WORD in the vm's command line: fail-start no-reply crash garbage bad-type short fds
 *			wrong-seq bad-text back-to-new stop-reading flood exit-quietly
 *	later		fake=mute (answers nothing after START) fake=ignore-quit fake=ignore-button fake=fail-requests
 *			fake=exit-on-eof fake=count (its loop turns all the time) fake=threads (has threads of its vCPUs and iothreads), and lines typed on an attached console: poweroff reset panic pause-io crash
 *			notice-reset exit garbage stop release
 *	balloon		the guest does as it is told, at once, and says of its memory 1000 KiB unused, 2000 KiB available and 3 major
 *			faults; fake=no-stats cannot be asked, fake=mute-stats does not answer; with fake=uses:FILE it uses as many MiB as
 *			the file says now, what it has beyond is usable, and what it lacks comes from its swap
 *	vNICs		come and go at once; fake=refuse-nics takes none, fake=keep-nics releases none before the line
 *			release, fake=nics-crash dies when one is to come
 *	memory devices	come and go at once, and the guest has at once what it is to have; fake=refuse-memory takes none and
 *			changes none, fake=keep-memory gives nothing back
 *	vCPUs		likewise; fake=keep-vcpus releases none before the line release, fake=refuse-vcpus says that it will not
 *
 *	processors	fake=cpuid tells what they are, twice and differently, or what the configuration says they were; fake=cpuid-many and fake=cpuid-short what cannot be;
 *			fake=cpu-lacks, fake=cpu-differs and fake=cpu-tsc do not start for what the host's lack
 *
 * The power button powers off. A console echoes, and says which console has which size when it is resized.
 *
 * As a network's worker it takes ports and counts them where its statistics are: tx_packets of a port goes up when it is
 * added, rx_packets when it is removed, tx_bytes when it is set, tx_gso by its mirrors, rx_gso by 100 from + 10 to + direction of
 * each, rx_multicast when it is a mirror's target; three frames for it are lost. A capture's reader is sent what was asked. A vm's worker counts the links of a vNIC likewise:
 * tx_packets stars, rx_packets direct links, tx_bytes uses, rx_bytes stops, rx_multicast removals, rx_gso and tx_gso
 * configurations with its link down and up. It tells of the direct links that it was given; fake=forget-links tells of none,
 * fake=lie-links of a thousand, fake=other-links of others' instead, fake=busy-links that they are busy but for the newest,
 * fake=unused-links that it
 * sends by none. Words in a network's
 * name: net-fail (at START) net-die (when it has its second port, once a file of that name is gone) net-pair (tells
 * that ports 1 and 2 talk, whenever one is added or set) net-break (tells that port 1 broke its ring) net-uplink
 * (tells that all uplinks are down when it gets its first port, up with the third; of each it reports a failover, and when a
 * daemon comes it tells all of that again) net-team-lie (reports what cannot be) net-address (tells that the port uses
 * 20 addresses, and lies) net-capture (its captures give 300 frames of 8000 bytes, and end) net-keep (they go on, as do those with fake=keep-capture). net-uplink-team has two uplinks, whatever its configuration
 * says; tests of the first end at once, of the other with the next test.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "config/vm-config.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

struct packet {
	struct proto_header header;
	char payload[PROTO_MAX_PAYLOAD];
};

struct fake {
	int control, console;
	uint32_t state, reason, flags;
	char text[PROTO_REASON_MAX];
	char line[128];
	size_t line_len;
	struct vm_config config;
	struct vm_stats_page *stats;
	bool is_network, clings;
	struct net_config net;
	struct net_stats_page *net_stats;
	uint32_t nics, unwanted; /* bits */
	int capture_fd;          /* of a capture that goes on; 'captured' NULL: none */
	struct capture_counts *captured;
	uint32_t memories; /* likewise */
	uint32_t vcpus[PROTO_VCPU_WORDS], wanted_vcpus;
	struct {
		uint32_t id; /* 0: a spare one */
		pthread_t thread;
	} iothreads[VM_MAX_IOTHREADS + 1];
	unsigned n_iothreads;
	unsigned n_ports, n_reports, n_tests;
	bool uplinks_up;
	struct net_team_test test;
	struct proto_links links[VM_MAX_NICS];
};

static bool told(const struct fake *f, const char *word)
{
	char want[64];

	snprintf(want, sizeof(want), "fake=%s", word);
	return strstr(f->config.cmdline, want);
}

static void send_raw(struct fake *f, unsigned type, uint32_t seq, int error, const void *payload,
	size_t len, const int *fds, unsigned n_fds)
{
	struct packet p = {
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

static void send_state(struct fake *f, enum proto_type type)
{
	struct proto_state s = {
		.state = f->state, .reason = f->reason, .pid = (uint32_t)getpid(), .nics = f->nics};

	memcpy(s.uuid, f->is_network ? f->net.uuid : f->config.uuid, 16);
	memcpy(s.text, f->text, sizeof(s.text));
	send_raw(f, type, 0, 0, &s, sizeof(s), NULL, 0);
}

static void set_state(struct fake *f, uint32_t state, uint32_t reason)
{
	f->state = state;
	f->reason = reason;
	send_state(f, PROTO_STATE);
}

static void stop(struct fake *f, uint32_t reason)
{
	set_state(f, PROTO_VM_STOPPED, reason);
	exit(0);
}

static void reply(struct fake *f, uint32_t seq, int error, const char *text)
{
	struct proto_reason r = {0};

	snprintf(r.text, sizeof(r.text), "%s", text);
	send_raw(f, PROTO_REPLY, seq, error, &r, error ? sizeof(r) : 0, NULL, 0);
}

static void notice(struct fake *f, uint32_t kind)
{
	struct proto_notice n = {.kind = kind};

	send_raw(f, PROTO_NOTICE, 0, 0, &n, sizeof(n), NULL, 0);
}

/* A Nehalem that also has x2apic, and lacks nothing but popcnt. */
static void tell_cpuid(struct fake *f, uint32_t tsc_khz)
{
	struct proto_cpuid cpuid = {.n = 4,
		.tsc_khz = tsc_khz,
		.leaves = {{0, 0, 0xb, 0x756e6547, 0x6c65746e, 0x49656e69},
			{1, 0, 0x000106a3, 0x10800, 0x80382201, 0x078bfbfd},
			{0xd, 1 | VM_CPUID_INDEXED, 0, 0, 0, 0},
			{0x80000001, 0, 0, 0, 1, 0x20100800}}};

	/* What it had before, it has again: the counter shows it. */
	if (f->config.n_cpuid) {
		cpuid.n = f->config.n_cpuid;
		memcpy(cpuid.leaves, f->config.cpuid, sizeof(cpuid.leaves));
		cpuid.tsc_khz = 1000000;
	}
	if (told(f, "cpuid-many"))
		cpuid.n = VM_MAX_CPUID_LEAVES + 1;
	send_raw(f, PROTO_CPUID, 0, 0, &cpuid, sizeof(cpuid) - (told(f, "cpuid-short") ? 1 : 0),
		NULL, 0);
}

static void misbehave(struct fake *f)
{
	struct proto_state bad = {.state = PROTO_VM_RUNNING};

	if (told(f, "crash"))
		raise(SIGKILL);
	if (told(f, "garbage"))
		(void)!write(f->control, "nonsense, and not even sixteen", 30);
	if (told(f, "bad-type"))
		send_raw(f, 99, 0, 0, NULL, 0, NULL, 0);
	if (told(f, "short"))
		send_raw(f, PROTO_STATE, 0, 0, "x", 1, NULL, 0);
	if (told(f, "fds"))
		send_raw(f, PROTO_NOTICE, 0, 0, NULL, 0, &f->control, 1);
	if (told(f, "wrong-seq"))
		reply(f, 4711, 0, "");
	if (told(f, "back-to-new"))
		set_state(f, PROTO_VM_NEW, 0);
	if (told(f, "bad-text")) {
		memset(bad.text, 'x', sizeof(bad.text));
		send_raw(f, PROTO_STATE, 0, 0, &bad, sizeof(bad), NULL, 0);
	}
	for (unsigned i = 0; told(f, "flood") && i < 20000; i++)
		notice(f, PROTO_NOTICE_GUEST_RESET);
	if (told(f, "cpuid-many") || told(f, "cpuid-short"))
		tell_cpuid(f, 0);
	if (told(f, "exit-quietly"))
		exit(3);
	while (told(f, "stop-reading"))
		pause();
}

static void take_stats(struct fake *f, int fd)
{
	void *p = mmap(NULL, sizeof(*f->stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return;
	f->stats = p;
	f->stats->magic = STATS_MAGIC;
	f->stats->version = STATS_VERSION;
	for (unsigned i = 0; i < f->config.vcpus; i++)
		stat_add(&f->stats->vcpus[i].exits, 1000000 * (i + 1));
	stat_add(&f->stats->disks[0].rd_reqs, 7);
	for (unsigned i = 0; i < VM_BOOT_X_MAX; i++) {
		struct timespec ts;

		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		stat_add(&f->stats->boot_ns[i],
			(uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
	}
}

static int open_config(struct fake *f, const struct proto_start *s, const int *fds)
{
	for (unsigned i = 0; i < s->n_fds; i++)
		if (s->fds[i].kind == PROTO_FD_CONFIG)
			return memfd_read_sealed(fds[i], &f->config, sizeof(f->config));
	return -ENODATA;
}

static void have_vcpus(struct fake *f, unsigned n)
{
	memset(f->vcpus, 0, sizeof(f->vcpus));
	for (unsigned i = 0; i < n; i++)
		f->vcpus[i / 32] |= UINT32_C(1) << i % 32;
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
static void start_threads(struct fake *f)
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
	start_thread(f, "IO spare", &f->iothreads[f->config.n_iothreads].thread);
	f->n_iothreads = f->config.n_iothreads + 1;
}

/* As the worker: a spare one is called so, or becomes one again. */
static void set_iothread(struct fake *f, const struct packet *p)
{
	struct proto_iothread what;
	char name[32] = "IO spare";

	memcpy(&what, p->payload, sizeof(what));
	for (unsigned i = 0; i < f->n_iothreads; i++) {
		if (f->iothreads[i].id != (what.on ? 0 : what.id))
			continue;
		f->iothreads[i].id = what.on ? what.id : 0;
		if (what.on)
			(void)snprintf(name, sizeof(name), "IO iothread%u", what.id % 10000);
		(void)pthread_setname_np(f->iothreads[i].thread, name);
		reply(f, p->header.seq, 0, "");
		return;
	}
	reply(f, p->header.seq, what.on ? -ENOSPC : -ENOENT, "the worker has no thread left");
}

static void have_memory(struct fake *f, unsigned number, uint64_t kib)
{
	struct vm_stats_memory *stats = &f->stats->memories[number];

	f->memories |= UINT32_C(1) << number;
	stat_set(&stats->requested, kib * 1024);
	if (!told(f, "keep-memory") || stats->plugged < kib * 1024)
		stat_set(&stats->plugged, kib * 1024);
}

static const struct {
	const char *word, *text;
} cpu_errors[] = {
	{"cpu-lacks",
		"cpu: the CPU is incompatible with host CPU: Host CPU does not provide "
		"required features: avx"},
	{"cpu-differs",
		"cpu: operation failed: guest CPU doesn't match specification: missing "
		"features: avx"},
	{"cpu-tsc", "cpu: Requested TSC frequency 1 Hz is outside tolerance range"},
};

static void start(struct fake *f, const struct packet *p, const int *fds, unsigned n_fds)
{
	struct proto_start s;

	memcpy(&s, p->payload, sizeof(s));
	if (p->header.len != sizeof(s) || s.n_fds != n_fds || open_config(f, &s, fds) < 0) {
		reply(f, p->header.seq, -EINVAL, "START: malformed");
		return;
	}
	for (unsigned i = 0; i < n_fds; i++)
		if (s.fds[i].kind == PROTO_FD_STATS)
			take_stats(f, fds[i]);
	f->flags = s.flags;
	f->nics = (UINT32_C(1) << f->config.n_nics) - 1;
	have_vcpus(f, f->config.vcpus);
	for (unsigned i = 0; i < f->config.n_memories; i++)
		have_memory(f, i, f->config.memories[i].requested_kib);
	for (size_t i = 0; i < ARRAY_SIZE(cpu_errors); i++)
		if (told(f, cpu_errors[i].word)) {
			reply(f, p->header.seq, -ENOTSUP, cpu_errors[i].text);
			exit(1);
		}
	if (told(f, "fail-start")) {
		reply(f, p->header.seq, -ENOMEM, "KVM_CREATE_VM: Cannot allocate memory");
		exit(1);
	}
	misbehave(f);
	if (told(f, "threads"))
		start_threads(f);
	f->state = s.flags & PROTO_START_PAUSED ? PROTO_VM_PAUSED : PROTO_VM_RUNNING;
	f->reason = s.flags & PROTO_START_PAUSED ? PROTO_REASON_USER : PROTO_REASON_NONE;
	for (uint32_t i = 0; i < 2 && told(f, "cpuid"); i++)
		tell_cpuid(f, 2400000 + i);
	if (!told(f, "no-reply"))
		reply(f, p->header.seq, 0, "");
}

static void attach(struct fake *f, const struct packet *p, const int *fds, unsigned n_fds)
{
	struct proto_console c;

	memcpy(&c, p->payload, sizeof(c));
	if (n_fds != 1 || (f->console >= 0 && !(c.flags & PROTO_CONSOLE_FORCE))) {
		reply(f, p->header.seq, -EBUSY, "console is in use");
		return;
	}
	if (f->console >= 0)
		close(f->console);
	f->console = dup(fds[0]);
	(void)!write(f->console, "fake console\r\n", 14);
	reply(f, p->header.seq, 0, "");
}

/* Networks. */

static void net_event(struct fake *f, uint32_t kind, uint32_t a, uint32_t b)
{
	struct proto_net_event e = {.kind = kind, .a = a, .b = b};

	send_raw(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void send_team(struct fake *f)
{
	struct net_team_state s = {.policy = NET_TEAM_PORT_ID,
		.by_port = 1,
		.n_members = (uint8_t)f->net.n_uplinks,
		.guests_up = f->uplinks_up,
		.n_active = f->uplinks_up && f->net.n_uplinks,
		.n_reports = f->n_reports,
		.test = f->test};

	memset(s.map, NET_TEAM_NO_MEMBER, sizeof(s.map));
	memset(s.map, 0, f->uplinks_up && f->net.n_uplinks ? 8 : 0);
	for (unsigned i = 0; i < f->net.n_uplinks; i++)
		s.members[i] = (struct net_team_member){.role = NET_ROLE_ACTIVE,
			.state = f->uplinks_up ? TEAM_MEMBER_UP : TEAM_MEMBER_DOWN,
			.cause = TEAM_CAUSE_LINK,
			.flags = f->uplinks_up ? NET_TEAM_LINK | NET_TEAM_ACTIVE : 0,
			.mbps = 1000,
			.since_ns = 1};
	send_raw(f, PROTO_TEAM_STATE, 0, 0, &s, sizeof(s), NULL, 0);
}

static void send_report(struct fake *f, unsigned number)
{
	struct net_team_report r = {.number = number,
		.well_ns = now_ns() - 3000000,
		.detected_ns = now_ns() - 2000000,
		.from = number % 2 && f->net.n_uplinks ? 0 : NET_TEAM_NO_MEMBER,
		.to = number % 2 || !f->net.n_uplinks ? NET_TEAM_NO_MEMBER : 0,
		.cause = TEAM_CAUSE_LINK,
		.detector = TEAM_BY_POLL,
		.frames_lost = 5,
		.ports_moved = 1,
		.macs_announced = 2,
		.n_macs = 1,
		.macs = {{.mac = {2, 0, 0, 0, 0, 1}, .vid = 10}}};

	r.switched_ns = r.detected_ns + 1000000;
	send_raw(f, PROTO_TEAM_REPORT, 0, 0, &r, sizeof(r), NULL, 0);
}

static void uplinks_change(struct fake *f, bool up)
{
	f->uplinks_up = up;
	send_report(f, ++f->n_reports);
	send_team(f);
}

static void team_test(struct fake *f, const struct packet *p)
{
	struct proto_team_test test;

	memcpy(&test, p->payload, sizeof(test));
	if (test.member > 1 || (test.member == 1 && f->test.phase == NET_TEST_OUT)) {
		reply(f, p->header.seq, -EBUSY, "");
		return;
	}
	f->test = (struct net_team_test){.number = ++f->n_tests,
		.phase = test.member ? NET_TEST_OUT : NET_TEST_DONE,
		.member = (uint8_t)test.member,
		.was_active = 1,
		.moved = 3,
		.switched_ns = 1000,
		.first_out_ns = 2500000,
		.first_in_ns = UINT64_MAX,
		.back_ns = test.ms * UINT64_C(1000000)};
	send_team(f);
	reply(f, p->header.seq, 0, "");
}

static void start_network(struct fake *f, const struct packet *p, const int *fds, unsigned n_fds)
{
	struct proto_start s;

	memcpy(&s, p->payload, sizeof(s));
	if (p->header.len != sizeof(s) || s.n_fds != n_fds || s.fds[0].kind != PROTO_FD_CONFIG ||
		memfd_read_sealed(fds[0], &f->net, sizeof(f->net)) < 0) {
		reply(f, p->header.seq, -EINVAL, "START: malformed");
		return;
	}
	for (unsigned i = 0; i < n_fds; i++)
		if (s.fds[i].kind == PROTO_FD_STATS)
			f->net_stats = mmap(NULL, sizeof(*f->net_stats), PROT_READ | PROT_WRITE,
				MAP_SHARED, fds[i], 0);
	f->is_network = true;
	if (strstr(f->net.name, "net-uplink-team"))
		f->net.n_uplinks = 2;
	if (strstr(f->net.name, "net-fail")) {
		reply(f, p->header.seq, -ENOMEM, "the switch: Cannot allocate memory");
		exit(1);
	}
	f->state = PROTO_VM_RUNNING;
	reply(f, p->header.seq, 0, "");
}

static void count_mirrors(struct net_port_counters *c, const struct packet *p)
{
	struct proto_port port;

	memcpy(&port, p->payload, sizeof(port));
	net_count(&c->tx_gso, port.n_mirrors);
	for (unsigned i = 0; i < port.n_mirrors; i++)
		net_count(&c->rx_gso,
			port.mirrors[i].from * 100U + port.mirrors[i].to * 10U +
				port.mirrors[i].direction);
	net_count(&c->rx_multicast, (port.config.flags & NET_PORT_MIRROR) != 0);
}

static void port_request(struct fake *f, const struct packet *p, unsigned n_fds)
{
	struct net_port_counters *c;
	uint32_t port;

	memcpy(&port, p->payload, sizeof(port));
	c = &f->net_stats->ports[port];
	if (p->header.type == PROTO_PORT_ADD) {
		reply(f, p->header.seq, n_fds == PROTO_LINK_FDS ? 0 : -EINVAL, "");
		net_count(&c->tx_packets, 1);
		count_mirrors(c, p);
		net_count(&c->rx_drops[NET_DROP_FULL], 3);
		net_count(&c->rx_dropped, 3);
		f->n_ports++;
	} else if (p->header.type == PROTO_PORT_SET) {
		reply(f, p->header.seq, 0, "");
		net_count(&c->tx_bytes, 1);
	} else {
		reply(f, p->header.seq, 0, "");
		net_count(&c->rx_packets, 1);
		return;
	}
	if (strstr(f->net.name, "net-die") && f->n_ports == 2 &&
		access("/tmp/fake-worker-net-die", F_OK) == 0) {
		(void)unlink("/tmp/fake-worker-net-die");
		raise(SIGKILL);
	}
	if (strstr(f->net.name, "net-uplink") && p->header.type == PROTO_PORT_ADD &&
		f->n_ports % 2 == 1)
		uplinks_change(f, f->n_ports == 3);
	if (strstr(f->net.name, "net-team-lie")) {
		f->net.n_uplinks++;
		send_team(f);
	}
	if (strstr(f->net.name, "net-pair"))
		net_event(f, PROTO_NET_PAIR, 1, 2);
	if (strstr(f->net.name, "net-break"))
		net_event(f, PROTO_NET_LINK_BROKEN, 1, 0);
	if (strstr(f->net.name, "net-address")) {
		struct proto_net_event e = {.kind = PROTO_NET_ADDRESS, .a = port};

		for (unsigned i = 0; i < 20; i++) {
			struct proto_port message;

			memcpy(&message, p->payload, sizeof(message));
			memcpy(e.mac, message.config.mac, NET_MAC_LEN);
			e.ip = (struct net_ip){
				.family = 4, .prefix = 32, .bytes = {10, 9, 0, (uint8_t)(i + 1)}};
			send_raw(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
			/* Another's address, and nonsense, are not believed. */
			e.mac[5] ^= 1;
			send_raw(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
			e.mac[5] ^= 1;
			e.ip.family = 9;
			send_raw(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
		}
	}
}

static struct proto_link_state *find_link(struct proto_links *links, uint32_t id)
{
	for (unsigned i = 0; i < links->n; i++)
		if (links->links[i].id == id)
			return &links->links[i];
	return NULL;
}

static void keep_link(struct fake *f, const struct packet *p, const struct proto_link_id *id)
{
	struct proto_links *links = &f->links[id->nic];
	struct proto_link_state *l = find_link(links, id->id);
	struct proto_link link;

	memcpy(&link, p->payload, sizeof(link));
	if (p->header.type == PROTO_LINK_ADD && id->id != PROTO_LINK_STAR &&
		links->n < PROTO_MAX_LINKS)
		links->links[links->n++] = (struct proto_link_state){
			.id = id->id, .peer_port = (uint16_t)link.peer_port};
	else if (p->header.type == PROTO_LINK_USE && l)
		l->flags = (uint16_t)id->flags;
	else if (p->header.type == PROTO_LINK_REMOVE && l)
		*l = links->links[--links->n];
}

static void list_links(struct fake *f, const struct packet *p)
{
	struct proto_links links;
	struct proto_nic_id id;

	memcpy(&id, p->payload, sizeof(id));
	links = f->links[id.nic];
	links.nic = id.nic;
	if (told(f, "forget-links"))
		links.n = 0;
	if (told(f, "lie-links"))
		links.n = 1000;
	for (unsigned i = 0; i < links.n && i < PROTO_MAX_LINKS; i++) {
		if (told(f, "other-links"))
			links.links[i].peer_port ^= 2;
		f->links[id.nic].links[i].frames += i + 1 < links.n ? 100000 : 1;
		if (!told(f, "busy-links"))
			links.links[i].frames = 0;
		if (told(f, "unused-links"))
			links.links[i].flags = 0;
	}
	send_raw(f, PROTO_LINKS, 0, 0, &links, sizeof(links), NULL, 0);
	reply(f, p->header.seq, 0, "");
}

static void link_request(struct fake *f, const struct packet *p, unsigned n_fds)
{
	struct net_port_counters *c;
	struct proto_link_id id; /* begins as struct proto_link and struct proto_nic do */

	memcpy(&id, p->payload, sizeof(id));
	c = &f->stats->nics[id.nic];
	if (told(f, "refuse-direct") && id.id != PROTO_LINK_STAR) {
		reply(f, p->header.seq, -ENOSPC, "told to refuse");
		return;
	}
	reply(f, p->header.seq, 0, "");
	if (p->header.type == PROTO_NIC_SET) {
		struct proto_nic nic;

		memcpy(&nic, p->payload, sizeof(nic));
		net_count(nic.port.flags & NET_PORT_LINK_DOWN ? &c->rx_gso : &c->tx_gso, 1);
	}
	keep_link(f, p, &id);
	if (p->header.type == PROTO_NIC_ANNOUNCE)
		net_count(&c->tx_dropped, 1);
	if (p->header.type == PROTO_LINK_ADD && n_fds == PROTO_LINK_FDS)
		net_count(id.id == PROTO_LINK_STAR ? &c->tx_packets : &c->rx_packets, 1);
	else if (p->header.type == PROTO_LINK_USE)
		net_count(id.flags & PROTO_LINK_ON ? &c->tx_bytes : &c->rx_bytes, 1);
	else if (p->header.type == PROTO_LINK_REMOVE)
		net_count(&c->rx_multicast, 1);
}

static void release_nics(struct fake *f)
{
	f->nics &= ~f->unwanted;
	f->unwanted = 0;
	if (f->captured) {
		f->captured->ended = CAPTURE_ENDED_SOURCE;
		(void)shutdown(f->capture_fd, SHUT_RDWR);
	}
	send_state(f, PROTO_STATE);
}

static void plug_request(struct fake *f, const struct packet *p)
{
	struct proto_nic_add add;
	struct proto_nic_id id; /* begins as that does */
	int r;

	memcpy(&id, p->payload, sizeof(id));
	if (p->header.type == PROTO_NIC_REMOVE) {
		r = f->nics >> id.nic & 1 ? 0 : -ENODEV;
		reply(f, p->header.seq, r, r < 0 ? "no such vNIC" : "");
		f->unwanted |= r < 0 ? 0 : UINT32_C(1) << id.nic;
		if (!told(f, "keep-nics"))
			release_nics(f);
		return;
	}
	memcpy(&add, p->payload, sizeof(add));
	if (told(f, "nics-crash"))
		raise(SIGKILL);
	r = told(f, "refuse-nics") ? -EEXIST : 0;
	if (add.nic >= VM_MAX_NICS || f->nics >> add.nic & 1 || !add.config.port.mac[0])
		r = -EINVAL;
	if (r == 0)
		f->nics |= UINT32_C(1) << add.nic;
	reply(f, p->header.seq, r, r < 0 ? "told to refuse" : "");
}

static void send_memories(struct fake *f)
{
	struct proto_memories memories = {f->memories};

	send_raw(f, PROTO_MEMORIES, 0, 0, &memories, sizeof(memories), NULL, 0);
}

static void memory_request(struct fake *f, const struct packet *p)
{
	struct proto_notice n = {.kind = PROTO_NOTICE_MEMORY};
	struct proto_memory_set set;
	struct proto_memory_add add;

	memcpy(&set, p->payload, sizeof(set)); /* the others begin as that does */
	memcpy(&add, p->payload, sizeof(add));
	if (told(f, "refuse-memory")) {
		reply(f, p->header.seq, -EBUSY, "told to refuse");
		return;
	}
	reply(f, p->header.seq, 0, "");
	if (p->header.type == PROTO_MEMORY_REMOVE) {
		f->memories &= ~(UINT32_C(1) << set.number);
		send_memories(f);
		return;
	}
	have_memory(f, set.number,
		p->header.type == PROTO_MEMORY_SET ? set.kib : add.config.requested_kib);
	n.index = set.number;
	send_raw(f, PROTO_NOTICE, 0, 0, &n, sizeof(n), NULL, 0);
}

static unsigned count_vcpus(const struct fake *f)
{
	unsigned n = 0;

	while (f->vcpus[n / 32] >> n % 32 & 1)
		n++;
	return n;
}

static void send_vcpus(struct fake *f)
{
	struct proto_vcpus vcpus;

	memcpy(vcpus.bits, f->vcpus, sizeof(vcpus.bits));
	send_raw(f, PROTO_VCPUS, 0, 0, &vcpus, sizeof(vcpus), NULL, 0);
}

static void set_vcpus(struct fake *f, const struct packet *p)
{
	struct proto_notice notice = {.kind = PROTO_NOTICE_VCPU_REFUSED};
	struct proto_vcpu_set set;
	bool fewer;

	memcpy(&set, p->payload, sizeof(set));
	f->wanted_vcpus = set.n;
	fewer = set.n < count_vcpus(f);
	if (fewer && told(f, "refuse-vcpus")) {
		notice.index = count_vcpus(f) - 1;
		reply(f, p->header.seq, 0, "");
		send_raw(f, PROTO_NOTICE, 0, 0, &notice, sizeof(notice), NULL, 0);
		return;
	}
	if (!fewer || !told(f, "keep-vcpus")) {
		have_vcpus(f, set.n);
		send_vcpus(f);
	}
	reply(f, p->header.seq, 0, "");
}

static void resize(struct fake *f, const struct packet *p)
{
	struct proto_console_size size;

	memcpy(&size, p->payload, sizeof(size));
	if (f->console >= 0)
		dprintf(f->console, "%u %u is %ux%u\r\n", size.kind, size.index, size.cols,
			size.rows);
	reply(f, p->header.seq, 0, "");
}

/* By a process of its own, as fast as the reader takes them. */
static void capture_many(int fd)
{
	struct {
		struct capture_record record;
		uint8_t frame[8000];
	} packet = {.record = {.len = htobe32(sizeof(packet.frame))}};
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (fork() != 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; i < 300; i++) {
		packet.frame[0] = (uint8_t)(i % 3);
		packet.record.time_ns = htobe64(now_ns());
		while (send(fd, &packet, sizeof(packet), MSG_NOSIGNAL) < 0)
			if (errno != EAGAIN || poll(&p, 1, 10000) <= 0)
				_exit(1);
	}
	(void)shutdown(fd, SHUT_RDWR);
	_exit(0);
}

/* The reader is told what was asked, and 7 frames are counted; that is the end, or all goes on until a vNIC goes. */
static void capture(struct fake *f, const struct packet *p, const int *fds, unsigned n_fds)
{
	struct capture_counts *counts;

	if (n_fds != PROTO_CAPTURE_FDS)
		return;
	if (strstr(f->net.name, "net-capture")) {
		capture_many(fds[0]);
		return;
	}
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	if (counts == MAP_FAILED)
		return;
	(void)!write(fds[0], p->payload, sizeof(struct proto_capture));
	counts->frames = 7;
	counts->bytes = 700;
	counts->lost = 1;
	if (strstr(f->net.name, "net-keep") || told(f, "keep-capture")) {
		f->capture_fd = dup(fds[0]);
		f->captured = counts;
		return;
	}
	counts->ended = CAPTURE_ENDED_SOURCE;
	(void)shutdown(fds[0], SHUT_RDWR);
}

/* What the guest of fake=uses:FILE says. */
static void tell_use(struct fake *f)
{
	struct vm_stats_balloon *stats = &f->stats->balloon;
	const char *word = strstr(f->config.cmdline, "fake=uses:");
	uint64_t mib = 0, has_mib = (f->config.memory_kib - stats->actual * 4) / 1024;
	char path[256];
	FILE *file;

	if (!word || sscanf(word, "fake=uses:%255s", path) != 1)
		return;
	file = fopen(path, "re");
	if (!file || fscanf(file, "%" SCNu64, &mib) != 1)
		mib = 0;
	if (file)
		(void)fclose(file);
	stat_set(&stats->known, 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6);
	stat_set(&stats->values[4], 0);
	stat_set(&stats->values[6], has_mib > mib ? (has_mib - mib) << 20 : 0);
	stat_add(&stats->values[0], mib > has_mib ? (mib - has_mib) << 20 : 0);
}

static void balloon_request(struct fake *f, const struct packet *p)
{
	struct vm_stats_balloon *stats = &f->stats->balloon;
	struct proto_notice n = {.kind = PROTO_NOTICE_BALLOON_STATS};
	struct proto_balloon what;

	if (p->header.type == PROTO_BALLOON_SET) {
		memcpy(&what, p->payload, sizeof(what));
		reply(f, p->header.seq, 0, "");
		if (!(what.flags & PROTO_BALLOON_TARGET))
			return;
		stat_set(&stats->target, what.target);
		stat_set(&stats->actual, what.target);
		n = (struct proto_notice){.kind = PROTO_NOTICE_BALLOON, .index = what.target};
	} else if (told(f, "no-stats")) {
		reply(f, p->header.seq, -ENODATA, "");
		return;
	} else {
		reply(f, p->header.seq, 0, "");
		if (told(f, "mute-stats"))
			return;
		stat_set(&stats->known, 1 << 2 | 1 << 4 | 1 << 5);
		stat_set(&stats->values[2], 3);
		stat_set(&stats->values[4], 1000 * 1024);
		stat_set(&stats->values[5], 2000 * 1024);
		tell_use(f);
		stat_set(&stats->updated_ns, now_ns());
		stat_add(&stats->updates, 1);
	}
	send_raw(f, PROTO_NOTICE, 0, 0, &n, sizeof(n), NULL, 0);
}

/* A kernel that counts only these; or one that does not say. */
static void mmu_request(struct fake *f, const struct packet *p)
{
	struct vm_stats_mmu *mmu = &f->stats->mmu;

	if (told(f, "no-mmu")) {
		reply(f, p->header.seq, -ENOTSUP, "");
		return;
	}
	stat_set(&mmu->known, 1 << VM_MMU_PAGES_4K | 1 << VM_MMU_PAGES_2M | 1 << VM_MMU_FAULTS);
	stat_set(&mmu->values[VM_MMU_PAGES_4K], 300);
	stat_set(&mmu->values[VM_MMU_PAGES_2M], 7);
	stat_add(&mmu->values[VM_MMU_FAULTS], 1000);
	reply(f, p->header.seq, 0, "");
}

static void request(struct fake *f, const struct packet *p, const int *fds, unsigned n_fds)
{
	uint32_t seq = p->header.seq;

	if (p->header.type == PROTO_START || p->header.type == PROTO_START_NETWORK)
		(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	if (p->header.type == PROTO_START) {
		start(f, p, fds, n_fds);
		return;
	}
	if (p->header.type == PROTO_START_NETWORK) {
		start_network(f, p, fds, n_fds);
		return;
	}
	if (told(f, "mute"))
		return;
	if (told(f, "fail-requests")) {
		reply(f, seq, -EIO, "told to fail");
		return;
	}
	switch (p->header.type) {
	case PROTO_PAUSE:
		reply(f, seq, 0, "");
		set_state(f, PROTO_VM_PAUSED, PROTO_REASON_USER);
		break;
	case PROTO_RESUME:
		reply(f, seq, 0, "");
		set_state(f, PROTO_VM_RUNNING, PROTO_REASON_USER);
		break;
	case PROTO_POWER_BUTTON:
		reply(f, seq, 0, "");
		if (!told(f, "ignore-button"))
			stop(f, PROTO_REASON_GUEST_POWEROFF);
		break;
	case PROTO_QUIT:
		if (told(f, "ignore-quit"))
			break;
		reply(f, seq, 0, "");
		stop(f, PROTO_REASON_USER);
		break;
	case PROTO_CONSOLE_ATTACH:
		attach(f, p, fds, n_fds);
		break;
	case PROTO_CONSOLE_RESIZE:
		resize(f, p);
		break;
	case PROTO_CAPTURE:
		capture(f, p, fds, n_fds);
		reply(f, seq, told(f, "no-capture") ? -EBUSY : 0, "");
		break;
	case PROTO_PING:
	case PROTO_RESET:
	case PROTO_INJECT_NMI:
		reply(f, seq, 0, "");
		break;
	case PROTO_NIC_SET:
	case PROTO_NIC_ANNOUNCE:
	case PROTO_LINK_ADD:
	case PROTO_LINK_USE:
	case PROTO_LINK_REMOVE:
		link_request(f, p, n_fds);
		break;
	case PROTO_LINK_LIST:
		list_links(f, p);
		break;
	case PROTO_VCPU_SET:
		set_vcpus(f, p);
		break;
	case PROTO_IOTHREAD:
		set_iothread(f, p);
		break;
	case PROTO_NIC_ADD:
	case PROTO_NIC_REMOVE:
		plug_request(f, p);
		break;
	case PROTO_MEMORY_SET:
	case PROTO_MEMORY_ADD:
	case PROTO_MEMORY_REMOVE:
		memory_request(f, p);
		break;
	case PROTO_MMU_STATS:
		mmu_request(f, p);
		break;
	case PROTO_BALLOON_SET:
	case PROTO_BALLOON_STATS:
		balloon_request(f, p);
		break;
	case PROTO_TEAM_LOOK:
		send_team(f);
		reply(f, seq, 0, "");
		break;
	case PROTO_TEAM_TEST:
		team_test(f, p);
		break;
	case PROTO_PORT_ADD:
	case PROTO_PORT_SET:
	case PROTO_PORT_REMOVE:
		port_request(f, p, n_fds);
		break;
	default:
		reply(f, seq, -ENOTSUP, "unknown request");
	}
}

static void console_line(struct fake *f)
{
	if (strcmp(f->line, "poweroff") == 0)
		stop(f, PROTO_REASON_GUEST_POWEROFF);
	if (strcmp(f->line, "reset") == 0) {
		if (f->flags & PROTO_START_STOP_ON_RESET)
			stop(f, PROTO_REASON_GUEST_RESET);
		notice(f, PROTO_NOTICE_GUEST_RESET);
	}
	if (strcmp(f->line, "panic") == 0) {
		if (f->flags & PROTO_START_STOP_ON_PANIC)
			stop(f, PROTO_REASON_PANICKED);
		set_state(f, PROTO_VM_PAUSED, PROTO_REASON_PANICKED);
	}
	if (strcmp(f->line, "pause-io") == 0)
		set_state(f, PROTO_VM_PAUSED, PROTO_REASON_IO_ERROR);
	if (strcmp(f->line, "crash") == 0)
		raise(SIGKILL);
	if (strcmp(f->line, "exit") == 0)
		exit(9);
	if (strcmp(f->line, "garbage") == 0)
		(void)!write(f->control, "bad", 3);
	if (strcmp(f->line, "stop") == 0)
		raise(SIGSTOP);
	if (strcmp(f->line, "release") == 0) {
		if (f->wanted_vcpus)
			have_vcpus(f, f->wanted_vcpus);
		release_nics(f);
		if (f->wanted_vcpus)
			send_vcpus(f);
	}
}

/* All of it: a guest would wait, too. */
static void echo(struct fake *f, const char *buf, size_t size)
{
	while (size) {
		struct pollfd p = {.fd = f->console, .events = POLLOUT};
		ssize_t n = write(f->console, buf, size);

		if (n < 0 && (errno != EAGAIN || poll(&p, 1, 10000) <= 0))
			return;
		buf += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
}

static void console_input(struct fake *f)
{
	char buf[64];
	ssize_t n = read(f->console, buf, sizeof(buf));

	if (n <= 0) {
		close(f->console);
		f->console = -1;
		return;
	}
	echo(f, buf, (size_t)n);
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n' && buf[i] != '\r') {
			if (f->line_len < sizeof(f->line) - 1)
				f->line[f->line_len++] = buf[i];
			continue;
		}
		f->line[f->line_len] = 0;
		f->line_len = 0;
		console_line(f);
	}
}

static void control_input(struct fake *f)
{
	int fds[PROTO_MAX_FDS];
	unsigned n_fds = 0;
	struct packet p;
	ssize_t n = recv_packet(f->control, &p, sizeof(p), fds, PROTO_MAX_FDS, &n_fds);

	if (n <= 0) {
		if ((f->state == PROTO_VM_NEW && !f->clings) || told(f, "exit-on-eof"))
			exit(1);
		close(f->control);
		f->control = -1;
		return;
	}
	request(f, &p, fds, n_fds);
	/* What came with START is kept, as a worker does: a disk's lock lives in its fd. */
	for (unsigned i = 0;
		i < n_fds && p.header.type != PROTO_START && p.header.type != PROTO_START_NETWORK;
		i++)
		close(fds[i]);
}

static void accept_control(struct fake *f)
{
	int fd = accept4(PROTO_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (f->control >= 0)
		close(f->control);
	f->control = fd;
	send_state(f, PROTO_HELLO);
	if (f->state != PROTO_VM_NEW && !f->is_network)
		send_vcpus(f);
	if (f->is_network && strstr(f->net.name, "net-uplink")) {
		for (unsigned i = 1; i <= f->n_reports; i++)
			send_report(f, i);
		send_team(f);
	}
}

static void hello(struct fake *f, const char *name)
{
	struct proto_header old = {.version = 77, .type = PROTO_HELLO};

	if (strstr(name, "exit-early"))
		exit(7);
	if (strstr(name, "hang-unborn"))
		raise(SIGSTOP);
	if (strstr(name, "clings")) {
		(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
		f->clings = true;
	}
	if (strstr(name, "garbage-hello"))
		(void)!write(f->control, "hello?", 6);
	else if (strstr(name, "wrong-version"))
		(void)!write(f->control, &old, sizeof(old));
	else if (strstr(name, "hello-fds"))
		send_raw(f, PROTO_HELLO, 0, 0, NULL, 0, &f->control, 1);
	else if (!strstr(name, "no-hello"))
		send_state(f, PROTO_HELLO);
}

int main(int argc, char **argv)
{
	static struct fake fake = {.control = PROTO_CONTROL_FD, .console = -1};

	/* As vmmd-worker does: the reader of its log may go away. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* Of a sanitizer these are handled otherwise. */
	(void)signal(SIGSEGV, SIG_DFL);
	(void)signal(SIGBUS, SIG_DFL);
	(void)signal(SIGABRT, SIG_DFL);
	hello(&fake, argc > 1 ? argv[1] : "");
	fprintf(stderr, "fake worker %s runs\n", argc > 1 ? argv[1] : "");
	for (;;) {
		struct pollfd fds[] = {
			{.fd = fake.control, .events = POLLIN},
			{.fd = PROTO_LISTEN_FD, .events = POLLIN},
			{.fd = fake.console, .events = POLLIN},
		};

		if (poll(fds, 3, told(&fake, "count") ? 5 : -1) < 0)
			continue;
		if (fake.stats)
			stat_add(&fake.stats->heartbeat, 1);
		if (fds[1].revents)
			accept_control(&fake);
		else if (fds[0].revents)
			control_input(&fake);
		else if (fds[2].revents)
			console_input(&fake);
	}
}
