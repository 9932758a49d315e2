/* The one log sink of a process. One event = one line: fixed words and key=value. Only top
 * functions of fibers, roles and the command line log; libraries (base, net, mail, spool, ...)
 * return errors instead. Lines gather in a buffer and go out in one non-blocking write per
 * loop turn (log_flush); what does not fit is counted and said later as event=log-dropped.
 *
 * Formats: readable ("2026-11-22T03:26:43.123Z receiver[1]: accepted id=5G00 from=<a@b>"), or
 * JSON, one object a line: {"ts":..., "role":..., "event":..., "level":..., key: value, ...}.
 * Values are escaped; bytes from peers may be passed as they are. Never credentials or bodies. */
#pragma once
#include "base/span.h"

enum log_format { LOG_READABLE, LOG_JSON };
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* role: "receiver", index >= 0 or -1. fd is borrowed (usually 2). */
void log_init(int fd, enum log_format format, enum log_level level, const char *role, int index);
enum log_level log_get_level(void);

struct log_line; /* the one line under construction; valid until log_end */
/* Returns NULL below the level; every log_* below takes NULL and does nothing. event: fixed word
 * like "message-accepted", listed in docs/logs.md. */
struct log_line *log_begin(enum log_level level, const char *event);
void log_span(struct log_line *l, const char *key, struct span value);
void log_str(struct log_line *l, const char *key, const char *value); /* NULL value: left out */
void log_u64(struct log_line *l, const char *key, uint64_t value);
void log_id(struct log_line *l, const char *key, uint64_t id);	   /* ident_format */
void log_msec(struct log_line *l, const char *key, uint64_t usec); /* as seconds with millis */
void log_errno(struct log_line *l, int negative_errno);		   /* key error */
void log_end(struct log_line *l);
void log_flush(void);
/* For places outside a fiber's top: one call, printf text as key "text". */
void log_text(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);
