/* PROXY headers: no octet beyond the header is asked for, the answer does not depend on how it
 * came, and what is complete is judged without reading beyond it. */
#include "accept/proxy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	size_t have = 0, need = 1;
	int r = 0;

	while (r == 0 && need > 0) {
		r = proxy_need(span_head(in, have), &need);
		if (r < 0 || need == 0)
			break;
		assert(have + need <= PROXY_HEADER_MAX);
		if (have + need > in.len)
			return 0;
		have += need;
	}
	struct proxy_header h;
	int parsed = r == 0 ? proxy_parse(span_head(in, have), &h) : -EINVAL;
	if (parsed == 0 && !h.keep) {
		struct buf text = BUF_INIT(256);
		assert(h.source.len > 0 && h.destination.len > 0);
		address_format(&h.source, &text);
		address_format(&h.destination, &text);
		assert(text.error == 0);
		buf_done(&text);
	}
	return 0;
}
