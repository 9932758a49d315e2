/* Who speaks for others on this listener: XCLIENT and XFORWARD (verb_xclient.c). */
#pragma once
#include "session/state.h"

bool session_may_xclient(const struct session *s);
bool session_may_xforward(const struct session *s);
