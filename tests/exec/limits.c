// Limits and rights that namespaces and credentials decide.
#include "child.h"
#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

// A user that nobody else is.
#define USER 41007

static long put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	long written = fd < 0 ? -1 : write(fd, text, strlen(text)), error = errno;
	close(fd);
	errno = error;
	return written;
}

static long get(const char *file, char *text, size_t room)
{
	int fd = open(file, O_RDONLY);
	long length = fd < 0 ? -1 : read(fd, text, room - 1), error = errno;
	text[length > 0 ? length : 0] = 0;
	close(fd);
	errno = error;
	return length > 0 ? 0 : length;
}

static int limit(int what, unsigned long soft)
{
	return setrlimit(what, &(struct rlimit){ soft, soft });
}

static unsigned long limit_of(int pid, int what)
{
	struct rlimit limit = { 0 };
	return syscall(SYS_prlimit64, pid, what, NULL, &limit) ? (unsigned long)-1 : limit.rlim_cur;
}

static int forks(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	int error = errno;
	if (pid > 0)
		waitpid(pid, NULL, 0);
	errno = error;
	return pid > 0 ? 0 : -1;
}

static int runs(const char *program) { return execl(program, program, (char *)NULL); }

// A child does what follows, and says so once it has ended.
#define CHILD(what) do { begin(); if (child == 0) { what; fflush(stdout); _exit(0); } joined(); } while (0)

static pid_t another(int dumpable);

static void processes(void)
{
	CHILD({
		SAY(limit(RLIMIT_NPROC, 3));
		SAY(limit_of(0, RLIMIT_NPROC));
		SAY(forks());
		SAY(setresuid(USER, USER, USER));
		SAY(forks());
		pid_t first = fork();
		if (first == 0)
			for (;;) pause();
		pid_t second = fork();
		if (second == 0)
			for (;;) pause();
		SAY(forks());
		SAY(vfork());
		SAY(limit_of(first, RLIMIT_NPROC));
		kill(second, SIGKILL);
		waitpid(second, NULL, 0);
		SAY(forks());
		SAY(limit(RLIMIT_NPROC, 4));
		SAY(limit(RLIMIT_NPROC, 0));
		SAY(forks());
		SAY(unshare(CLONE_NEWUSER));
		kill(first, SIGKILL);
		waitpid(first, NULL, 0);
	});
	// Who becomes a user that has too many processes learns so when he becomes another program.
	pid_t other = another(-1);
	CHILD({
		SAY(limit(RLIMIT_NPROC, 0));
		SAY(setresuid(USER, USER, USER));
		SAY(runs("/bin/true"));
		SAY(runs("/bin/true"));
		SAY(limit(RLIMIT_NPROC, 0));
		SAY(runs("/bin/false"));
	});
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	CHILD({
		SAY(limit(RLIMIT_NPROC, 0));
		SAY(setresuid(USER, USER, USER));
		SAY(limit(RLIMIT_NPROC, 0));
		SAY(forks());
	});
	// Root of the first user namespace has no such limit, root of another has.
	CHILD({
		SAY(limit(RLIMIT_NPROC, 0));
		SAY(forks());
		SAY(runs("/bin/true"));
	});
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = 8192 };
	CHILD({
		SAY(unshare(CLONE_NEWIPC));
		SAY(limit(RLIMIT_MSGQUEUE, 100000));
		SAY(setresuid(USER, USER, USER));
		SAY(mq_open("/one", O_CREAT | O_RDWR, 0600, &attr) >= 0);
		SAY(mq_open("/two", O_CREAT | O_RDWR, 0600, &attr));
		SAY(mq_unlink("/one"));
		SAY(mq_open("/two", O_CREAT | O_RDWR, 0600, &attr));
	});
	CHILD({
		SAY(unshare(CLONE_NEWIPC));
		SAY(limit(RLIMIT_MSGQUEUE, 1000));
		SAY(mq_open("/one", O_CREAT | O_RDWR, 0600, &attr));
		attr.mq_maxmsg = 11;
		SAY(setresuid(USER, USER, USER));
		SAY(mq_open("/two", O_CREAT | O_RDWR, 0600, &attr));
	});
}

static void namespaces(void)
{
	char text[64];
	CHILD({
		SAY(unshare(CLONE_NEWUSER));
		SAY(put("/proc/self/uid_map", "0 0 1"));
		SAY(put("/proc/sys/user/max_uts_namespaces", "2"));
		SAY(get("/proc/sys/user/max_uts_namespaces", text, sizeof text));
		printf("    %s", text);
		SAY(unshare(CLONE_NEWUTS));
		SAY(unshare(CLONE_NEWUTS));
		SAY(put("/proc/sys/user/max_uts_namespaces", "0"));
		SAY(unshare(CLONE_NEWUTS));
		SAY(unshare(CLONE_NEWUTS | CLONE_NEWIPC));
		SAY(put("/proc/sys/user/max_uts_namespaces", "-1"));
		SAY(put("/proc/sys/user/max_user_namespaces", "1"));
		SAY(unshare(CLONE_NEWUSER));
		SAY(unshare(CLONE_NEWUSER));
		SAY(put("/proc/sys/user/max_user_namespaces", "1"));
		SAY(unshare(CLONE_NEWUSER));
	});
	CHILD({
		SAY(setresuid(USER, USER, USER));
		SAY(put("/proc/sys/user/max_uts_namespaces", "2"));
		SAY(unshare(CLONE_NEWUTS));
	});
}

static char path[64];
static const char *of(pid_t pid, const char *file)
{
	sprintf(path, "/proc/%d/%s", pid, file);
	return path;
}

static int owner(pid_t pid)
{
	struct stat found;
	return stat(of(pid, ""), &found) ? -1 : (int)found.st_uid;
}

// What one process may see of another.
static void looks(pid_t pid)
{
	char text[4096];
	SAY(readlink(of(pid, "ns/uts"), text, sizeof text) > 0);
	SAY(open(of(pid, "ns/uts"), O_RDONLY) >= 0);
	SAY(readlink(of(pid, "cwd"), text, sizeof text) > 0);
	// Of itself a program of a lab sees that of its real process.
	if (pid != getpid())
		SAY(get(of(pid, "environ"), text, sizeof text));
	SAY(get(of(pid, "status"), text, sizeof text));
	SAY(kill(pid, 0));
}

static void user(int dumpable)
{
	if (setresgid(USER, USER, USER) || setresuid(USER, USER, USER))
		_exit(1);
	SAY(prctl(PR_GET_DUMPABLE));
	if (dumpable >= 0)
		SAY(prctl(PR_SET_DUMPABLE, dumpable));
}

static pid_t another(int dumpable)
{
	int ready[2];
	if (pipe(ready))
		exit(1);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (dumpable != -2)
			user(dumpable);
		close(ready[1]);
		fflush(stdout);
		for (;;) pause();
	}
	close(ready[1]);
	read(ready[0], path, 1);
	return pid;
}

static void rights(void)
{
	pid_t root = another(-2), same = another(1), hidden = another(-1);
	SAY(owner(root));
	SAY(owner(same));
	SAY(owner(hidden));
	CHILD({
		user(1);
		looks(root);
		looks(same);
		looks(hidden);
		looks(getpid());
		SAY(prctl(PR_SET_DUMPABLE, 0));
		looks(getpid());
		SAY(prctl(PR_SET_DUMPABLE, 2));
		SAY(prctl(PR_SET_DUMPABLE, 1));
		SAY(prctl(PR_GET_DUMPABLE));
		SAY(setresuid(USER, USER, USER));
		SAY(prctl(PR_GET_DUMPABLE));
	});
	CHILD(looks(hidden));
	// Another program is dumpable again.
	CHILD({
		user(0);
		dup2(1, 2);
		execl("/bin/sh", "sh", "-c", "stat -c %u /proc/$$/status; readlink /proc/$$/ns/user > /dev/null && echo it may", (char *)NULL);
	});
	// An inner root is no root of others, and root of what is in its namespace.
	CHILD({
		user(1);
		SAY(unshare(CLONE_NEWUSER));
		looks(same);
		pid_t own = another(-2);
		looks(own);
		kill(own, SIGKILL);
		waitpid(own, NULL, 0);
	});
	for (int i = 0; i < 3; i++) {
		pid_t pid = (pid_t[]){ root, same, hidden }[i];
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static int listed(pid_t pid)
{
	int found = 0;
	DIR *dir = opendir("/proc");
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		found |= atoi(entry->d_name) == pid;
	if (dir) closedir(dir);
	return found;
}

// A proc that hides the processes of others.
static void hides(const char *how)
{
	char text[64];
	printf("%s\n", how);
	CHILD({
		SAY(unshare(CLONE_NEWPID | CLONE_NEWNS));
		begin();
		if (child == 0) {
			mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
			SAY(mount("proc", "/proc", "proc", 0, how));
			if (strcmp(how, "hidepid=3") == 0) {
				fflush(stdout);
				_exit(0);
			}
			pid_t root = another(-2);
			pid_t same = another(1);
			// What root has looked up is found by others too, for a while.
			int is_sticky = strcmp(how, "hidepid=ptraceable") == 0;
			if (is_sticky)
				user(1);
			for (int times = is_sticky; times < 2; times++) {
				SAY(listed(root));
				SAY(listed(same));
				SAY(owner(root));
				SAY(owner(same));
				SAY(get(of(root, "status"), text, sizeof text));
				SAY(get(of(same, "status"), text, sizeof text));
				SAY(get(of(same, "comm"), text, sizeof text));
				if (times == 0)
					user(1);
			}
			fflush(stdout);
			_exit(0);
		}
		joined();
	});
}

int main(int argc, char **argv)
{
	(void)argc, (void)argv;
	alarm(300);
	processes();
	queues();
	namespaces();
	rights();
	hides("hidepid=1");
	hides("hidepid=invisible");
	hides("hidepid=ptraceable");
	hides("hidepid=2,gid=41007");
	hides("hidepid=3");
	return 0;
}
