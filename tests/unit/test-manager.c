/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager: names, ids and UUIDs, definitions that survive it, damaged ones that do not stop it, autostart. */
#include "daemon/manager.h"

#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon-fixture.h"

static void test_find(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "alpha", "", ""),
		      *one = fixture_define(f, "1", "", "");
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(a->uuid, uuid);
	assert_ptr_equal(manager_find(f->manager, "alpha", &f->error), a);
	assert_ptr_equal(manager_find(f->manager, uuid, &f->error), a);
	/* A name that looks like an id is a name until something has that id. */
	assert_ptr_equal(manager_find(f->manager, "1", &f->error), one);
	fixture_start(f, a);
	assert_ptr_equal(manager_find(f->manager, "1", &f->error), a);
	assert_null(manager_find(f->manager, "nosuch", &f->error));
	assert_string_equal(
		f->error.message, "Domain not found: no domain with matching name 'nosuch'");
	assert_int_equal(f->error.code, ERROR_NO_DOMAIN);
	assert_null(manager_find(f->manager, "-1", &f->error));
	assert_null(manager_find(f->manager, "", &f->error));
}

static void test_define_twice_and_clashes(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "one", ""), *d = NULL;
	char extra[96], uuid[UUID_STRING_LEN + 1], want[128];

	/* Another UUID under the same name. */
	assert_int_equal(manager_define(f->manager, fixture_xml(f, "a", "", ""), "x", 0, &d, NULL,
				 &f->error),
		-EEXIST);
	uuid_format(a->uuid, uuid);
	snprintf(want, sizeof(want), "operation failed: domain 'a' already exists with uuid %s",
		uuid);
	assert_string_equal(f->error.message, want);
	/* The same UUID under another name. */
	snprintf(extra, sizeof(extra), "<uuid>%s</uuid>", uuid);
	assert_int_equal(manager_define(f->manager, fixture_xml(f, "b", "", extra), "x", 0, &d,
				 NULL, &f->error),
		-EEXIST);
	/* The same of both: a new definition of the old domain. */
	assert_ptr_equal(fixture_define(f, "a", "two", extra), a);
	assert_non_null(strstr(a->definition->xml, "<cmdline>two</cmdline>"));
	assert_int_equal(f->manager->n_domains, 1);
}

static void test_bad_xml_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct domain *d = NULL;

	assert_true(manager_define(f->manager, "<domain", "bad.xml", 0, &d, NULL, &f->error) < 0);
	assert_int_equal(f->error.code, ERROR_XML_ERROR);
	assert_non_null(strstr(f->error.message, "bad.xml"));
	assert_true(manager_define(f->manager, "<!DOCTYPE domain><domain/>", "bad.xml", 0, &d, NULL,
			    &f->error) < 0);
	assert_true(manager_create(f->manager, "", "bad.xml", 0, 0, fixture_done, f, &d, NULL,
			    &f->error) < 0);
	assert_int_equal(f->manager->n_domains, 0);
	assert_int_equal(f->n_done, 0);
}

static void test_definitions_survive(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "keep me", "");
	uint8_t uuid[16];
	char path[256];
	FILE *file;

	memcpy(uuid, a->uuid, 16);
	assert_int_equal(manager_set_autostart(f->manager, a, true, &f->error), 0);
	fixture_define(f, "b", "", "");
	/* One that does not parse stays on disk and stops nobody. */
	snprintf(path, sizeof(path), "%s/domains/99999999-0000-0000-0000-000000000000.xml",
		f->state);
	file = fopen(path, "w");
	fputs("<domain>half", file);
	fclose(file);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_domains, 2);
	assert_int_equal(access(path, F_OK), 0);
	a = manager_find_uuid(f->manager, uuid);
	assert_non_null(strstr(a->definition->xml, "<cmdline>keep me</cmdline>"));
	assert_true(a->autostart);
	assert_int_equal(manager_undefine(f->manager, a, &f->error), 0);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_domains, 1);
	assert_null(manager_find_uuid(f->manager, uuid));
}

static void define_soon(struct fixture *f, const char *name, const char *cmdline, const char *extra)
{
	const char *given = NULL;

	assert_int_equal(manager_define_soon(f->manager, fixture_xml(f, name, cmdline, extra), "x",
				 0, fixture_done, f, &given, NULL, &f->error),
		0);
	assert_string_equal(given, name);
}

#define TOGETHER 64 /* manager-define.c's */

static int count_syncs(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	*(unsigned *)opaque += step == STORE_STEP_SYNC;
	return 0;
}

/* There is room for one more: others that wait are of domains that are there, and take none. */
static void test_define_soon_full(void **state)
{
	struct fixture *f = *state;
	const unsigned others = VMMD_MAX_DOMAINS - 2;
	const char *name;

	(void)fixture_define(f, "a", "", "");
	f->manager->n_domains += others;
	assert_int_equal(
		manager_define_soon(f->manager, manager_find_name(f->manager, "a")->definition->xml,
			"x", 0, fixture_done, f, &name, NULL, &f->error),
		0);
	define_soon(f, "b", "", "");
	RUN_UNTIL(f, f->n_done == 2);
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_true(manager_define_soon(f->manager, fixture_xml(f, "c", "", ""), "x", 0,
			    fixture_done, f, &name, NULL, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "domains already"));
	f->manager->n_domains -= others;
}

/* What is defined in one turn becomes durable, and is answered, together. */
static void test_define_soon(void **state)
{
	struct fixture *f = *state;
	unsigned n_syncs = 0;

	f->manager->store->fault = count_syncs;
	f->manager->store->fault_opaque = &n_syncs;
	for (unsigned i = 0; i < 3; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "d%u", i);
		define_soon(f, name, "", "");
	}
	assert_int_equal(f->n_done, 0);
	assert_int_equal(f->manager->n_domains, 0);
	RUN_UNTIL(f, f->n_done == 3);
	assert_int_equal(n_syncs, 1);
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(f->manager->n_domains, 3);
	/* While the disk works, others come, and go to it together; and the end of the daemon: all of them are there. */
	n_syncs = 0;
	define_soon(f, "first", "", "");
	RUN_UNTIL(f, f->manager->n_committing == 1 || f->n_done == 4);
	for (unsigned i = 0; i < TOGETHER + 1; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "e%u", i);
		define_soon(f, name, "", "");
	}
	RUN_UNTIL(f, f->n_done == 4 + TOGETHER + 1);
	assert_int_equal(n_syncs, 3);
	define_soon(f, "last", "", "");
	f->manager = manager_free(f->manager);
	assert_int_equal(f->n_done, 4 + TOGETHER + 2);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_domains, 4 + TOGETHER + 2);
}

static unsigned n_ran, n_done_when_ran;

static void ran(void *userdata, bool is_end)
{
	struct fixture *f = userdata;

	assert_false(is_end);
	n_ran++;
	n_done_when_ran = f->n_done;
}

/* Who comes after a definition sees it, and waits in the loop; who defines after him comes after him. */
static void test_wait(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	n_ran = 0;
	for (n = 1; n <= 20; n++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "w%u", n);
		define_soon(f, name, "", "");
		assert_true(manager_is_defining(f->manager));
		assert_int_equal(manager_wait(f->manager, ran, f), 0);
		RUN_UNTIL(f, n_ran == n);
		assert_int_equal(n_done_when_ran, n);
		assert_false(manager_is_defining(f->manager));
	}
	/* Somebody else waits for the disk meanwhile. */
	define_soon(f, "x", "", "");
	assert_int_equal(manager_wait(f->manager, ran, f), 0);
	manager_commit(f->manager);
	assert_int_equal(f->n_done, n);
	RUN_UNTIL(f, n_ran == n);
	assert_false(manager_has_waiters(f->manager));
}

/* Two of one name go in their order; the first one counts. */
static void test_define_soon_clash(void **state)
{
	struct fixture *f = *state;
	const char *name, *same = "<uuid>11111111-2222-3333-4444-555555555555</uuid>";

	define_soon(f, "a", "one", same);
	define_soon(f, "a", "two", same);
	assert_int_equal(f->n_done, 1);
	manager_commit(f->manager);
	assert_int_equal(f->n_done, 2);
	assert_int_equal(f->manager->n_domains, 1);
	assert_non_null(strstr(
		manager_find_name(f->manager, "a")->definition->xml, "<cmdline>two</cmdline>"));
	define_soon(f, "b", "", "");
	assert_int_equal(manager_define_soon(f->manager, fixture_xml(f, "b", "", ""), "x", 0,
				 fixture_done, f, &name, NULL, &f->error),
		-EEXIST);
	assert_int_equal(f->n_done, 3);
	assert_int_equal(f->manager->n_domains, 2);
}

static int full(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)opaque;
	return step == STORE_STEP_RECORD ? -ENOSPC : 0;
}

/* What is not on the disk is not there. */
static void test_define_soon_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "old", "");
	char extra[96], uuid[UUID_STRING_LEN + 1];

	uuid_format(a->uuid, uuid);
	(void)snprintf(extra, sizeof(extra), "<uuid>%s</uuid>", uuid);
	f->manager->store->fault = full;
	define_soon(f, "a", "new", extra);
	define_soon(f, "b", "", "");
	RUN_UNTIL(f, f->n_done == 2);
	assert_string_equal(f->done_error.message,
		"operation failed: cannot save the definition of 'b': No space left on device");
	assert_int_equal(f->manager->n_domains, 1);
	assert_non_null(strstr(a->definition->xml, "<cmdline>old</cmdline>"));
}

/* The journal is of a newer vmmd: domains are there, and can be used, but none is defined, and it is said why. */
static void test_journal_left_out(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	char path[192];
	int fd;

	(void)fixture_define(f, "a", "", "");
	f->manager = manager_free(f->manager);
	(void)snprintf(path, sizeof(path), "%s/journal-0", f->state);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "vmmd-journal 2 and so on", 24, 0), 24);
	close(fd);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_domains, 1);
	fixture_start(f, manager_find_name(f->manager, "a"));
	assert_int_equal(manager_define(f->manager, fixture_xml(f, "b", "", ""), "x", 0, &d, NULL,
				 &f->error),
		-EIO);
	assert_non_null(strstr(f->error.message, "/journal-0 is of a newer vmmd"));
	assert_int_equal(f->manager->n_domains, 1);
	assert_int_equal(unlink(path), 0);
	(void)fixture_define(f, "b", "", "");
}

static void test_undefine_running(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "");

	fixture_start(f, a);
	assert_int_equal(manager_undefine(f->manager, a, &f->error), 0);
	assert_false(domain_is_persistent(a));
	assert_true(domain_is_active(a));
	assert_true(manager_undefine(f->manager, a, &f->error) < 0);
	assert_string_equal(f->error.message,
		"Requested operation is not valid: cannot undefine transient domain");
	assert_true(manager_set_autostart(f->manager, a, true, &f->error) < 0);
	fixture_wait(f, domain_destroy(a, 0, fixture_done, f, &f->error));
	assert_int_equal(f->manager->n_domains, 0);
}

static void test_create(void **state)
{
	struct fixture *f = *state;
	struct domain *d = NULL;

	fixture_wait(f,
		manager_create(f->manager, fixture_xml(f, "t", "", ""), "t.xml", 0,
			DOMAIN_START_PAUSED, fixture_done, f, &d, NULL, &f->error));
	assert_int_equal(d->state, DOMAIN_STATE_PAUSED);
	assert_false(domain_is_persistent(d));
	assert_true(manager_create(f->manager, fixture_xml(f, "t", "", ""), "t.xml", 0, 0,
			    fixture_done, f, &d, NULL, &f->error) < 0);
	assert_int_equal(f->error.code, ERROR_DOMAIN_EXISTS);
	/* One that fails to start leaves nothing. */
	fixture_wait(f,
		manager_create(f->manager, fixture_xml(f, "u", "fake=fail-start", ""), "t.xml", 0,
			0, fixture_done, f, &d, NULL, &f->error));
	assert_int_equal(f->done_error.code, ERROR_INTERNAL);
	assert_null(manager_find_name(f->manager, "u"));
	unlink(f->kernel);
	assert_true(manager_create(f->manager, fixture_xml(f, "v", "", ""), "t.xml", 0, 0,
			    fixture_done, f, &d, NULL, &f->error) < 0);
	assert_null(manager_find_name(f->manager, "v"));
	assert_int_equal(f->manager->n_domains, 1);
}

static const struct contract_entry *report_entry(
	const struct contract_report *report, const char *path)
{
	long i = contract_find(report, path);

	if (i < 0 || !streq(report->entries[i].path, path))
		fail_msg("no entry of %s", path);
	return &report->entries[i];
}

/* A wrong name in <cpu> is found when the domain is defined, not when it is started. */
static void test_cpu_names(void **state)
{
	static const struct {
		const char *cpu, *path;
		int r;
		enum contract_verdict verdict;
		const char *why;
	} cases[] = {
		{"<cpu mode='custom'><model>x86-64-v2</model></cpu>", "cpu/model", 0,
			CONTRACT_HONOURED, NULL},
		{"<cpu mode='custom'><model>Haswell-noTSX-IBRS</model></cpu>", "cpu/model", 0,
			CONTRACT_HONOURED, NULL},
		{"<cpu mode='custom'><model>EPYC-Rome-v2</model></cpu>", "cpu/model", 0,
			CONTRACT_ADAPTED, "the guest gets EPYC-Rome"},
		{"<cpu mode='custom'><model fallback='forbid'>SapphireRapids</model></cpu>",
			"cpu/model", 0, CONTRACT_ADAPTED, "without AMX"},
		{"<cpu mode='host-model'><feature policy='require' name='osxsave'/></cpu>",
			"cpu/feature[1]", 0, CONTRACT_IGNORED, "follows from"},
		{"<cpu mode='custom'>\n<model>i8086</model></cpu>", "cpu/model", -EOPNOTSUPP,
			CONTRACT_REFUSED, "t.xml:2: cpu/model: CPU model 'i8086' is unknown"},
		{"<cpu mode='custom'><model fallback='forbid'>EPYC-v3</model></cpu>", "cpu/model",
			-EOPNOTSUPP, CONTRACT_REFUSED, "write EPYC, or"},
		{"<cpu mode='host-model'><feature policy='disable' name='avx2'/>\n"
		 "<feature policy='disable' name='avx3'/></cpu>",
			"cpu/feature[2]", -EOPNOTSUPP, CONTRACT_REFUSED,
			"t.xml:2: cpu/feature[2]: unknown CPU feature 'avx3'"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(contract_report_freep) struct contract_report *report = NULL;
		const char *xml = fixture_xml(f, "c", "", cases[i].cpu);
		const struct contract_entry *entry;
		struct domain *d;

		assert_int_equal(
			manager_check(xml, "t.xml", 0, NULL, &f->error) < 0, cases[i].r < 0);
		assert_int_equal(
			manager_define(f->manager, xml, "t.xml", 0, &d, &report, &f->error) < 0,
			cases[i].r < 0);
		entry = report_entry(report, cases[i].path);
		assert_int_equal(entry->verdict, cases[i].verdict);
		assert_int_equal(report->counts[CONTRACT_REFUSED], cases[i].r < 0);
		if (cases[i].why &&
			!strstr(cases[i].r < 0 ? f->error.message : entry->why, cases[i].why))
			fail_msg("'%s', '%s'", f->error.message, entry->why);
		assert_int_equal(f->manager->n_domains, cases[i].r == 0);
		if (cases[i].r == 0)
			assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
	}
}

/* virsh dumpxml of a running domain with mode='host-model' can be defined; what is written into the definition then is
 * no more than that. */
static void test_cpu_of_libvirts_live_xml(void **state)
{
	static const char cpu[] = "<cpu mode='custom' match='exact' check='full'>"
				  "<model fallback='forbid'>EPYC-v1</model></cpu>";
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct fixture *f = *state;
	char *live = strdup(fixture_xml(f, "live", "", cpu)), *xml;
	struct domain *d;

	assert_int_equal(
		manager_define(f->manager, live, "t.xml", 0, &d, NULL, &f->error), -EOPNOTSUPP);
	assert_int_equal(asprintf(&xml, "<domain type='kvm' id='7'>%s", strchr(live, '>') + 1),
		strlen(live) + strlen(" id='7'"));
	assert_int_equal(manager_define(f->manager, xml, "t.xml", 0, &d, &report, &f->error), 0);
	assert_int_equal(report_entry(report, "cpu/model")->verdict, CONTRACT_ADAPTED);
	assert_int_equal(report_entry(report, "cpu/model/@fallback")->verdict, CONTRACT_ADAPTED);
	assert_null(strstr(d->definition->xml, "forbid"));
	assert_non_null(strstr(d->definition->xml, ">EPYC-v1</model>"));
	free(live);
	free(xml);
}

static void test_live_and_inactive_xml(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "old", "");
	_cleanup_(freep) char *live = NULL, *inactive = NULL;
	char extra[96] = "<uuid>";

	fixture_start(f, a);
	uuid_format(a->uuid, extra + 6);
	strcat(extra, "</uuid>");
	fixture_define(f, "a", "new", extra);
	assert_int_equal(domain_format_xml(a, false, &live, &f->error), 0);
	assert_int_equal(domain_format_xml(a, true, &inactive, &f->error), 0);
	assert_non_null(strstr(live, "<cmdline>old</cmdline>"));
	assert_non_null(strstr(live, "id='1'"));
	assert_non_null(strstr(inactive, "<cmdline>new</cmdline>"));
	assert_null(strstr(inactive, "id='1'"));
}

static void test_autostart(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", ""), *b = fixture_define(f, "b", "", "");

	assert_int_equal(manager_set_autostart(f->manager, a, true, &f->error), 0);
	manager_autostart(f->manager);
	RUN_UNTIL(f, a->state == DOMAIN_STATE_RUNNING);
	assert_false(domain_is_active(b));
	/* Only at the first start after a boot: a later daemon leaves it off. */
	fixture_wait(f, domain_destroy(a, 0, fixture_done, f, &f->error));
	manager_autostart(f->manager);
	assert_false(domain_is_active(a));
}

static void test_ids(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "");

	assert_int_equal(manager_take_id(f->manager), 1);
	manager_return_id(f->manager, 1);
	fixture_start(f, a);
	assert_int_equal(a->id, 1);
	assert_int_equal(manager_take_id(f->manager), 2);
	/* Round the end, past those that run. */
	f->manager->last_id = INT32_MAX;
	assert_int_equal(manager_take_id(f->manager), 2);
}

static void test_slots_rotate(void **state)
{
	struct fixture *f = *state;
	uint32_t first, second;

	assert_int_equal(manager_take_slot(f->manager, &first), 0);
	assert_int_equal(manager_take_slot(f->manager, &second), 0);
	assert_int_equal(second, (first + 1) % 65536);
}

/* A uid rests a minute before somebody else gets it, and a new daemon goes on with the next. */
static void test_slots_rest(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "");
	uint32_t slot, used;

	fixture_start(f, a);
	used = a->slot;
	fixture_wait(f, domain_destroy(a, 0, fixture_done, f, &f->error));
	f->manager->next_slot = used;
	assert_int_equal(manager_take_slot(f->manager, &slot), 0);
	assert_int_equal(slot, (used + 1) % 65536);
	f->manager->slots_rest_until[used] -= MANAGER_SLOT_REST_S;
	f->manager->next_slot = used;
	assert_int_equal(manager_take_slot(f->manager, &slot), 0);
	assert_int_equal(slot, used);

	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(manager_take_slot(f->manager, &slot), 0);
	assert_int_equal(slot, (used + 1) % 65536);
}

/* As root: a uid that some process runs as is passed over. */
static void test_slots_avoid_uids_in_use(void **state)
{
	struct fixture *f = *state;
	uint32_t base = 400000, slot;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("skipped: only root gives workers uids of their own\n");
		skip();
	}
	pid = fork();
	if (pid == 0) {
		if (setuid(base) == 0)
			pause();
		_exit(1);
	}
	f->manager->options.no_jail = false;
	f->manager->options.uid_base = base;
	f->manager->next_slot = 0;
	for (unsigned i = 0; i < 5000 && getpriority(PRIO_USER, base) < 0; i++)
		usleep(1000);
	assert_int_equal(manager_take_slot(f->manager, &slot), 0);
	assert_int_equal(slot, 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	f->manager->next_slot = 0;
	assert_int_equal(manager_take_slot(f->manager, &slot), 0);
	assert_int_equal(slot, 0);
}

static void test_image_in_use(void **state)
{
	struct fixture *f = *state;
	struct domain *a, *b = NULL;
	char xml[4096], path[128], other[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/disk.img", f->dir);
	snprintf(other, sizeof(other), "%s/other.img", f->dir);
	file = fopen(path, "w");
	assert_int_equal(ftruncate(fileno(file), 1 << 20), 0);
	fclose(file);
	for (int i = 0; i < 2; i++) {
		snprintf(xml, sizeof(xml),
			"<domain type='kvm'><name>d%d</name><memory unit='MiB'>16</memory>"
			"<vcpu>1</vcpu><os><type arch='x86_64'>hvm</type><kernel>%s</kernel></os>"
			"<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>"
			"<source file='%s'/><target dev='vda' "
			"bus='virtio'/></disk></devices></domain>",
			i, f->kernel, i ? other : path);
		assert_int_equal(
			manager_define(f->manager, xml, "d.xml", 0, &b, NULL, &f->error), 0);
	}
	a = manager_find_name(f->manager, "d0");
	fixture_start(f, a);
	assert_true(domain_start(b, 0, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, other));
	assert_int_equal(link(path, other), 0); /* the same image */
	/* The lock lives in the worker's fd, and the error says who that is. */
	assert_int_equal(domain_start(b, 0, fixture_done, f, &f->error), -EBUSY);
	assert_non_null(strstr(f->error.message, other));
	assert_non_null(strstr(f->error.message, "d0"));
	fixture_wait(f, domain_destroy(a, 0, fixture_done, f, &f->error));
	fixture_start(f, b);
}

/* A definition at rest costs its text and little more; what only a run needs comes with it, and goes. */
static void test_definitions_are_small(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "first", "", "");
	size_t before, bytes, xml = strlen(d->definition->xml);
	const unsigned n = 64;
	char name[16];

	assert_int_equal(store_checkpoint_now(f->manager->store), 0);
	before = mallinfo2().uordblks; /* 0 where a sanitizer has its own */
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "small%u", i);
		fixture_define(f, name, "", "");
	}
	/* What the journal has is kept for a moment. */
	assert_int_equal(store_checkpoint_now(f->manager->store), 0);
	bytes = (mallinfo2().uordblks - before) / n;
	if (bytes > xml + 1024)
		fail_msg("%zu bytes for a definition with %zu of XML", bytes, xml);
	assert_true(sizeof(*d) <= 640);
	assert_null(d->run);
	fixture_start(f, d);
	assert_non_null(d->run);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_null(d->run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		T(test_find),
		T(test_define_twice_and_clashes),
		T(test_bad_xml_changes_nothing),
		T(test_definitions_survive),
		T(test_define_soon),
		T(test_define_soon_full),
		T(test_define_soon_clash),
		T(test_wait),
		T(test_define_soon_on_a_full_disk),
		T(test_journal_left_out),
		T(test_undefine_running),
		T(test_create),
		T(test_cpu_names),
		T(test_cpu_of_libvirts_live_xml),
		T(test_live_and_inactive_xml),
		T(test_autostart),
		T(test_ids),
		T(test_slots_rotate),
		T(test_slots_rest),
		T(test_slots_avoid_uids_in_use),
		T(test_image_in_use),
		T(test_definitions_are_small),
	};

	log_init("test-manager", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
