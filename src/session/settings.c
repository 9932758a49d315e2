/* The process's configuration is replaced at a reload, and the old tree goes with it; sessions live
 * longer. So the receiver makes one copy a reload, and the last session that uses it frees it. */
#include "session/settings.h"

#include <stdlib.h>

#define DUMP_MAX (16u * 1024u * 1024u)

int settings_new(const struct config *c, struct settings **ret_settings)
{
	struct buf text = BUF_INIT(DUMP_MAX);
	struct settings *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	config_dump(c, &text);
	int r = text.error;
	if (r == 0)
		r = config_parse_dump(buf_span(&text), &s->config);
	buf_done(&text);
	if (r < 0) {
		free(s);
		return r;
	}
	s->refs = 1;
	*ret_settings = s;
	return 0;
}

struct settings *settings_ref(struct settings *s)
{
	s->refs++;
	return s;
}

void settings_unref(struct settings *s)
{
	if (!s || --s->refs > 0)
		return;
	config_free(s->config);
	free(s);
}
