/* Jobs and outcomes between the dispatcher and those who deliver. Both ends treat the other's
 * octets as untrusted: counts are checked against what the payload can hold before an array is
 * allocated. */
#include "ipc/job.h"

/* Fixed octets of one array element, at least: what bounds a count given by the peer. */
#define JOB_RCPT_MIN	 12u
#define JOB_RANGE_OCTETS 25u
#define OUTCOME_RCPT_MIN 15u

void job_encode(const struct job *j, struct buf *out)
{
	wire_put_u64(out, j->job);
	wire_put_u64(out, j->message);
	wire_put_u32(out, j->attempt);
	wire_put_u8(out, j->suspect);
	wire_put_u8(out, (uint8_t)j->via);
	wire_put_span(out, j->host);
	wire_put_u16(out, j->port);
	wire_put_span(out, j->path);
	wire_put_span(out, j->site);
	wire_put_span(out, j->reverse_path);
	wire_put_u64(out, j->arrival_wall_usec);
	wire_put_u64(out, j->size);
	wire_put_u8(out, j->body);
	wire_put_u64(out, j->connect_timeout);
	wire_put_u64(out, j->command_timeout);
	wire_put_u64(out, j->data_timeout);
	wire_put_u32(out, j->n_rcpts);
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		wire_put_u32(out, j->rcpts[i].index);
		wire_put_span(out, j->rcpts[i].address);
		wire_put_span(out, j->rcpts[i].original);
	}
	wire_put_u32(out, j->n_ranges);
	for (uint32_t i = 0; i < j->n_ranges; i++) {
		wire_put_u64(out, j->ranges[i].segment);
		wire_put_u64(out, j->ranges[i].offset);
		wire_put_u32(out, j->ranges[i].length);
		wire_put_u8(out, j->ranges[i].checked);
		wire_put_u32(out, j->ranges[i].crc);
	}
}

/* Room for n elements if the rest of the payload can hold that many, else NULL with the error set.
 */
static void *array_of(
	struct wire *w, struct arena *a, uint32_t n, size_t octets, size_t min, int *ret_r)
{
	if (w->error || (uint64_t)n * min > w->rest.len) {
		w->error = -EBADMSG;
		return NULL;
	}
	void *p = arena_alloc(a, (n ? n : 1) * octets);
	if (!p)
		*ret_r = -ENOMEM;
	return p;
}

int job_decode(struct span payload, struct arena *a, struct job *ret)
{
	struct wire w = wire_reader(payload);
	int r = 0;
	struct job j = {.job = wire_get_u64(&w), .message = wire_get_u64(&w)};

	j.attempt = wire_get_u32(&w);
	j.suspect = wire_get_u8(&w) != 0;
	uint8_t via = wire_get_u8(&w);
	j.via = (enum job_via)via;
	j.host = wire_get_span(&w);
	j.port = wire_get_u16(&w);
	j.path = wire_get_span(&w);
	j.site = wire_get_span(&w);
	j.reverse_path = wire_get_span(&w);
	j.arrival_wall_usec = wire_get_u64(&w);
	j.size = wire_get_u64(&w);
	j.body = wire_get_u8(&w);
	j.connect_timeout = wire_get_u64(&w);
	j.command_timeout = wire_get_u64(&w);
	j.data_timeout = wire_get_u64(&w);
	j.n_rcpts = wire_get_u32(&w);
	j.rcpts = array_of(&w, a, j.n_rcpts, sizeof(*j.rcpts), JOB_RCPT_MIN, &r);
	for (uint32_t i = 0; j.rcpts && i < j.n_rcpts; i++) {
		j.rcpts[i].index = wire_get_u32(&w);
		j.rcpts[i].address = wire_get_span(&w);
		j.rcpts[i].original = wire_get_span(&w);
	}
	j.n_ranges = wire_get_u32(&w);
	j.ranges = array_of(&w, a, j.n_ranges, sizeof(*j.ranges), JOB_RANGE_OCTETS, &r);
	for (uint32_t i = 0; j.ranges && i < j.n_ranges; i++) {
		j.ranges[i].segment = wire_get_u64(&w);
		j.ranges[i].offset = wire_get_u64(&w);
		j.ranges[i].length = wire_get_u32(&w);
		j.ranges[i].checked = wire_get_u8(&w) != 0;
		j.ranges[i].crc = wire_get_u32(&w);
	}
	if (r < 0)
		return r;
	if (w.error || via > JOB_DISCARD)
		return -EBADMSG;
	*ret = j;
	return 0;
}

void outcome_encode(const struct outcome *o, struct buf *out)
{
	wire_put_u64(out, o->job);
	wire_put_u64(out, o->message);
	wire_put_u8(out, o->site_down);
	wire_put_u8(out, o->damaged);
	wire_put_span(out, o->remote);
	wire_put_u64(out, o->connect_usec);
	wire_put_u64(out, o->transfer_usec);
	wire_put_u32(out, o->n_rcpts);
	for (uint32_t i = 0; i < o->n_rcpts; i++) {
		const struct outcome_rcpt *p = &o->rcpts[i];
		wire_put_u32(out, p->index);
		wire_put_u8(out, (uint8_t)p->result);
		wire_put_u16(out, p->code);
		wire_put_span(out, p->enhanced);
		wire_put_span(out, p->text);
	}
}

int outcome_decode(struct span payload, struct arena *a, struct outcome *ret)
{
	struct wire w = wire_reader(payload);
	int r = 0;
	struct outcome o = {.job = wire_get_u64(&w), .message = wire_get_u64(&w)};

	o.site_down = wire_get_u8(&w) != 0;
	o.damaged = wire_get_u8(&w) != 0;
	o.remote = wire_get_span(&w);
	o.connect_usec = wire_get_u64(&w);
	o.transfer_usec = wire_get_u64(&w);
	o.n_rcpts = wire_get_u32(&w);
	o.rcpts = array_of(&w, a, o.n_rcpts, sizeof(*o.rcpts), OUTCOME_RCPT_MIN, &r);
	for (uint32_t i = 0; o.rcpts && i < o.n_rcpts; i++) {
		struct outcome_rcpt *p = &o.rcpts[i];
		p->index = wire_get_u32(&w);
		uint8_t result = wire_get_u8(&w);
		if (result > OUTCOME_NOT_TRIED)
			w.error = -EBADMSG;
		p->result = (enum outcome_class)result;
		p->code = wire_get_u16(&w);
		p->enhanced = wire_get_span(&w);
		p->text = wire_get_span(&w);
	}
	if (r < 0)
		return r;
	if (w.error)
		return -EBADMSG;
	*ret = o;
	return 0;
}
