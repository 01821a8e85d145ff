// Calls on pidfds, and what each gives: the same on any Linux from 6.15 on. No number of a process is told.
#include "child.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <stdint.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define CLONE_PIDFD_FLAG 0x1000
#define PEERPIDFD 77
#define THREAD_FLAG O_EXCL
#define GET_INFO _IOWR(0xff, 11, struct info)
#define GET_NS(n) _IO(0xff, n)

struct info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
	uint32_t coredump, spare;
};

static int pidfd_open(pid_t pid, unsigned flags) { return syscall(434, pid, flags); }
static int pidfd_send(int fd, int sig) { return syscall(424, fd, sig, NULL, 0); }
static int pidfd_getfd(int fd, int other) { return syscall(438, fd, other, 0); }

// Whether a call that gives a descriptor does; it is put away.
static int opens(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static int becomes_readable(int fd, int milliseconds)
{
	struct pollfd polled = { fd, POLLIN, 0 };
	poll(&polled, 1, milliseconds);
	return polled.revents & POLLIN;
}

static int is_readable(int fd)
{
	return becomes_readable(fd, 0);
}

// What fdinfo says: who, by the numbers that we know.
static void fdinfo(int fd)
{
	char path[64], line[256];
	sprintf(path, "/proc/self/fdinfo/%d", fd);
	int opened = open(path, O_RDONLY | O_CLOEXEC);
	FILE *file = fdopen(opened, "r");
	while (file && fgets(line, sizeof line, file)) {
		int first, second = 0;
		if (sscanf(line, "Pid:\t%d", &first) == 1)
			printf("Pid: %s\n", first == child ? "the child" : first == getpid() ? "self" : first < 0 ? "none" : first ? "another" : "unseen");
		int read = sscanf(line, "NSpid:\t%d\t%d", &first, &second);
		if (read >= 1)
			printf("NSpid: %s, %d deep, inside %d\n", first == child ? "the child" : first == getpid() ? "self" : first < 0 ? "none" : first ? "another" : "unseen", read, second);
	}
	if (file)
		fclose(file);
}

static void information(int fd, uint64_t mask)
{
	struct info info = { .mask = mask };
	SAY(ioctl(fd, GET_INFO, &info));
	printf("mask %#lx, %s, parent %d, uid %u %u, status %#x, coredump %#x\n", (long)info.mask,
	       info.pid == (uint32_t)child ? "the child" : info.pid == (uint32_t)getpid() ? "self" : info.pid ? "another" : "nobody",
	       info.ppid == (uint32_t)getpid(), info.ruid, info.euid, info.exit_code, info.coredump);
}

static void arguments(void)
{
	SAY(opens(pidfd_open(0, 0)));
	SAY(opens(pidfd_open(-1, 0)));
	SAY(opens(pidfd_open(4000000, 0)));
	SAY(opens(pidfd_open(4000000, 1)));
	SAY(opens(pidfd_open(getpid(), 1)));
	SAY(opens(pidfd_open(1, 0)));
	SAY(pidfd_send(0, 0));
	SAY(pidfd_getfd(0, 0));
	int self = pidfd_open(getpid(), 0);
	printf("closed by exec %d\n", fcntl(self, F_GETFD) & FD_CLOEXEC);
	fdinfo(self);
	information(self, 0);
	information(self, ~0UL);
	SAY(ioctl(self, GET_INFO, NULL));
	SAY(ioctl(self, _IOWR(0xff, 11, uint64_t), NULL));
	SAY(ioctl(self, _IO(0xff, 99), 0));
	for (int request = 1; request <= 10; request++)
		printf("namespace %d: %d\n", request, opens(ioctl(self, GET_NS(request), 0)));
	prctl(PR_SET_DUMPABLE, 0);
	information(self, 16);
	prctl(PR_SET_DUMPABLE, 1);
	SAY(opens(pidfd_getfd(self, 1)));
	SAY(opens(pidfd_getfd(self, 999)));
	close(self);
}

static void *sleeps(void *arg)
{
	*(pid_t *)arg = gettid();
	pause();
	return NULL;
}

static void threads(void)
{
	pthread_t thread;
	volatile pid_t tid = 0;
	pthread_create(&thread, NULL, sleeps, (void *)&tid);
	while (!tid)
		usleep(1000);
	SAY(opens(pidfd_open(tid, 0)));
	int fd = pidfd_open(tid, THREAD_FLAG);
	printf("of a thread: %d, readable %d\n", fd >= 0, is_readable(fd));
	SAY(pidfd_send(fd, 0));
	struct info info = { 0 };
	SAY(ioctl(fd, GET_INFO, &info));
	printf("%d %d\n", info.pid == (uint32_t)tid, info.tgid == (uint32_t)getpid());
	SAY(opens(ioctl(fd, GET_NS(4), 0)));
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	// Who joins may go on before the thread has wholly ended.
	printf("readable %d\n", becomes_readable(fd, 10000));
	SAY(pidfd_send(fd, 0));
	close(fd);
}

static void of_child(int fd)
{
	printf("readable %d\n", is_readable(fd));
	fdinfo(fd);
	information(fd, 8);
	SAY(pidfd_send(fd, 0));
	SAY(opens(pidfd_getfd(fd, 0)));
	SAY(opens(ioctl(fd, GET_NS(4), 0)));
	SAY(setns(fd, CLONE_NEWUTS));
}

static void death(void)
{
	siginfo_t info = { 0 };
	int go[2];
	SAY(pipe(go));
	child = fork();
	if (child == 0) {
		char byte;
		close(go[1]);
		read(go[0], &byte, 1);
		_exit(3);
	}
	close(go[0]);
	int before = pidfd_open(child, O_NONBLOCK);
	of_child(before);
	SAY(waitid(P_PIDFD, before, &info, WEXITED));
	fcntl(before, F_SETFL, O_RDWR);
	SAY(waitid(P_PIDFD, before, &info, WEXITED | WNOHANG));
	close(go[1]);
	SAY(waitid(P_PIDFD, before, &info, WEXITED | WNOWAIT));
	printf("code %d, status %d, the child %d\n", info.si_code, info.si_status, info.si_pid == child);
	of_child(before);
	// Nobody has waited for it yet.
	int after = pidfd_open(child, O_NONBLOCK);
	int of_thread = pidfd_open(child, THREAD_FLAG);
	printf("of a zombie: %d %d, flags %#x %#x\n", after >= 0, of_thread >= 0, fcntl(after, F_GETFL) & O_NONBLOCK,
	       fcntl(of_thread, F_GETFL) & O_NONBLOCK);
	of_child(after);
	of_child(of_thread);
	memset(&info, 0, sizeof info);
	SAY(waitid(P_PIDFD, after, &info, WEXITED));
	printf("code %d, status %d, the child %d\n", info.si_code, info.si_status, info.si_pid == child);
	of_child(before);
	of_child(after);
	SAY(waitid(P_PIDFD, before, &info, WEXITED));
	SAY(opens(pidfd_open(child, 0)));
	close(before);
	close(after);
	close(of_thread);
}

// The directory of a process is as good as a pidfd for a signal.
static void directories(void)
{
	int self = open("/proc/self", O_RDONLY | O_DIRECTORY);
	SAY(pidfd_send(self, 0));
	close(self);
	self = open("/proc/self", O_PATH);
	SAY(pidfd_send(self, 0));
	close(self);
	self = open("/proc/thread-self", O_RDONLY);
	SAY(pidfd_send(self, 0));
	close(self);
	SAY(pidfd_send(-10000, 0));
	SAY(pidfd_send(-10001, 0));
	SAY(pidfd_send(-10002, 0));
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	char path[64];
	int status = 0;
	sprintf(path, "/proc/%d", child);
	int fd = open(path, O_RDONLY);
	SAY(pidfd_send(fd, 0));
	SAY(opens(pidfd_getfd(fd, 0)));
	SAY(setns(fd, CLONE_NEWUTS));
	SAY(pidfd_send(fd, SIGTERM));
	while (waitpid(child, &status, 0) < 0)
		;
	printf("ends with %#x\n", status);
	SAY(pidfd_send(fd, 0));
	close(fd);
}

// A poller is woken by the death.
static void polling(void)
{
	child = fork();
	if (child == 0) {
		usleep(100000);
		_exit(0);
	}
	struct pollfd polled = { pidfd_open(child, 0), POLLIN, 0 };
	SAY(poll(&polled, 1, 20000));
	SAY(pidfd_send(polled.fd, SIGKILL));
	SAY(waitpid(child, NULL, 0) == child);
	close(polled.fd);
}

static void born(void)
{
	int fd = -1;
	child = syscall(SYS_clone, CLONE_PIDFD_FLAG | SIGCHLD, NULL, &fd, NULL, NULL);
	if (child == 0) {
		pause();
		_exit(0);
	}
	fdinfo(fd);
	SAY(pidfd_send(fd, SIGTERM));
	int status = 0;
	while (waitpid(child, &status, 0) < 0)
		;
	printf("ends with %#x\n", status);
	information(fd, 8);
	fdinfo(fd);
	close(fd);
}

// What a process can do with the pidfd of one that its pid namespace does not show.
static void unseen(void)
{
	int self = pidfd_open(getpid(), 0);
	// Before, so that the child does not share the namespace of those that come later.
	begin();
	if (child == 0) {
		SAY(unshare(CLONE_NEWPID | CLONE_NEWUTS));
		fflush(stdout);
		pid_t inner = fork();
		if (inner == 0) {
			information(self, 0);
			SAY(pidfd_send(self, 0));
			SAY(setns(self, CLONE_NEWUTS));
			SAY(opens(ioctl(self, GET_NS(10), 0)));
			SAY(opens(pidfd_open(2, 0)));
			fflush(stdout);
			_exit(0);
		}
		int own = pidfd_open(inner, 0), status;
		siginfo_t dead;
		child = inner;
		waitid(P_PID, inner, &dead, WEXITED | WNOWAIT);
		fdinfo(own);
		waitpid(inner, &status, 0);
		fflush(stdout);
		_exit(status);
	}
	joined();
	close(self);
}

static void peers(void)
{
	int ends[2], fd = -1;
	socklen_t length = sizeof fd;
	SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	SAY(getsockopt(ends[0], SOL_SOCKET, PEERPIDFD, &fd, &length));
	fdinfo(fd);
	information(fd, 0);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	// The child's numbers are told by deaths.
	setbuf(stdout, NULL);
	arguments();
	threads();
	death();
	directories();
	polling();
	born();
	unseen();
	peers();
	printf("end\n");
	return 0;
}
