/* Date and time, RFC 5322 3.3 and its obsolete forms 4.3; RFC 3339 for logs.
 *
 *   date-time   = [ day-name [","] ] day month year time-of-day zone   ; CFWS between any two
 *   day         = 1*2DIGIT
 *   year        = 4*DIGIT / 2*3DIGIT           ; 4.3: 00-49 are 2000-2049, 50-999 are 1950-2899
 *   time-of-day = hour ":" minute [ ":" second ]
 *   zone        = ( "+" / "-" ) 4DIGIT / "UT" / "GMT" / "EST" ... / military letters
 *
 * The calendar is our own arithmetic (days since 1970 of the proleptic Gregorian calendar): no time
 * zone database, no locale, the same result in a chroot and in the simulator. The day of the week
 * must be a name but may be wrong, as it often is. Dates before 1970 have no value here. */
#include "mail/date.h"
#include "base/clock.h"
#include "mail/octet.h"

#define YEAR_MAX 9999u

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil {
	uint64_t year;
	unsigned month, day, hour, minute, second; /* month and day from 1 */
};

/* As the other way round (base/clock.c): years count from March, so that the leap day is the last
 * of its year, in eras of 400 years = 146,097 days. */
static uint64_t days_from_civil(uint64_t year, unsigned month, unsigned day)
{
	uint64_t y = year - (month <= 2);
	uint64_t era = y / 400, in_era = y % 400;
	uint64_t in_year = (153u * ((month + 9u) % 12u) + 2u) / 5u + day - 1u;
	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

/* "03:26:43" */
static void time_put(struct buf *out, const struct clock_date *d)
{
	buf_u64_padded(out, d->hour, 2);
	buf_char(out, ':');
	buf_u64_padded(out, d->minute, 2);
	buf_char(out, ':');
	buf_u64_padded(out, d->second, 2);
}

void date_format(uint64_t wall_usec, struct buf *out)
{
	struct clock_date d = clock_date_utc(wall_usec);

	buf_append(out, day_names[d.weekday], 3);
	buf_append(out, ", ", 2);
	buf_u64_padded(out, d.day, 2);
	buf_char(out, ' ');
	buf_append(out, month_names[d.month - 1], 3);
	buf_char(out, ' ');
	buf_u64_padded(out, d.year, 4);
	buf_char(out, ' ');
	time_put(out, &d);
	buf_str(out, " +0000");
}

void date_format_iso(uint64_t wall_usec, struct buf *out)
{
	struct clock_date d = clock_date_utc(wall_usec);

	buf_u64_padded(out, d.year, 4);
	buf_char(out, '-');
	buf_u64_padded(out, d.month, 2);
	buf_char(out, '-');
	buf_u64_padded(out, d.day, 2);
	buf_char(out, 'T');
	time_put(out, &d);
	buf_char(out, '.');
	buf_u64_padded(out, d.usec / USEC_PER_MSEC, 3);
	buf_char(out, 'Z');
}

/* Behind white space, line ends and comments at s[i]; comments nest, a depth counts them. An
 * unclosed comment reaches to the end. */
static size_t skip_cfws(struct span s, size_t i)
{
	size_t depth = 0;
	for (; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (c == '\\' && depth > 0)
			i += i + 1 < s.len;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
	}
	return i;
}

static bool take_number(struct span s, size_t *i, unsigned digits_min, unsigned digits_max,
	unsigned *ret_digits, unsigned *ret_value)
{
	unsigned value = 0, digits = 0;
	size_t at = *i;
	for (; at < s.len && is_digit(octet_at(s, at)); at++, digits++) {
		if (digits == digits_max)
			return false;
		value = value * 10 + (unsigned)(octet_at(s, at) - '0');
	}
	if (digits < digits_min)
		return false;
	*i = skip_cfws(s, at);
	*ret_digits = digits;
	*ret_value = value;
	return true;
}

static struct span take_word(struct span s, size_t *i)
{
	size_t from = *i, at = from;
	while (at < s.len && is_alpha(octet_at(s, at)))
		at++;
	*i = skip_cfws(s, at);
	return span_from(span_head(s, at), from);
}

static bool take_octet(struct span s, size_t *i, char c)
{
	if (!octet_is(s, *i, c))
		return false;
	*i = skip_cfws(s, *i + 1);
	return true;
}

static int name_index(struct span word, const char (*names)[4], size_t count)
{
	for (size_t k = 0; k < count; k++)
		if (span_equal_nocase(word, span_str(names[k])))
			return (int)k;
	return -1;
}

static bool day_exists(const struct civil *c)
{
	static const uint8_t month_days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = c->year % 4 == 0 && (c->year % 100 != 0 || c->year % 400 == 0);

	return c->day >= 1 && c->day <= month_days[c->month - 1] &&
	       (c->month != 2 || c->day < 29 || leap);
}

static bool take_day(struct span s, size_t *i, struct civil *c)
{
	unsigned digits, year;

	if (*i < s.len && is_alpha(octet_at(s, *i))) {
		if (name_index(take_word(s, i), day_names, ARRAY_LEN(day_names)) < 0)
			return false;
		(void)take_octet(s, i, ',');
	}
	if (!take_number(s, i, 1, 2, &digits, &c->day))
		return false;
	int month = name_index(take_word(s, i), month_names, ARRAY_LEN(month_names));
	if (month < 0 || !take_number(s, i, 2, 5, &digits, &year) || year > YEAR_MAX)
		return false;
	c->month = (unsigned)month + 1;
	c->year = digits >= 4 ? year : digits == 2 && year < 50 ? year + 2000u : year + 1900u;
	return c->year >= 1969 && day_exists(c);
}

static bool take_time(struct span s, size_t *i, struct civil *c)
{
	unsigned digits;

	if (!take_number(s, i, 1, 2, &digits, &c->hour) || !take_octet(s, i, ':') ||
		!take_number(s, i, 1, 2, &digits, &c->minute))
		return false;
	c->second = 0;
	if (take_octet(s, i, ':') && !take_number(s, i, 1, 2, &digits, &c->second))
		return false;
	return c->hour < 24 && c->minute < 60 && c->second <= 60; /* 60: a leap second */
}

/* RFC 5322 4.3: unknown names and the military letters (which RFC 822 had the wrong way round) say
 * nothing about the zone and count as -0000. */
static bool take_zone(struct span s, size_t *i, int *ret_minutes)
{
	static const struct {
		char name[4];
		int hours;
	} zones[] = {{"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6}, {"MDT", -6}, {"MST", -7},
		{"PDT", -7}, {"PST", -8}};
	unsigned digits, value;

	bool minus = octet_is(s, *i, '-');
	if (minus || octet_is(s, *i, '+')) {
		(*i)++;
		if (!take_number(s, i, 4, 4, &digits, &value) || value % 100 > 59)
			return false;
		int minutes = (int)(value / 100 * 60 + value % 100);
		*ret_minutes = minus ? -minutes : minutes;
		return true;
	}
	struct span word = take_word(s, i);
	*ret_minutes = 0;
	for (size_t k = 0; k < ARRAY_LEN(zones); k++)
		if (span_equal_nocase(word, span_str(zones[k].name)))
			*ret_minutes = zones[k].hours * 60;
	return word.len > 0;
}

int date_parse(struct span text, uint64_t *ret_wall_usec)
{
	struct civil c;
	int offset;
	size_t i = skip_cfws(text, 0);

	if (!take_day(text, &i, &c) || !take_time(text, &i, &c) || !take_zone(text, &i, &offset) ||
		i != text.len)
		return -EINVAL;
	int64_t days = (int64_t)days_from_civil(c.year, c.month, c.day);
	int64_t seconds = days * 86400 + (int64_t)(c.hour * 3600 + c.minute * 60 + c.second) -
			  (int64_t)offset * 60;
	if (seconds < 0)
		return -EINVAL;
	*ret_wall_usec = (uint64_t)seconds * USEC_PER_SEC;
	return 0;
}

/* Digits of a fixed form: "9999-99-99T99:99:99", where each 9 stands for a digit. */
static bool take_form(struct span s, const char *form, unsigned *values)
{
	unsigned *value = values;
	bool in_number = false;

	for (size_t i = 0; form[i]; i++) {
		uint8_t c = i < s.len ? octet_at(s, i) : 0;
		if (form[i] != '9') {
			if (c != (uint8_t)form[i] && !(form[i] == 'T' && c == 't'))
				return false;
			value += in_number;
			in_number = false;
			continue;
		}
		if (!is_digit(c))
			return false;
		*value = (in_number ? *value * 10 : 0) + (unsigned)(c - '0');
		in_number = true;
	}
	return true;
}

/* RFC 3339 5.6: date-time = full-date "T" full-time, of which RFC 4865 takes UTC only. */
int date_parse_iso(struct span text, uint64_t *ret_wall_usec)
{
	static const char form[] = "9999-99-99T99:99:99";
	unsigned v[6];

	if (!take_form(text, form, v))
		return -EINVAL;
	size_t i = sizeof(form) - 1;
	if (octet_is(text, i, '.')) {
		size_t from = ++i;
		while (i < text.len && is_digit(octet_at(text, i)))
			i++;
		if (i == from)
			return -EINVAL;
	}
	struct span zone = span_from(text, i);
	if (!span_equal_nocase(zone, SPAN_LIT("Z")) && !span_equal(zone, SPAN_LIT("+00:00")))
		return -EINVAL;
	struct civil c = {v[0], v[1], v[2], v[3], v[4], v[5]};
	if (c.year < 1970 || c.month < 1 || c.month > 12 || !day_exists(&c) || c.hour > 23 ||
		c.minute > 59 || c.second > 60)
		return -EINVAL;
	uint64_t days = days_from_civil(c.year, c.month, c.day);
	*ret_wall_usec = (days * 86400 + c.hour * 3600 + c.minute * 60 + c.second) * USEC_PER_SEC;
	return 0;
}
