/* Questions come from receivers (untrusted) and the directory: one that cannot be read, or is not
 * for such an asker, closes its channel.
 *
 * An RSA signature is made on the offload pool, so that many cores sign and the loop stays awake;
 * its job holds references to the key and to the asker, because either may go meanwhile (a reload,
 * a receiver's death). An ECDSA signature costs less than the way to a thread and back.
 *
 * For the directory a CRAM-MD5 response is compared here: what was unsealed for it is wiped before
 * the answer goes out, and nothing but yes or no does. */
#include "keys/keys.h"

#include "base/log.h"
#include "base/stats.h"
#include "config/seal_key.h"
#include "fiber/offload.h"
#include "ipc/cram.h"
#include "ipc/sign.h"
#include "keys/keyring.h"
#include "sasl/cram_md5.h"
#include "sasl/seal.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define JOBS_MAX    4096u /* signatures that wait for a thread */
#define SIGNERS_MAX 8u	  /* threads; they start as needed */
#define REPLY_MAX   (SIGN_SIGNATURE_MAX + 64u)

struct keys {
	struct role_process *process;
	struct keyring *ring;  /* for receivers */
	struct keyring *shown; /* for deliverers: what we show to next hops */
	struct buf reply;
	unsigned n_jobs;
	/* Reversible secrets. */
	bool can_unseal;
	uint8_t seal_key[SEAL_KEY_OCTETS];
	struct buf decoy; /* sealed, of nobody */
};
struct asker {
	struct keys *k;
	enum role role;
	struct channel *channel; /* NULL: gone */
	unsigned refs;		 /* the channel's, and one a job */
};
struct job {
	struct offload_job offload;
	struct asker *asker;
	EVP_PKEY *key;
	struct sign_request request; /* its digest lies below */
	uint8_t digest[SIGN_DIGEST_OCTETS];
	uint8_t signature[SIGN_SIGNATURE_MAX];
	size_t len;
};

static void asker_unref(struct asker *a)
{
	if (--a->refs == 0)
		free(a);
}

static int answer(struct asker *a, uint64_t token, enum sign_status status, struct span signature)
{
	struct keys *k = a->k;
	struct sign_reply reply = {token, status, signature};

	if (!a->channel)
		return 0;
	if (status == SIGN_OK)
		STATS_ADD(signatures_total, 1);
	buf_reset(&k->reply);
	sign_reply_encode(&reply, &k->reply);
	if (k->reply.error)
		return k->reply.error;
	int r = channel_send(a->channel, FRAME_SIGN_ANSWER, buf_span(&k->reply), NULL, 0);
	/* An asker that does not read its answers does without. */
	return r == -ENOBUFS || r == -EPIPE ? 0 : r;
}

/* ---- on the pool ---- */

static int job_work(struct offload_job *o)
{
	struct job *j = CONTAINER_OF(o, struct job, offload);

	return sign_locally(j->key, &j->request.ask, j->signature, &j->len);
}

static void job_done(struct offload_job *o)
{
	struct job *j = CONTAINER_OF(o, struct job, offload);
	bool ok = o->result == 0;

	j->asker->k->n_jobs--;
	(void)answer(j->asker, j->request.token, ok ? SIGN_OK : SIGN_REFUSED,
		span_make(j->signature, ok ? j->len : 0));
	EVP_PKEY_free(j->key);
	asker_unref(j->asker);
	free(j);
}

static int sign_later(struct asker *a, EVP_PKEY *key, const struct sign_request *request)
{
	struct job *j = a->k->n_jobs < JOBS_MAX ? calloc(1, sizeof(*j)) : NULL;

	if (!j || EVP_PKEY_up_ref(key) != 1) {
		free(j);
		return answer(a, request->token, SIGN_BUSY, SPAN_NULL);
	}
	j->offload.work = job_work;
	j->offload.done = job_done;
	j->asker = a;
	a->refs++;
	j->key = key;
	j->request = *request;
	memcpy(j->digest, request->ask.digest.ptr, request->ask.digest.len);
	j->request.ask.digest = span_make(j->digest, request->ask.digest.len);
	a->k->n_jobs++;
	offload_submit(&j->offload);
	return 0;
}

/* ---- askers ---- */

static int sign_now(
	struct asker *a, EVP_PKEY *key, struct sign_kept *kept, const struct sign_request *request)
{
	uint8_t signature[SIGN_SIGNATURE_MAX];
	size_t len = 0;
	int r = sign_locally_kept(kept, key, &request->ask, signature, &len);

	return answer(a, request->token, r == 0 ? SIGN_OK : SIGN_REFUSED,
		span_make(signature, r == 0 ? len : 0));
}

/* ---- reversible secrets ---- */

static enum cram_status judge(struct keys *k, const struct cram_ask *ask)
{
	struct buf secret = BUF_INIT(SEAL_SECRET_MAX);
	bool nobody = ask->sealed.len == 0;
	enum cram_status status = CRAM_UNSEALABLE;

	int r = !k->can_unseal ? -ENOKEY
		: nobody       ? seal_open(k->seal_key, SPAN_NULL, buf_span(&k->decoy), &secret)
			       : seal_open(k->seal_key, ask->login, ask->sealed, &secret);
	if (r == 0) {
		bool right = cram_matches(
			buf_span(&secret), ask->challenge, (const uint8_t *)ask->digest.ptr);
		status = right && !nobody ? CRAM_RIGHT : CRAM_WRONG;
	}
	if (secret.ptr)
		OPENSSL_cleanse(secret.ptr, secret.cap);
	buf_done(&secret);
	return status;
}

static int on_cram(struct asker *a, struct span payload)
{
	struct keys *k = a->k;
	struct cram_ask ask;
	int r = cram_ask_decode(payload, &ask);

	if (r < 0)
		return r;
	const struct cram_answer reply = {ask.token, judge(k, &ask)};
	buf_reset(&k->reply);
	cram_answer_encode(&reply, &k->reply);
	r = channel_send(a->channel, FRAME_CRAM_ANSWER, buf_span(&k->reply), NULL, 0);
	return r == -ENOBUFS ? 0 : r;
}

/* ---- frames ---- */

static int on_sign(struct asker *a, struct span payload)
{
	struct sign_request request;
	int r = sign_request_decode(payload, &request);

	if (r < 0)
		return r;
	const struct keyring *ring = a->role == ROLE_DELIVERER ? a->k->shown : a->k->ring;
	struct sign_kept *kept;
	EVP_PKEY *key = keyring_find(ring, request.ask.key_id, &kept);
	if (!key)
		return answer(a, request.token, SIGN_UNKNOWN_KEY, SPAN_NULL);
	if (request.ask.padding == SIGN_ECDSA)
		return sign_now(a, key, kept, &request);
	return sign_later(a, key, &request);
}

static int on_frame(void *arg, struct frame *f)
{
	struct asker *a = arg;

	if (f->type == FRAME_SIGN && (a->role == ROLE_RECEIVER || a->role == ROLE_DELIVERER))
		return on_sign(a, f->payload);
	if (f->type == FRAME_CRAM && a->role == ROLE_DIRECTORY)
		return on_cram(a, f->payload);
	return -EPROTO;
}

static void on_close(void *arg, int error)
{
	struct asker *a = arg;

	if (error < 0)
		log_text(LOG_LEVEL_WARN, "peer-lost", "a channel to the keys broke: %s",
			strerror(-error));
	channel_free(TAKE(a->channel));
	asker_unref(a);
}

/* ---- life ---- */

/* A peer may come before start. */
static struct keys *state_of(struct role_process *p)
{
	struct keys *k = role_state(p);

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k || keyring_new(&k->ring) < 0 || keyring_new(&k->shown) < 0)
		abort(); /* at start, without memory: the supervisor tries again */
	k->process = p;
	k->reply = BUF_INIT(REPLY_MAX);
	k->decoy = BUF_INIT(SEAL_TEXT_MAX);
	role_set_state(p, k);
	return k;
}

static void keys_peer(struct role_process *p, enum role peer, unsigned index, int fd)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct asker *a = calloc(1, sizeof(*a));

	if (!a) {
		fd_close(fd);
		return;
	}
	a->k = state_of(p);
	a->refs = 1;
	a->role = peer;
	int r = channel_new(fd, &ops, a, &a->channel);
	if (r < 0) {
		log_text(LOG_LEVEL_ERROR, "peer-lost", "%s[%u]: %s", role_name(peer), index,
			strerror(-r));
		free(a);
	}
}

/* The supervisor has looked at the files: what cannot be read now is told and left out. */
static void load_ring(struct keys *k, struct keyring *ring, const char *prefix)
{
	size_t cursor = 0;
	const char *name;
	int fd;

	keyring_renew(ring);
	while ((fd = role_next_fd(k->process, prefix, &cursor, &name)) >= 0) {
		struct buf pem = BUF_INIT(CERTIFICATE_FILE_MAX + 4096);
		const char *why = "it cannot be read";
		int r = pem_read(fd, &pem);
		if (r == 0)
			r = keyring_add(ring, buf_span(&pem), &why);
		if (r < 0)
			log_text(LOG_LEVEL_ERROR, "key-unusable", "%s: %s", name, why);
		if (pem.ptr)
			OPENSSL_cleanse(pem.ptr, pem.len);
		buf_done(&pem);
	}
}

static void load(struct keys *k)
{
	load_ring(k, k->ring, "key:");
	load_ring(k, k->shown, "shown-key:");
}

/* Once: the file is made once, too. */
static void load_seal_key(struct keys *k)
{
	uint8_t secret[CRAM_DIGEST_OCTETS];
	int fd = role_fd(k->process, "secrets"), r = fd < 0 ? -ENOENT : 0;

	if (r == 0)
		r = seal_key_read(fd, k->seal_key);
	if (r == 0 && getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		r = -EIO;
	if (r == 0)
		r = seal_make(k->seal_key, SPAN_NULL, span_make(secret, sizeof(secret)), &k->decoy);
	if (r < 0)
		log_text(LOG_LEVEL_ERROR, "key-unusable", "%s: %s", SEAL_KEY_FILE, strerror(-r));
	k->can_unseal = r == 0;
}

static int keys_start(struct role_process *p)
{
	load(state_of(p));
	load_seal_key(state_of(p));
	return 0;
}

static void keys_reload(struct role_process *p, const struct config *old)
{
	(void)old;
	load(state_of(p));
}

static void keys_drain(struct role_process *p, uint64_t grace_usec)
{
	(void)grace_usec;
	role_finished(p);
}

const struct role_ops keys_role = {
	.role = ROLE_KEYS,
	.start = keys_start,
	.peer = keys_peer,
	.reload = keys_reload,
	.drain = keys_drain,
	.offload_threads = SIGNERS_MAX,
};
