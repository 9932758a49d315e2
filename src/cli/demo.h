/* The evaluation mode's account, demo@localhost. */
#pragma once
#include "config/config.h"

/* Makes data/demo-users and data/demo-password at the first start; later ones keep them. */
MUST_CHECK int demo_account(const struct config *c);
