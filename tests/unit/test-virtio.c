/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The virtio core: status machine, features, configuration window, resets with work in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtio.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/stats.h"

#define F_FIRST  VIRTIO_BIT(3)
#define F_SECOND VIRTIO_BIT(40)
#define V1       VIRTIO_BIT(VIRTIO_F_VERSION_1)

#define ACK     VIRTIO_STATUS_ACKNOWLEDGE
#define DRIVER  VIRTIO_STATUS_DRIVER
#define OK      VIRTIO_STATUS_DRIVER_OK
#define FEAT_OK VIRTIO_STATUS_FEATURES_OK
#define NEEDS   VIRTIO_STATUS_NEEDS_RESET
#define FAILED  VIRTIO_STATUS_FAILED

/* A model that keeps each chain until the test says so. */
struct model {
	struct virtio_device v;
	unsigned n_activated, n_reset, n_notified, n_resumed, n_config_writes;
	unsigned n_out;
	uint16_t out[VIRTQ_MAX_SIZE];
	int activate_error;
	uint8_t payload;
};

static struct model *model_of(struct virtio_device *v)
{
	return container_of(v, struct model, v);
}

static int model_realize(struct virtio_device *v)
{
	v->n_queues = 2;
	v->queue_sizes[1] = 16;
	v->host_features = F_FIRST | F_SECOND;
	v->config_len = 6;
	memcpy(v->config, "config", 6);
	return 0;
}

static int model_activate(struct virtio_device *v)
{
	model_of(v)->n_activated++;
	return model_of(v)->activate_error;
}

static void model_reset(struct virtio_device *v)
{
	model_of(v)->n_reset++;
	assert_int_equal(model_of(v)->n_out, 0);
}

static void model_notify(struct virtio_device *v, unsigned index)
{
	struct model *m = model_of(v);
	struct virtq_chain c;

	m->n_notified++;
	while (virtio_pop(v, index, &c))
		m->out[m->n_out++] = c.head;
}

static bool model_quiesce(struct virtio_device *v)
{
	return model_of(v)->n_out == 0;
}

static void model_resume(struct virtio_device *v)
{
	model_of(v)->n_resumed++;
}

static void model_config_write(
	struct virtio_device *v, unsigned offset, unsigned size, uint64_t value)
{
	model_of(v)->n_config_writes++;
	for (unsigned i = 0; i < size; i++)
		v->config[offset + i] = (uint8_t)(value >> (8 * i));
}

static void model_save(const struct virtio_device *v, struct state_writer *w)
{
	state_put_u8(w, ((const struct model *)(const void *)v)->payload);
}

static int model_load(struct virtio_device *v, struct state_reader *r)
{
	uint8_t payload = state_get_u8(r);

	if (state_reader_end(r) < 0 || payload > 100)
		return -EBADMSG;
	model_of(v)->payload = payload;
	return 0;
}

static const struct virtio_ops model_ops = {
	.name = "model",
	.device_id = 99,
	.size = sizeof(struct model),
	.realize = model_realize,
	.config_write = model_config_write,
	.activate = model_activate,
	.reset = model_reset,
	.queue_notify = model_notify,
	.quiesce = model_quiesce,
	.resume = model_resume,
	.save = model_save,
	.load = model_load,
};

/* A transport that counts. */
static struct {
	unsigned n_queue[2], n_config, n_kicks, n_resets;
} transport;

static void note_queue(struct virtio_device *v, unsigned index)
{
	(void)v;
	transport.n_queue[index]++;
}

static void note_config(struct virtio_device *v)
{
	(void)v;
	transport.n_config++;
}

static void note_kick(struct virtio_device *v, unsigned index)
{
	(void)v;
	(void)index;
	transport.n_kicks++;
}

static void note_reset(struct virtio_device *v)
{
	(void)v;
	transport.n_resets++;
}

static const struct virtio_transport_ops transport_ops = {
	.notify_queue = note_queue,
	.notify_config = note_config,
	.kick_later = note_kick,
	.reset = note_reset,
};

struct fixture {
	struct fake_machine *f;
	struct vm_stats_page stats;
	struct model *m;
	struct virtio_device *v;
	struct device dev; /* the transport's */
	struct fake_ring ring;
};

static void build(struct fixture *fx)
{
	*fx = (struct fixture){.f = fake_machine_new(MIB(4))};
	memset(&transport, 0, sizeof(transport));
	fx->f->m.stats = &fx->stats;
	fx->m = calloc(1, sizeof(*fx->m));
	assert_non_null(fx->m);
	fx->v = &fx->m->v;
	fx->dev.machine = &fx->f->m;
	fx->v->dev = &fx->dev;
	assert_int_equal(
		virtio_init(fx->v, &model_ops, &transport_ops, &fx->f->m, "model.0", 0), 0);
}

static void destroy(struct fixture *fx)
{
	virtio_done(fx->v);
	free(fx->m);
	(void)fake_machine_free(fx->f);
}

static void set_features(struct fixture *fx, uint64_t features)
{
	virtio_set_driver_features(fx->v, 0, (uint32_t)features);
	virtio_set_driver_features(fx->v, 1, (uint32_t)(features >> 32));
}

static void setup_queue(struct fixture *fx)
{
	struct virtq *q = virtio_queue(fx->v, 0);

	fake_ring_init(&fx->ring, &fx->f->mem, 0x1000, 8);
	assert_true(virtio_may_configure(fx->v));
	(void)virtq_set_size(q, 8);
	(void)virtq_set_addresses(q, GPA(fx->ring.desc), GPA(fx->ring.avail), GPA(fx->ring.used));
	virtio_queue_enable(fx->v, 0);
	assert_true(q->enabled);
}

static void start(struct fixture *fx)
{
	virtio_set_status(fx->v, ACK | DRIVER);
	set_features(fx, F_FIRST | V1);
	virtio_set_status(fx->v, ACK | DRIVER | FEAT_OK);
	setup_queue(fx);
	virtio_set_status(fx->v, ACK | DRIVER | FEAT_OK | OK);
	assert_int_equal(fx->v->status, 0xf);
}

static void offer(struct fixture *fx)
{
	const struct fake_part part = {0x8000, 16, true};

	(void)fake_ring_add(&fx->ring, &part, 1);
	virtio_handle_kick(fx->v, 0);
}

static void test_handshake(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(virtio_device_features(fx.v, 0), 0x30000008);
	assert_int_equal(virtio_device_features(fx.v, 1), 0x101);
	assert_int_equal(virtio_device_features(fx.v, 2), 0);
	start(&fx);
	assert_int_equal(fx.m->n_activated, 1);
	assert_int_equal(virtio_driver_features(fx.v, 0), 8);
	assert_int_equal(virtio_driver_features(fx.v, 1), 1);
	assert_int_equal(virtio_driver_features(fx.v, UINT32_MAX), 0);
	assert_true(virtio_has_feature(fx.v, 3));
	assert_false(virtio_has_feature(fx.v, 40));
	assert_true(virtio_is_running(fx.v));
	/* DRIVER_OK looks at each enabled queue once, for kicks that came too early. */
	assert_int_equal(transport.n_kicks, 1);
	/* Features are final. */
	set_features(&fx, UINT64_MAX);
	assert_int_equal(virtio_driver_features(fx.v, 0), 8);
	destroy(&fx);
}

/* Each set of features, acceptable or not; VERSION_1 is a must. */
static void test_features(void **state)
{
	static const struct {
		uint64_t features;
		bool ok;
	} cases[] = {
		{V1, true},
		{V1 | F_FIRST | F_SECOND, true},
		{0, false},
		{F_FIRST, false},
		{V1 | VIRTIO_BIT(2), false},
		{V1 | VIRTIO_BIT(33), false}, /* ACCESS_PLATFORM */
		{V1 | VIRTIO_BIT(34), false}, /* RING_PACKED */
		{V1 | VIRTIO_BIT(40), true},
		{V1 | VIRTIO_BIT(63), false},
		{UINT64_MAX, false},
	};
	struct fixture fx;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		build(&fx);
		virtio_set_status(fx.v, ACK | DRIVER);
		set_features(&fx, cases[i].features);
		virtio_set_status(fx.v, ACK | DRIVER | FEAT_OK);
		assert_int_equal(!!(fx.v->status & FEAT_OK), cases[i].ok);
		if (!cases[i].ok) {
			/* Not so: neither queues nor DRIVER_OK; another try is welcome. */
			assert_false(virtio_may_configure(fx.v));
			virtio_set_status(fx.v, 0xf);
			assert_false(fx.v->status & OK);
			set_features(&fx, V1);
			virtio_set_status(fx.v, ACK | DRIVER | FEAT_OK);
			assert_true(fx.v->status & FEAT_OK);
		}
		destroy(&fx);
	}
}

/* All 256 values written in all orders of two: no way to DRIVER_OK without FEATURES_OK. */
static void test_status_sweep(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			virtio_set_status(fx.v, 0);
			assert_int_equal(fx.v->status, 0);
			virtio_set_status(fx.v, (uint8_t)a);
			virtio_set_status(fx.v, (uint8_t)b);
			assert_false(fx.v->status & OK);
			assert_false(fx.v->status & NEEDS);
			virtio_handle_kick(fx.v, 0);
		}
	assert_int_equal(fx.m->n_activated, 0);
	assert_int_equal(fx.m->n_notified, 0);
	/* Bits are only added; only 0 takes them away. */
	virtio_set_status(fx.v, 0);
	start(&fx);
	virtio_set_status(fx.v, ACK);
	assert_int_equal(fx.v->status, 0xf);
	virtio_set_status(fx.v, 0xf | FAILED);
	assert_int_equal(fx.v->status, 0x8f);
	virtio_set_status(fx.v, 0xff);
	assert_int_equal(fx.v->status, 0x8f);
	assert_int_equal(fx.m->n_activated, 1);
	destroy(&fx);
}

static void test_fail(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	start(&fx);
	fake_ring_set_avail_idx(&fx.ring, 100);
	virtio_handle_kick(fx.v, 0);
	assert_int_equal(fx.v->status, 0xf | NEEDS);
	assert_int_equal(transport.n_config, 1);
	assert_int_equal(fx.stats.needs_reset, 1);
	/* It rests: no kick is heard, nothing counts twice. */
	virtio_fail(fx.v, "again");
	virtio_handle_kick(fx.v, 0);
	assert_int_equal(fx.m->n_notified, 1);
	assert_int_equal(fx.stats.needs_reset, 1);
	virtio_set_status(fx.v, 0xf);
	assert_int_equal(fx.v->status, 0xf | NEEDS);
	assert_false(virtio_may_configure(fx.v));
	virtio_set_status(fx.v, 0);
	assert_int_equal(fx.v->status, 0);
	start(&fx);
	offer(&fx);
	assert_int_equal(fx.m->n_out, 1);
	fx.m->n_out = 0;
	virtio_set_status(fx.v, 0);

	/* A queue whose geometry is impossible. */
	virtio_set_status(fx.v, ACK | DRIVER);
	set_features(&fx, V1);
	virtio_set_status(fx.v, ACK | DRIVER | FEAT_OK);
	(void)virtq_set_size(virtio_queue(fx.v, 1), 32); /* above its own maximum */
	virtio_queue_enable(fx.v, 1);
	assert_int_equal(fx.v->status, ACK | DRIVER | FEAT_OK | NEEDS);
	virtio_set_status(fx.v, 0xf);
	assert_false(fx.v->status & OK);
	destroy(&fx);
}

static void test_activation_fails(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	fx.m->activate_error = -EIO;
	virtio_set_status(fx.v, ACK | DRIVER);
	set_features(&fx, V1);
	virtio_set_status(fx.v, ACK | DRIVER | FEAT_OK | OK);
	assert_int_equal(fx.v->status, 0xf | NEEDS);
	assert_false(virtio_is_running(fx.v));
	destroy(&fx);
}

/* The driver resets while the model still works on chains: status stays, nothing is written to the
 * rings, and the reset happens when the last one ends. A thousand times. */
static void test_reset_in_flight(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned resets = fx.m->n_reset;

		start(&fx);
		offer(&fx);
		offer(&fx);
		assert_int_equal(fx.m->n_out, 2);
		virtio_set_status(fx.v, 0);
		assert_int_equal(fx.v->status, 0xf);
		assert_false(virtio_is_running(fx.v));
		/* Everything is ignored meanwhile. */
		virtio_set_status(fx.v, 0xf);
		virtio_set_status(fx.v, 0);
		set_features(&fx, 0);
		virtio_config_write(fx.v, 0, 1, 0);
		assert_false(virtio_may_configure(fx.v));
		virtio_handle_kick(fx.v, 0);
		virtio_push(fx.v, 0, fx.m->out[0], 1);
		virtio_flush(fx.v, 0);
		fx.m->n_out = 1;
		virtio_idle(fx.v);
		assert_int_equal(fx.m->n_reset, resets);
		fx.m->n_out = 0;
		virtio_idle(fx.v);
		assert_int_equal(fx.m->n_reset, resets + 1);
		assert_int_equal(fx.v->status, 0);
		assert_int_equal(fake_ring_used_idx(&fx.ring), 0);
		assert_false(virtio_queue(fx.v, 0)->enabled);
		virtio_idle(fx.v); /* nothing waits: nothing happens */
		assert_int_equal(fx.m->n_reset, resets + 1);
	}
	assert_int_equal(fx.m->n_config_writes, 0);
	destroy(&fx);
}

static void test_pause(void **state)
{
	struct fixture fx;
	uint32_t id, len;

	(void)state;
	build(&fx);
	start(&fx);
	offer(&fx);
	assert_false(virtio_quiesce(fx.v));
	/* What was out is still completed, what comes waits. */
	offer(&fx);
	assert_int_equal(fx.m->n_out, 1);
	virtio_push(fx.v, 0, fx.m->out[0], 5);
	virtio_flush(fx.v, 0);
	assert_true(fake_ring_used(&fx.ring, &id, &len));
	fx.m->n_out = 0;
	assert_true(virtio_quiesce(fx.v));
	transport.n_kicks = 0;
	virtio_resume(fx.v);
	assert_int_equal(fx.m->n_resumed, 1);
	assert_int_equal(transport.n_kicks, 1);
	virtio_handle_kick(fx.v, 0);
	assert_int_equal(fx.m->n_out, 1);
	/* A driver's reset that waits is done by the pause. */
	virtio_set_status(fx.v, 0);
	assert_false(virtio_quiesce(fx.v));
	fx.m->n_out = 0;
	assert_true(virtio_quiesce(fx.v));
	assert_int_equal(fx.v->status, 0);
	virtio_resume(fx.v);
	destroy(&fx);
}

static void test_config(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(virtio_config_read(fx.v, 0, 4), 0x666e6f63);
	assert_int_equal(virtio_config_read(fx.v, 4, 1), 'i');
	assert_int_equal(virtio_config_read(fx.v, 4, 4), 0xffff6769);
	assert_int_equal(virtio_config_read(fx.v, 6, 8), UINT64_MAX);
	assert_int_equal(virtio_config_read(fx.v, UINT64_MAX, 8), UINT64_MAX);
	virtio_config_write(fx.v, 5, 1, 'G');
	virtio_config_write(fx.v, 5, 2, 0);
	virtio_config_write(fx.v, 6, 1, 0);
	virtio_config_write(fx.v, UINT64_MAX, 4, 0);
	assert_int_equal(fx.m->n_config_writes, 1);
	assert_int_equal(virtio_config_read(fx.v, 5, 1), 'G');
	/* A change before the driver is there is no news. */
	virtio_config_changed(fx.v);
	assert_int_equal(transport.n_config, 0);
	start(&fx);
	virtio_config_changed(fx.v);
	assert_int_equal(transport.n_config, 1);
	assert_int_equal(fx.v->config_generation, 2);
	destroy(&fx);
}

static void save(struct fixture *fx, struct state_writer *w, struct state_reader *r)
{
	size_t offset = 0;

	state_writer_init(w);
	state_begin(w, "model", 0, 1);
	virtio_save(fx->v, w);
	state_end(w);
	assert_int_equal(state_next(w->data, w->len, &offset, r), 1);
}

static void test_save_load(void **state)
{
	struct fixture a, b;
	struct state_writer w;
	struct state_reader r, again;

	(void)state;
	build(&a);
	build(&b);
	a.m->payload = 42;
	start(&a);
	offer(&a);
	virtio_push(a.v, 0, 0, 1);
	virtio_flush(a.v, 0);
	a.m->n_out = 0;
	assert_true(virtio_quiesce(a.v));
	save(&a, &w, &r);
	memcpy(b.f->mem.regions[0].host, a.f->mem.regions[0].host, MIB(4));
	for (size_t cut = 0; cut < r.len; cut++) {
		again = r;
		again.len = cut;
		assert_int_equal(virtio_load(b.v, &again), -EBADMSG);
		assert_int_equal(b.v->status, 0);
		assert_false(virtio_queue(b.v, 0)->enabled);
	}
	again = r;
	assert_int_equal(virtio_load(b.v, &again), 0);
	assert_int_equal(b.m->payload, 42);
	assert_int_equal(b.v->status, 0xf);
	b.ring = a.ring;
	b.ring.mem = &b.f->mem;
	virtio_resume(b.v);
	offer(&b);
	assert_int_equal(b.m->n_out, 1);
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

/* A state that contradicts itself. */
static void test_load_corrupt(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
	} cases[] = {
		{"unknown status bits", 0, 0x1f},
		{"DRIVER_OK without FEATURES_OK", 0, 0x07},
		{"queues without FEATURES_OK", 0, 0x03},
		{"a feature that is not offered", 2, 0x01},
		{"no VERSION_1", 6, 0x00},
		{"another number of queues", 10, 3},
		{"a flag that is neither 0 nor 1", 12, 2},
		{"a size that is no power of two", 14, 7},
		{"a ring outside of RAM", 16 + 7, 0x80},
		{"a model's value", SIZE_MAX, 101},
	};
	struct fixture a, b;
	struct state_writer w;
	struct state_reader r;

	(void)state;
	build(&a);
	build(&b);
	start(&a);
	save(&a, &w, &r);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct state_reader bad = r;
		uint8_t *payload = w.data + (r.data - w.data);
		size_t at = MIN(cases[i].at, r.len - 1);
		uint8_t saved = payload[at];

		payload[at] = cases[i].value;
		if (virtio_load(b.v, &bad) != -EBADMSG)
			fail_msg("%s", cases[i].what);
		assert_int_equal(b.v->status, 0);
		assert_int_equal(b.v->driver_features, 0);
		assert_int_equal(b.m->payload, 0);
		payload[at] = saved;
	}
	assert_int_equal(virtio_load(b.v, &r), 0);
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_status_sweep),
		cmocka_unit_test(test_fail),
		cmocka_unit_test(test_activation_fails),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_load_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
