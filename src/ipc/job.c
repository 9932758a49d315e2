/* Jobs and outcomes between the dispatcher and those who deliver. Both ends treat the other's
 * octets as untrusted: counts are checked against what the payload can hold before an array is
 * allocated. */
#include "ipc/job.h"

/* Fixed octets of one array element, at least: what bounds a count given by the peer. */
#define JOB_RCPT_MIN	 17u
#define JOB_HOST_MIN	 6u
#define JOB_RANGE_OCTETS 25u
#define OUTCOME_RCPT_MIN 16u

static void put_where(struct buf *out, const struct job *j)
{
	wire_put_span(out, j->host);
	wire_put_u16(out, j->port);
	wire_put_u32(out, j->n_hosts);
	for (uint32_t i = 0; i < j->n_hosts; i++) {
		wire_put_span(out, j->hosts[i].name);
		wire_put_u16(out, j->hosts[i].preference);
	}
	wire_put_u8(out, j->mx_secure);
	wire_put_span(out, j->domain);
	wire_put_span(out, j->route);
	wire_put_u8(out, j->implicit_tls);
	wire_put_span(out, j->path);
	wire_put_span(out, j->site);
}

static void put_mail(struct buf *out, const struct job *j)
{
	wire_put_span(out, j->reverse_path);
	wire_put_u64(out, j->arrival_wall_usec);
	wire_put_u64(out, j->size);
	wire_put_u8(out, j->body);
	wire_put_u32(out, j->flags);
	wire_put_span(out, j->envid);
	wire_put_span(out, j->auth_sender);
	wire_put_u8(out, j->ret);
	wire_put_u8(out, (uint8_t)j->priority);
	wire_put_u64(out, j->deliver_by_wall_usec);
	wire_put_u8(out, j->deliver_by_mode);
}

void job_encode(const struct job *j, struct buf *out)
{
	wire_put_u64(out, j->job);
	wire_put_u64(out, j->message);
	wire_put_u32(out, j->attempt);
	wire_put_u8(out, j->suspect);
	wire_put_u8(out, j->traced);
	wire_put_u8(out, (uint8_t)j->via);
	put_where(out, j);
	put_mail(out, j);
	wire_put_u64(out, j->connect_timeout);
	wire_put_u64(out, j->command_timeout);
	wire_put_u64(out, j->data_timeout);
	wire_put_u32(out, j->n_rcpts);
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		wire_put_u32(out, j->rcpts[i].index);
		wire_put_span(out, j->rcpts[i].address);
		wire_put_span(out, j->rcpts[i].original);
		wire_put_u8(out, j->rcpts[i].notify);
		wire_put_span(out, j->rcpts[i].orcpt);
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

static void get_hosts(struct wire *w, struct arena *a, struct job *j, int *ret_r)
{
	j->n_hosts = wire_get_u32(w);
	j->hosts = array_of(w, a, j->n_hosts, sizeof(*j->hosts), JOB_HOST_MIN, ret_r);
	for (uint32_t i = 0; j->hosts && i < j->n_hosts; i++) {
		j->hosts[i].name = wire_get_span(w);
		j->hosts[i].preference = wire_get_u16(w);
	}
}

static void get_where(struct wire *w, struct arena *a, struct job *j, int *ret_r)
{
	j->host = wire_get_span(w);
	j->port = wire_get_u16(w);
	get_hosts(w, a, j, ret_r);
	j->mx_secure = wire_get_u8(w) != 0;
	j->domain = wire_get_span(w);
	j->route = wire_get_span(w);
	j->implicit_tls = wire_get_u8(w) != 0;
	j->path = wire_get_span(w);
	j->site = wire_get_span(w);
}

static void get_mail(struct wire *w, struct job *j)
{
	j->reverse_path = wire_get_span(w);
	j->arrival_wall_usec = wire_get_u64(w);
	j->size = wire_get_u64(w);
	j->body = wire_get_u8(w);
	j->flags = wire_get_u32(w);
	j->envid = wire_get_span(w);
	j->auth_sender = wire_get_span(w);
	j->ret = wire_get_u8(w);
	j->priority = (int8_t)wire_get_u8(w);
	j->deliver_by_wall_usec = wire_get_u64(w);
	j->deliver_by_mode = wire_get_u8(w);
}

int job_decode(struct span payload, struct arena *a, struct job *ret)
{
	struct wire w = wire_reader(payload);
	int r = 0;
	struct job j = {.job = wire_get_u64(&w), .message = wire_get_u64(&w)};

	j.attempt = wire_get_u32(&w);
	j.suspect = wire_get_u8(&w) != 0;
	j.traced = wire_get_u8(&w) != 0;
	uint8_t via = wire_get_u8(&w);
	j.via = (enum job_via)via;
	get_where(&w, a, &j, &r);
	get_mail(&w, &j);
	j.connect_timeout = wire_get_u64(&w);
	j.command_timeout = wire_get_u64(&w);
	j.data_timeout = wire_get_u64(&w);
	j.n_rcpts = wire_get_u32(&w);
	j.rcpts = array_of(&w, a, j.n_rcpts, sizeof(*j.rcpts), JOB_RCPT_MIN, &r);
	for (uint32_t i = 0; j.rcpts && i < j.n_rcpts; i++) {
		j.rcpts[i].index = wire_get_u32(&w);
		j.rcpts[i].address = wire_get_span(&w);
		j.rcpts[i].original = wire_get_span(&w);
		j.rcpts[i].notify = wire_get_u8(&w);
		j.rcpts[i].orcpt = wire_get_span(&w);
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
	wire_put_span(out, o->tls);
	wire_put_u64(out, o->connect_usec);
	wire_put_u64(out, o->transfer_usec);
	wire_put_span(out, o->transcript);
	wire_put_u32(out, o->n_rcpts);
	for (uint32_t i = 0; i < o->n_rcpts; i++) {
		const struct outcome_rcpt *p = &o->rcpts[i];
		wire_put_u32(out, p->index);
		wire_put_u8(out, (uint8_t)p->result);
		wire_put_u16(out, p->code);
		wire_put_span(out, p->enhanced);
		wire_put_span(out, p->text);
		wire_put_u8(out, (uint8_t)(p->dsn_passed_on | p->by_passed_on << 1));
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
	o.tls = wire_get_span(&w);
	o.connect_usec = wire_get_u64(&w);
	o.transfer_usec = wire_get_u64(&w);
	o.transcript = wire_get_span(&w);
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
		uint8_t passed_on = wire_get_u8(&w);
		p->dsn_passed_on = passed_on & 1;
		p->by_passed_on = passed_on & 2;
	}
	if (r < 0)
		return r;
	if (w.error)
		return -EBADMSG;
	*ret = o;
	return 0;
}
