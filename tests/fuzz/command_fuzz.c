/* Command lines: the parts lie within the line, the answer is one of those promised, and nothing
 * that was accepted has a control octet. */
#include "fuzz.h"
#include "mail/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span line = span_make(data, size);
	uint8_t mode = fuzz_mode(&line);
	struct command c;

	if (line.len == 0)
		return 0;
	struct verdict v = command_parse(line, mode & 1, &c);
	assert(v.code == 250 || v.code == 500 || v.code == 501 || v.code == 554);
	assert(fuzz_within(c.word, line) && fuzz_within(c.argument, line));
	assert(c.n_params <= COMMAND_PARAMS_MAX);
	assert((v.code == 554) == (c.verb == VERB_HTTP));
	for (size_t i = 0; i < c.n_params; i++) {
		assert(fuzz_within(c.params[i].keyword, c.argument));
		assert(!c.params[i].value.ptr || fuzz_within(c.params[i].value, c.argument));
	}
	if (!verdict_is_ok(v))
		return 0;
	assert(span_equal_nocase(c.word, span_str(verb_name(c.verb))));
	for (size_t i = 0; i < line.len; i++) {
		uint8_t octet = (uint8_t)line.ptr[i];
		assert(octet == '\t' || (octet >= 32 && octet != 127));
		assert((mode & 1) || octet < 128);
	}
	if (c.verb == VERB_MAIL || c.verb == VERB_RCPT) {
		assert(fuzz_within(c.path.text, c.argument));
		assert(!c.path.is_null || c.verb == VERB_MAIL);
	}
	return 0;
}
