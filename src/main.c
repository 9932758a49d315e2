/* argv to a subcommand or role. */
#include "base/base.h"

int main(void)
{
	return 0;
}
