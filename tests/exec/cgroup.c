// Real processes in cgroups: moved, frozen, killed, born there. The argument is the directory of the hierarchy.
#include "child.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static volatile long *count, *handled;

static long put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	long written = write(fd, text, strlen(text)), error = errno;
	close(fd);
	errno = error;
	return written;
}

static long put_number(const char *file, long number)
{
	char text[32];
	sprintf(text, "%ld", number);
	return put(file, text) > 0 ? 0 : -1;
}

// The lines of a file that begin with a word.
static void show(const char *file, const char *word)
{
	char line[256];
	FILE *lines = fopen(file, "r");
	while (lines && fgets(line, sizeof line, lines))
		if (strncmp(line, word, strlen(word)) == 0)
			printf("    %s", line);
	if (lines)
		fclose(lines);
}

// Waits until a file has a line.
static void until(const char *file, const char *wanted)
{
	char line[256];
	for (int tries = 0; tries < 300; tries++) {
		FILE *lines = fopen(file, "r");
		while (lines && fgets(line, sizeof line, lines))
			if (strcmp(line, wanted) == 0) {
				fclose(lines);
				printf("    %s", wanted);
				return;
			}
		if (lines)
			fclose(lines);
		usleep(10000);
	}
	printf("    never: %s", wanted);
}

// Whether the child runs, once it does what is expected, or has had time to.
static const char *state(int runs)
{
	for (int tries = 0; tries < 30; tries++) {
		long before = *count;
		usleep(200000);
		if ((*count != before) == runs)
			return runs ? "it runs" : "it stands still";
	}
	return runs ? "it stands still" : "it runs";
}

static void on_signal(int signal) { (void)signal; ++*handled; }

static pid_t spins(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
		for (;;)
			++*count;
	}
	return pid;
}

static void ended(pid_t pid)
{
	int status = 0;
	SAY(waitpid(pid, &status, 0) > 0);
	printf("    status %#x\n", status);
}

static pid_t born_in(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd };
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		for (;;)
			++*count;
	close(fd);
	return pid;
}

static void *thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void freezes(void)
{
	int status = 0;
	pid_t pid = spins();
	SAY(put_number("a/b/cgroup.procs", pid));
	printf("%s\n", state(1));
	SAY(put("a/cgroup.freeze", "1"));
	until("a/b/cgroup.events", "frozen 1\n");
	printf("%s\n", state(0));
	SAY(waitpid(pid, &status, WNOHANG | WUNTRACED));
	SAY(kill(pid, SIGUSR1));
	printf("%s\n", state(0));
	SAY(*handled);
	SAY(put("a/cgroup.freeze", "0"));
	until("a/b/cgroup.events", "frozen 0\n");
	printf("%s\n", state(1));
	SAY(*handled);

	SAY(put("a/b/cgroup.freeze", "1"));
	printf("%s\n", state(0));
	SAY(kill(pid, SIGSTOP));
	usleep(50000);
	SAY(waitpid(pid, &status, WNOHANG | WUNTRACED));
	SAY(put("a/b/cgroup.freeze", "0"));
	SAY(waitpid(pid, &status, WUNTRACED) == pid);
	printf("    status %#x\n", status);
	SAY(put("a/b/cgroup.freeze", "1"));
	SAY(kill(pid, SIGCONT));
	SAY(waitpid(pid, &status, WCONTINUED) == pid);
	printf("%s\n", state(0));
	SAY(put_number("cgroup.procs", pid));
	printf("%s\n", state(1));
	SAY(put_number("a/b/cgroup.procs", pid));
	printf("%s\n", state(0));
	SAY(kill(pid, SIGTERM));
	ended(pid);

	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	SAY(put_number("a/b/cgroup.procs", pid));
	usleep(50000);
	SAY(kill(pid, SIGKILL));
	ended(pid);
	SAY(put("a/b/cgroup.freeze", "0"));
}

static void sleeps_frozen(void)
{
	usleep(300000);
	_exit(7);
}

int main(int argc, char **argv)
{
	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	handled = count + 1;
	alarm(300);
	if (argc < 2 || chdir(argv[1]) || mkdir("nslab-test", 0755) || chdir("nslab-test"))
		return 1;
	SAY(mkdir("a", 0755));
	SAY(mkdir("a/b", 0755));
	SAY(mkdir("a/b", 0755));
	SAY(rmdir("a"));
	SAY(put("a/cgroup.freeze", "2"));
	SAY(put("a/cgroup.kill", "2"));
	SAY(put("a/cgroup.procs", "x"));
	SAY(put("a/cgroup.events", "1"));
	freezes();

	// Time goes on for who sleeps, and what it slept for has come once it goes on.
	begin();
	if (child == 0)
		sleeps_frozen();
	SAY(put_number("a/cgroup.procs", child));
	SAY(put("a/cgroup.freeze", "1"));
	usleep(500000);
	int status = 0;
	SAY(waitpid(child, &status, WNOHANG));
	SAY(put("a/cgroup.freeze", "0"));
	joined();

	SAY(put("a/cgroup.freeze", "1"));
	pid_t pid = born_in("a/b");
	printf("%s\n", state(0));
	until("a/b/cgroup.events", "populated 1\n");
	SAY(put("a/cgroup.freeze", "0"));
	printf("%s\n", state(1));
	SAY(rmdir("a/b"));
	pid_t other = born_in("a");
	SAY(put("a/cgroup.kill", "1"));
	ended(pid);
	ended(other);
	until("a/cgroup.events", "populated 0\n");

	SAY(put("a/cgroup.type", "threaded"));
	SAY(put("a/cgroup.kill", "1"));
	show("a/cgroup.type", "");
	pid = fork();
	if (pid == 0) {
		pthread_t id;
		pthread_create(&id, NULL, thread, NULL);
		for (;;)
			++*count;
	}
	SAY(put_number("cgroup.procs", pid));
	usleep(50000);
	SAY(put_number("a/cgroup.threads", pid));
	SAY(put_number("a/cgroup.procs", pid));
	show("a/cgroup.events", "");
	SAY(put("a/cgroup.freeze", "1"));
	printf("%s\n", state(0));
	SAY(kill(pid, SIGKILL));
	ended(pid);
	SAY(put("a/cgroup.freeze", "0"));
	SAY(rmdir("a/b"));
	SAY(rmdir("a"));
	SAY(chdir("..") || rmdir("nslab-test"));
	return 0;
}
