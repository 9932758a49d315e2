/* What logins taught goes into the users' sources: by `postrider user keys`, as a child with the
 * supervisor's rights, because the directory process may write no source, and must not. It is told
 * nothing by the directory but that there is something; it reads data/auth/learned itself. */
#include "process/supervisor.h"

#include "base/log.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* After fork. Nothing is said: the exit status is enough. */
NORETURN static void exec_command(const struct supervisor *s)
{
	char name[] = "postrider", user[] = "user", keys[] = "keys", flag[] = "-c";
	char *path = strdup(s->path);
	char *argv[] = {name, user, keys, flag, path, NULL};
	int self = fcntl(s->self_fd, F_DUPFD_CLOEXEC, 10),
	    null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	if (!path || self < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
		dup2(null, 2) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(71);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	fexecve(self, argv, environ);
	_exit(72);
}

void learn_begin(struct supervisor *s)
{
	/* Evaluation mode has no file that another process could read; its user has keys. */
	if (!s->path || s->draining)
		return;
	if (s->learner) {
		s->learn_again = true;
		return;
	}
	s->learn_again = false;
	log_flush();
	pid_t pid = fork();
	if (pid == 0)
		exec_command(s);
	if (pid < 0)
		log_text(LOG_LEVEL_WARN, "keys-not-added", "%s", strerror(errno));
	s->learner = pid > 0 ? pid : 0;
}

void learn_reap(struct supervisor *s)
{
	int status;

	if (!s->learner || waitpid(s->learner, &status, WNOHANG) != s->learner)
		return;
	s->learner = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		log_text(LOG_LEVEL_WARN, "keys-not-added",
			"SCRAM keys that logins taught stay beside the users' sources: 'postrider "
			"user keys' says why");
	if (s->learn_again)
		learn_begin(s);
}
