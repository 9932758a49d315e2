/* What LMTP does differently from SMTP once the dot is sent (RFC 2033 4.2): one reply for each
 * RCPT that was accepted, in their order. The rest is shared: LHLO for EHLO (smtp_client.c), the
 * same envelope (transaction.c). Replies that never come leave their recipients deferred, those
 * that came stand. */
#include "deliver/transaction.h"

int lmtp_read_replies(struct transaction *t)
{
	for (uint32_t i = 0; i < t->d->job.n_rcpts; i++) {
		if (t->rcpts[i] != RCPT_ACCEPTED)
			continue;
		int r = smtp_client_reply(t->c, t->d->job.data_timeout, &t->reply);
		if (r < 0)
			return r;
		if (t->reply.code == 421)
			return -ECONNABORTED;
		t->rcpts[i] = RCPT_ANSWERED;
		delivery_set(t->d, i, smtp_result(t->d, smtp_class(&t->reply), &t->reply));
	}
	return 0;
}
