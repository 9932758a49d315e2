/* The one place that words "FILE:LINE: what: remedy". Every reader of the configuration goes on
 * after an error, so that the operator sees all of them in one run; what bounds the list stands
 * in diag.h, what bounds its octets is the ceiling of the caller's buffer. */
#include "config/diag.h"

void diag_error(struct diag *d, struct position at, const char *fmt, ...)
{
	d->count++;
	if (d->count > DIAG_ERRORS_MAX) {
		if (d->count == DIAG_ERRORS_MAX + 1)
			buf_printf(d->errors, "%s: too many errors: repair the ones above first\n",
				at.file);
		return;
	}
	buf_str(d->errors, at.file);
	if (at.line > 0)
		buf_printf(d->errors, ":%u", at.line);
	buf_str(d->errors, ": ");
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(d->errors, fmt, ap);
	va_end(ap);
	buf_char(d->errors, '\n');
}
