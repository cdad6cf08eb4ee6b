/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-balloon (virtio 1.2, 5.5): memory that the guest gives up, or that it has free anyhow, goes back to the host.
 *
 * Queues:
 *	inflate		page numbers; the pages go back to the host, neighbours by one call
 *	deflate		page numbers; nothing is to be done: a page that is touched again is there again, as zeroes
 *	statistics	one buffer of the driver's that is kept until somebody asks; given back, it comes again with new numbers
 *	reporting	ranges that are free now (page reporting); they go back as they are, and the guest may use them again as
 *			soon as it has the buffer back
 * That the driver must tell before it uses a page again (MUST_TELL_HOST) is not asked for: it is there when it is touched.
 * Free page hints (5.5.6.6) are not offered: a driver may write to a hinted page before the hint is read, so that to throw the
 * page away then would lose data. They are of use to a migration that tracks what is written, and there is none.
 *
 * How many pages are to be given up (num_pages) is the host's wish and outlives resets; how many are (actual) is what the
 * driver says, and no more than a number to show. Statistics are asked for by machine_balloon_ops.ask() or by a timer if the
 * configuration has a period; without either nothing wakes up, and the same is true while the driver does nothing.
 *
 * Hostile drivers: pages that are no RAM are skipped; a page may come twice, or be one that somebody uses: it is the guest's own
 * memory that is lost, and whoever reads or writes it for the guest finds zeroes. A kick takes KICK_PAGES pages' worth of
 * work, the rest comes on the next turns: the chain then waits in its queue, and 'done' is how far it has come.
 *
 * Memory that is locked is never given back, memory of huge pages by whole huge pages only, so that for these page reporting is
 * not offered unless the configuration asks for it: their owner wanted to have them for certain.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtio-pci.h"
#include "vmm-core/base/log.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

/* Feature bits (5.5.3). */
#define F_STATS_VQ       1
#define F_DEFLATE_ON_OOM 2
#define F_PAGE_POISON    4
#define F_REPORTING      5

/* Queues as the specification numbers them (5.5.2). 3 is that of the hints. */
enum { Q_INFLATE, Q_DEFLATE, Q_STATS, Q_REPORTING = 4, N_QUEUES, Q_NONE = N_QUEUES };

#define PAGE_LEN   UINT64_C(4096) /* of the page numbers, whatever the machine's pages are */
#define BATCH      512            /* page numbers that are sorted together */
#define KICK_PAGES 2048           /* 8 MiB: a few milliseconds */
#define CALL_PAGES 4              /* what a call to the kernel costs beside, in pages */
#define PIECE_LEN  MIB(4)         /* of a report, at a time */
#define STAT_LEN   10
#define MAX_STATS  64           /* of one buffer */
#define MAX_SWAPS  8            /* buffers of statistics in one kick; an honest driver has one */
#define TELL_NS    NSEC_PER_SEC /* between two reports of 'actual' */

struct balloon_config {
	uint32_t num_pages;
	uint32_t actual;
	uint32_t free_page_hint_cmd_id;
	uint32_t poison_val;
};
static_assert(sizeof(struct balloon_config) == 16, "5.5.4");

struct virtio_balloon {
	struct virtio_device v;
	uint32_t total;  /* pages that the guest has */
	uint32_t target; /* num_pages */
	uint32_t actual;
	uint32_t poison;
	uint32_t done[N_QUEUES]; /* bytes of the chain that waits, by queue */
	bool keeps;              /* memory is locked: it stays */
	bool stats_out;          /* the driver's buffer of statistics is here */
	uint16_t stats_head;
	bool asked; /* somebody waits for statistics */
	uint32_t period_s;
	struct loop_timer stats_timer;
	struct loop_timer tell_timer; /* 'actual' changed again too soon to be told */
	uint64_t told_ns;
};

static struct virtio_balloon *balloon_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_balloon, v);
}

static struct virtio_balloon *balloon_of_device(struct device *dev)
{
	return balloon_of(virtio_pci_device(dev));
}

/* Where the numbers go that others read. */
static struct vm_stats_balloon *stats_of(const struct virtio_balloon *b)
{
	struct vm_stats_page *page = b->v.machine->stats;

	return page ? &page->balloon : NULL;
}

/* What queue 'index' is for. The specification gives each its number, needed or not; drivers (Linux's among them) number those
 * that they use without gaps. Which of it holds is seen from what the driver has enabled. */
static unsigned role_of(const struct virtio_device *v, unsigned index)
{
	bool stats = virtio_has_feature(v, F_STATS_VQ);
	bool reporting = virtio_has_feature(v, F_REPORTING);
	unsigned reporting_at = Q_REPORTING;

	if (index <= Q_DEFLATE)
		return index;
	if (!v->queues[Q_REPORTING].enabled)
		reporting_at = stats ? Q_STATS + 1 : Q_STATS;
	if (stats && index == Q_STATS)
		return Q_STATS;
	return reporting && index == reporting_at ? Q_REPORTING : Q_NONE;
}

/* The queue of the statistics: the same by either way of counting. */
static bool has_stats_queue(const struct virtio_device *v)
{
	return virtio_has_feature(v, F_STATS_VQ) && v->queues[Q_STATS].enabled;
}

/* Giving back. */

static void give_back(struct virtio_balloon *b, void *host, uint64_t len, bool reported)
{
	struct vm_stats_balloon *stats = stats_of(b);
	int64_t n = b->keeps ? 0 : guest_mem_discard(b->v.machine->mem, host, len);

	/* Of what is no whole page of the host's nothing went back, and the kernel was not asked. */
	if (n <= 0 || !stats)
		return;
	stat_add(&stats->calls, 1);
	stat_add(reported ? &stats->reported : &stats->given_back, (uint64_t)n);
}

/* Answers what it cost, in pages. */
static unsigned give_back_run(struct virtio_balloon *b, uint32_t pfn, unsigned n)
{
	struct guest_mem *mem = b->v.machine->mem;
	unsigned cost = 0;

	while (n) {
		struct gpa gpa = GPA(pfn * PAGE_LEN);
		uint64_t span = guest_mem_span(mem, gpa, n * PAGE_LEN);
		unsigned here = (unsigned)MIN(span / PAGE_LEN, (uint64_t)n);

		if (here) {
			give_back(b, guest_mem_ptr(mem, gpa, here * PAGE_LEN), here * PAGE_LEN,
				/* reported= */ false);
			cost += CALL_PAGES + here;
		} else {
			log_guest("%s: page 0x%x is not in memory", b->v.name, pfn);
			here = 1;
			cost++;
		}
		pfn += here;
		n -= here;
	}
	return cost;
}

/* Shell's: in place, no worse than n^(4/3). The C library's qsort() asks the kernel how much memory there is, which a worker may
 * not. */
static void sort(uint32_t *pfns, unsigned n)
{
	static const unsigned gaps[] = {281, 77, 23, 8, 1};

	for (unsigned g = 0; g < ARRAY_SIZE(gaps); g++)
		for (unsigned i = gaps[g]; i < n; i++) {
			uint32_t pfn = pfns[i];
			unsigned at = i;

			for (; at >= gaps[g] && pfns[at - gaps[g]] > pfn; at -= gaps[g])
				pfns[at] = pfns[at - gaps[g]];
			pfns[at] = pfn;
		}
}

/* Pages in any order, any of them twice: what lies together goes together. Answers the cost. */
static unsigned give_back_pages(struct virtio_balloon *b, uint32_t *pfns, unsigned n)
{
	unsigned cost = 0, i = 0;

	sort(pfns, n);
	while (i < n) {
		uint32_t first = pfns[i], last = first;

		while (++i < n && pfns[i] - last <= 1)
			last = pfns[i];
		cost += give_back_run(b, first, last - first + 1);
	}
	return cost;
}

/* The next page numbers of a chain, from byte 'offset' on; answers how many. */
static unsigned read_pages(const struct virtq_chain *c, uint32_t offset, uint32_t pfns[BATCH])
{
	unsigned n =
		(unsigned)virtq_chain_read(c, offset, pfns, BATCH * sizeof(*pfns)) / sizeof(*pfns);

	for (unsigned i = 0; i < n; i++)
		pfns[i] = le32toh(pfns[i]);
	return n;
}

/* Go on with a chain. Takes off '*budget' what it costs; true when the chain is done with. */
static bool inflate(
	struct virtio_balloon *b, const struct virtq_chain *c, uint32_t *done, int *budget)
{
	uint32_t pfns[BATCH];
	unsigned n;

	while (*budget > 0) {
		n = read_pages(c, *done, pfns);
		if (!n)
			return true;
		*done += n * (uint32_t)sizeof(*pfns);
		*budget -= (int)give_back_pages(b, pfns, n);
	}
	return false;
}

/* The same with the ranges of a report, which are of whole blocks of the guest's allocator: a piece at a time. */
static bool report(
	struct virtio_balloon *b, const struct virtq_chain *c, uint32_t *done, int *budget)
{
	uint64_t piece = MAX(PIECE_LEN, b->v.machine->mem->page_len);
	uint32_t before = 0;

	for (unsigned i = 0; i < c->n_writable; i++) {
		const struct iovec *part = &c->iov[i];

		while (*done - before < part->iov_len) {
			uint32_t from = *done - before;
			uint64_t len;

			if (*budget <= 0)
				return false;
			len = MIN((uint64_t)part->iov_len - from, piece);
			/* Poisoned pages are looked at when they are used again, and zeroes are no poison. */
			if (!b->poison)
				give_back(b, (uint8_t *)part->iov_base + from, len,
					/* reported= */ true);
			*done += (uint32_t)len;
			*budget -= (int)(DIV_ROUND_UP(len, PAGE_LEN) + CALL_PAGES);
		}
		before += (uint32_t)part->iov_len;
	}
	return true;
}

static bool deflate(
	struct virtio_balloon *b, const struct virtq_chain *c, uint32_t *done, int *budget)
{
	(void)b;
	(void)c;
	(void)done;
	(void)budget;
	return true;
}

/* One kick of a queue of pages. */
static void take_chains(struct virtio_balloon *b, unsigned index, bool writable,
	bool (*go_on)(
		struct virtio_balloon *b, const struct virtq_chain *c, uint32_t *done, int *budget))
{
	int budget = KICK_PAGES;
	struct virtq_chain c;

	while (virtio_pop(&b->v, index, &c)) {
		if (writable ? c.n_readable : c.n_writable) {
			virtio_fail(&b->v, "queue %u: a buffer for the wrong direction", index);
			break;
		}
		if (budget <= 0 || !go_on(b, &c, &b->done[index], &budget)) {
			virtio_unpop(&b->v, index);
			virtio_kick_later(&b->v, index);
			break;
		}
		b->done[index] = 0;
		/* Also for one without a page in it: a driver that refills as fast as we pop must not hold the loop. */
		budget -= CALL_PAGES;
		virtio_push(&b->v, index, c.head, 0);
	}
	virtio_flush(&b->v, index);
}

/* Statistics. */

static void note_stats(struct virtio_balloon *b, const struct virtq_chain *c)
{
	struct vm_stats_balloon *stats = stats_of(b);
	uint64_t known = 0;
	uint8_t entry[STAT_LEN];

	for (unsigned i = 0; stats && i < MAX_STATS; i++) {
		uint16_t tag;
		uint64_t value;

		if (virtq_chain_read(c, i * STAT_LEN, entry, STAT_LEN) < STAT_LEN)
			break;
		memcpy(&tag, entry, sizeof(tag));
		memcpy(&value, entry + sizeof(tag), sizeof(value));
		tag = le16toh(tag);
		if (tag >= VM_BALLOON_TAGS)
			continue;
		stat_set(&stats->values[tag], le64toh(value));
		known |= UINT64_C(1) << tag;
	}
	if (!stats || !c->readable_len)
		return;
	stat_set(&stats->known, known);
	stat_set(&stats->updated_ns, machine_now_ns(b->v.machine));
	stat_add(&stats->updates, 1);
}

/* The driver's buffer is here, with numbers in it unless it is the first. It stays until the next question. */
static void take_stats(struct virtio_balloon *b, unsigned index)
{
	struct virtq_chain c;
	unsigned n = 0;

	while (n++ < MAX_SWAPS && virtio_pop(&b->v, index, &c)) {
		if (c.n_writable) {
			virtio_fail(&b->v, "queue %u: a buffer for the wrong direction", index);
			return;
		}
		note_stats(b, &c);
		/* A second one: nothing says what that is for. The older one goes back. */
		if (b->stats_out)
			virtio_push(&b->v, index, b->stats_head, 0);
		b->stats_out = true;
		b->stats_head = c.head;
		if (b->asked)
			machine_request(b->v.machine, MACHINE_BALLOON_STATS, 0);
		b->asked = false;
	}
	virtio_flush(&b->v, index);
	if (n > MAX_SWAPS)
		virtio_kick_later(&b->v, index);
}

/* True: the driver has its buffer, and is to bring it again. */
static bool ask_for_stats(struct virtio_balloon *b)
{
	if (!virtio_is_running(&b->v) || !has_stats_queue(&b->v))
		return false;
	if (!b->stats_out)
		return true;
	b->stats_out = false;
	virtio_push(&b->v, Q_STATS, b->stats_head, 0);
	virtio_flush(&b->v, Q_STATS);
	return true;
}

static void arm_stats(struct virtio_balloon *b)
{
	if (b->period_s && virtio_is_running(&b->v) && has_stats_queue(&b->v))
		(void)loop_timer_set(
			&b->stats_timer, machine_now_ns(b->v.machine) + b->period_s * NSEC_PER_SEC);
	else
		loop_timer_stop(&b->stats_timer);
}

static void stats_due(struct loop_timer *timer, uint64_t now_ns)
{
	struct virtio_balloon *b = container_of(timer, struct virtio_balloon, stats_timer);

	(void)now_ns;
	(void)ask_for_stats(b);
	arm_stats(b);
}

/* What the configuration window says. */

static void show_config(struct virtio_balloon *b)
{
	struct balloon_config c = {
		.num_pages = htole32(b->target),
		.actual = htole32(b->actual),
		.poison_val = htole32(b->poison),
	};

	memcpy(b->v.config, &c, sizeof(c));
	if (!stats_of(b))
		return;
	stat_set(&stats_of(b)->target, b->target);
	stat_set(&stats_of(b)->actual, b->actual);
}

static void tell_actual(struct loop_timer *timer, uint64_t now_ns)
{
	struct virtio_balloon *b = container_of(timer, struct virtio_balloon, tell_timer);

	b->told_ns = now_ns;
	machine_request(b->v.machine, MACHINE_BALLOON, (int)b->actual);
}

/* A driver says how far it is after each of its chains: a report a second is enough, and the last is never missed. */
static void set_actual(struct virtio_balloon *b, uint32_t actual)
{
	uint64_t now_ns = machine_now_ns(b->v.machine);

	actual = MIN(actual, b->total);
	if (actual == b->actual)
		return;
	b->actual = actual;
	show_config(b);
	if (!b->told_ns || now_ns - b->told_ns >= TELL_NS)
		tell_actual(&b->tell_timer, now_ns);
	else if (b->tell_timer.deadline_ns == LOOP_NEVER)
		(void)loop_timer_set(&b->tell_timer, b->told_ns + TELL_NS);
}

static void balloon_config_write(
	struct virtio_device *v, unsigned offset, unsigned size, uint64_t value)
{
	struct virtio_balloon *b = balloon_of(v);

	if (size != sizeof(uint32_t))
		return;
	if (offset == offsetof(struct balloon_config, actual)) {
		set_actual(b, (uint32_t)value);
	} else if (offset == offsetof(struct balloon_config, poison_val) &&
		virtio_has_feature(v, F_PAGE_POISON)) {
		b->poison = (uint32_t)value;
		show_config(b);
	}
}

/* What the daemon asks for. */

static int set_balloon(struct device *dev, const struct proto_balloon *what)
{
	struct virtio_balloon *b = balloon_of_device(dev);

	if (what->flags & ~(PROTO_BALLOON_TARGET | PROTO_BALLOON_PERIOD) ||
		(what->flags & PROTO_BALLOON_TARGET && what->target >= b->total) ||
		(what->flags & PROTO_BALLOON_PERIOD && what->period_s > VM_MAX_BALLOON_PERIOD))
		return -EINVAL;
	if (what->flags & PROTO_BALLOON_PERIOD) {
		b->period_s = what->period_s;
		arm_stats(b);
	}
	if (what->flags & PROTO_BALLOON_TARGET && what->target != b->target) {
		b->target = what->target;
		show_config(b);
		virtio_config_changed(&b->v);
	}
	return 0;
}

static int ask_balloon(struct device *dev)
{
	struct virtio_balloon *b = balloon_of_device(dev);

	if (!ask_for_stats(b))
		return -ENODATA;
	b->asked = true;
	return 0;
}

static const struct machine_balloon_ops balloon_ops = {.set = set_balloon, .ask = ask_balloon};

/* Life. */

static void balloon_queue_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_balloon *b = balloon_of(v);

	switch (role_of(v, index)) {
	case Q_INFLATE:
		take_chains(b, index, false, inflate);
		break;
	case Q_DEFLATE:
		take_chains(b, index, false, deflate);
		break;
	case Q_STATS:
		take_stats(b, index);
		break;
	case Q_REPORTING:
		take_chains(b, index, true, report);
		break;
	default: /* the driver's number: a queue that has no use */
		break;
	}
}

static int balloon_activate(struct virtio_device *v)
{
	arm_stats(balloon_of(v));
	return 0;
}

static void balloon_reset(struct virtio_device *v)
{
	struct virtio_balloon *b = balloon_of(v);

	loop_timer_stop(&b->stats_timer);
	memset(b->done, 0, sizeof(b->done));
	b->stats_out = b->asked = false;
	b->poison = 0;
	/* A driver that begins anew has all of its pages again. */
	set_actual(b, 0);
	show_config(b);
}

static bool balloon_quiesce(struct virtio_device *v)
{
	loop_timer_stop(&balloon_of(v)->stats_timer);
	return true;
}

static void balloon_resume(struct virtio_device *v)
{
	arm_stats(balloon_of(v));
}

/* A chain that waits begins anew: its pages are the host's until it is answered. */
static void balloon_save(const struct virtio_device *v, struct state_writer *w)
{
	const struct virtio_balloon *b = (const struct virtio_balloon *)(const void *)v;

	state_put_u32(w, b->target);
	state_put_u32(w, b->actual);
	state_put_u32(w, b->poison);
	state_put_u32(w, b->period_s);
	state_put_u8(w, b->stats_out);
	state_put_u16(w, b->stats_head);
}

/* The buffer of statistics is out, and nothing else. */
static bool stats_fit(struct virtio_device *v, bool out, uint16_t head)
{
	struct virtq_chain c;

	if (v->queues[Q_STATS].n_in_flight != out)
		return false;
	return !out || (has_stats_queue(v) && virtq_refetch(&v->queues[Q_STATS], head, &c) == 1);
}

static int balloon_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_balloon *b = balloon_of(v);
	uint32_t target = state_get_u32(r), actual = state_get_u32(r);
	uint32_t poison = state_get_u32(r), period_s = state_get_u32(r);
	uint8_t stats_out = state_get_u8(r);
	uint16_t stats_head = state_get_u16(r);

	if (state_reader_end(r) < 0 || target >= b->total || actual > b->total ||
		period_s > VM_MAX_BALLOON_PERIOD || stats_out > 1 ||
		(poison && !virtio_has_feature(v, F_PAGE_POISON)) ||
		!stats_fit(v, stats_out, stats_head))
		return -EBADMSG;
	memset(b->done, 0, sizeof(b->done));
	b->target = target;
	b->poison = poison;
	b->period_s = period_s;
	b->stats_out = stats_out;
	b->stats_head = stats_head;
	b->asked = false;
	set_actual(b, actual);
	show_config(b);
	return 0;
}

static bool offers_reporting(const struct vm_config *config)
{
	if (config->memory_locked && vm_config_ordinary_kib(config))
		return false;
	if (config->balloon.reporting == VM_TRISTATE_DEFAULT)
		return !config->hugepage_kib &&
			config->memory_allocation != VM_ALLOCATION_IMMEDIATE;
	return config->balloon.reporting == VM_TRISTATE_YES;
}

static int balloon_realize(struct virtio_device *v)
{
	struct virtio_balloon *b = balloon_of(v);
	struct virtio_pci *vp = v->transport_dev;
	struct machine *m = v->machine;
	const struct vm_config *config = m->config;
	uint64_t total = m->mem->size / PAGE_LEN;

	if (total > UINT32_MAX)
		total = UINT32_MAX;
	b->total = (uint32_t)total;
	b->target = (uint32_t)MIN(
		(config->memory_kib - config->current_memory_kib) / (PAGE_LEN / 1024), total - 1);
	b->keeps = config->memory_locked && vm_config_ordinary_kib(config);
	b->period_s = config->balloon.stats_period_s;
	v->n_queues = N_QUEUES;
	v->config_len = sizeof(struct balloon_config);
	v->host_features = VIRTIO_BIT(F_STATS_VQ);
	if (config->balloon.autodeflate == VM_TRISTATE_YES)
		v->host_features |= VIRTIO_BIT(F_DEFLATE_ON_OOM);
	if (offers_reporting(config))
		v->host_features |= VIRTIO_BIT(F_REPORTING) | VIRTIO_BIT(F_PAGE_POISON);
	loop_timer_init(&b->stats_timer, m->loop, stats_due);
	loop_timer_init(&b->tell_timer, m->loop, tell_actual);
	show_config(b);
	m->balloon = &vp->pci.dev;
	m->balloon_ops = &balloon_ops;
	return 0;
}

static void balloon_unrealize(struct virtio_device *v)
{
	struct virtio_balloon *b = balloon_of(v);

	loop_timer_stop(&b->stats_timer);
	loop_timer_stop(&b->tell_timer);
	v->machine->balloon = NULL;
}

static const struct virtio_ops virtio_balloon_ops = {
	.name = "virtio-balloon",
	.device_id = 5,
	.size = sizeof(struct virtio_balloon),
	.realize = balloon_realize,
	.unrealize = balloon_unrealize,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.reset = balloon_reset,
	.queue_notify = balloon_queue_notify,
	.quiesce = balloon_quiesce,
	.resume = balloon_resume,
	.save = balloon_save,
	.load = balloon_load,
};

static struct vm_pci_addr balloon_pci_addr(const struct vm_config *config, unsigned instance)
{
	(void)instance;
	return config->balloon.pci;
}

const struct virtio_pci_class virtio_balloon_pci_class = VIRTIO_PCI_CLASS(
	"virtio-balloon-pci", 1, &virtio_balloon_ops, PCI_CLASS_OTHERS, balloon_pci_addr);
