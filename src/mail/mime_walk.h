/* A MIME message taken apart while it streams by (private to the room). */
#pragma once
#include "mail/mime.h"

enum mime_kind {
	MIME_LEAF,
	MIME_OPAQUE,	/* not to be touched, nor looked into */
	MIME_COMPOSITE, /* multipart, message/rfc822 */
};
enum mime_encoding {
	MIME_ENC_NONE, /* not said: 7bit */
	MIME_ENC_7BIT,
	MIME_ENC_8BIT,
	MIME_ENC_BINARY,
	MIME_ENC_ENCODED, /* quoted-printable, base64 */
	MIME_ENC_UNKNOWN,
};
struct mime_entity {
	uint32_t number; /* 0 is the message itself; in the order of their headers */
	enum mime_kind kind;
	enum mime_encoding encoding;
	bool has_type, has_version, other_type; /* other_type: a type, and not text */
	/* of the walk */
	bool multipart, digest, in_digest, is_message, protected;
	uint8_t boundary_len;
	char boundary[70];
};
/* What the walk tells; every octet of the message comes by in exactly one of the spans. */
struct mime_events {
	/* A whole field, its line ends included; name is empty for what is none. */
	void (*field)(void *arg, const struct mime_entity *e, struct span name, struct span whole);
	/* Behind the header: its kind is known. blank is the empty line, or nothing. */
	void (*header_end)(void *arg, const struct mime_entity *e, struct span blank);
	void (*body)(void *arg, const struct mime_entity *e, struct span octets);
	void (*body_end)(void *arg, const struct mime_entity *e);
	/* Boundaries and what stands before the first and behind the last. */
	void (*between)(void *arg, struct span octets, bool is_boundary);
};
struct mime_walk {
	const struct mime_events *events;
	void *arg;
	enum { WALK_HEADER, WALK_BODY, WALK_BETWEEN } state;
	struct mime_entity entity; /* the one at hand */
	char (*boundaries)[72];	   /* of open multiparts: length, octets, is it a digest? */
	unsigned depth;
	uint32_t entities;
	struct buf line;  /* what was not decided yet: the beginning of a line, or a field */
	size_t line_from; /* of field's last line, in line */
	bool pending_crlf;
	bool in_line; /* the line's beginning has gone by: it is no boundary */
	int error;
};
void walk_init(struct mime_walk *w, const struct mime_events *events, void *arg);
void walk_done(struct mime_walk *w);
void walk_feed(struct mime_walk *w, struct span in);
void walk_end(struct mime_walk *w);

/* mime_field.c: what one field says of the entity. */
void mime_field_read(struct mime_entity *e, struct span name, struct span body);
/* Behind the last field. */
void mime_entity_decide(struct mime_entity *e);
