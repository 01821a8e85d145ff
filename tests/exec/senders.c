// Who sends: what belongs to signals and to messages of sockets, by each way to hear of it. The same on any Linux; no number of a
// process or user is told.
#include "child.h"
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

static const char *who(pid_t pid)
{
	return pid == child ? "the child" : pid == getpid() ? "self" : pid == getppid() ? "the parent" : pid ? "another" : "nobody";
}

static void tell(const char *way, int signo, int code, pid_t pid, uid_t uid, int value)
{
	printf("%s: signal %d, code %d, of %s, user %s, value %d\n", way, signo, code, who(pid),
	       uid == getuid() ? "own" : "other", value);
}

static volatile siginfo_t got;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	*(siginfo_t *)&got = *info;
}

static void by_kill(pid_t to) { kill(to, SIGUSR1); }
static void by_tgkill(pid_t to) { syscall(SYS_tgkill, to, to, SIGUSR1); }
static void by_sigqueue(pid_t to) { sigqueue(to, SIGUSR1, (union sigval){ .sival_int = 77 }); }
static void by_pidfd(pid_t to) { syscall(424, (int)syscall(434, to, 0), SIGUSR1, NULL, 0); }
static void by_itself(pid_t to) { (void)to; }

// The child sends to us, or we to ourselves.
static void send_by(void (*send)(pid_t), int from_child)
{
	if (!from_child) {
		child = 0;
		send(getpid());
		return;
	}
	pid_t parent = getpid();
	child = fork();
	if (child == 0) {
		send(parent);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void signals(void)
{
	static const struct { const char *name; void (*send)(pid_t); } ways[] = {
		{ "kill", by_kill }, { "tgkill", by_tgkill }, { "sigqueue", by_sigqueue }, { "pidfd_send_signal", by_pidfd },
	};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(SIGUSR1, &action, NULL);
	int fd = signalfd(-1, &set, SFD_CLOEXEC);
	for (int way = 0; way < 4; way++)
		for (int from_child = 0; from_child < 2; from_child++) {
			printf("%s %s\n", ways[way].name, from_child ? "from a child" : "to itself");
			memset((void *)&got, 0, sizeof got);
			send_by(ways[way].send, from_child);
			tell("handler", got.si_signo, got.si_code, got.si_pid, got.si_uid, got.si_code == -1 ? got.si_value.sival_int : 0);
			sigprocmask(SIG_BLOCK, &set, NULL);
			send_by(ways[way].send, from_child);
			siginfo_t info;
			sigwaitinfo(&set, &info);
			tell("sigwaitinfo", info.si_signo, info.si_code, info.si_pid, info.si_uid, info.si_code == -1 ? info.si_value.sival_int : 0);
			send_by(ways[way].send, from_child);
			struct signalfd_siginfo read_info = { 0 };
			printf("read %d bytes\n", (int)read(fd, &read_info, sizeof read_info));
			tell("signalfd", read_info.ssi_signo, read_info.ssi_code, read_info.ssi_pid, read_info.ssi_uid, read_info.ssi_int);
			sigprocmask(SIG_UNBLOCK, &set, NULL);
		}
	close(fd);
}

// A death, by way of a descriptor; several signals at once; another descriptor of the same number; one that changes its set.
static void deaths(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	struct signalfd_siginfo info[4];
	SAY(read(fd, info, sizeof info));
	SAY(read(fd, info, 1));
	child = fork();
	if (child == 0)
		_exit(5);
	siginfo_t dead;
	waitid(P_PID, child, &dead, WEXITED | WNOWAIT);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SAY(signalfd(fd, &set, 0) == fd);
	kill(getpid(), SIGUSR2);
	int length = read(fd, info, sizeof info);
	printf("%d signals\n", length / (int)sizeof *info);
	for (int index = 0; index < length / (int)sizeof *info; index++)
		tell("signalfd", info[index].ssi_signo, info[index].ssi_code, info[index].ssi_pid, info[index].ssi_uid,
		     info[index].ssi_status);
	waitpid(child, NULL, 0);
	close(fd);
	int ends[2];
	char text[4] = "";
	SAY(pipe(ends));
	SAY(write(ends[1], "abc", 3));
	SAY(read(ends[0], text, 3));
	printf("%s\n", text);
	SAY(syscall(SYS_signalfd4, -1, NULL, 8, 0));
	SAY(signalfd(ends[0], &set, 0));
	close(ends[0]);
	// The kernel sends it in our name.
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SAY(write(ends[1], "abc", 3));
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	siginfo_t pipe_info;
	child = 0;
	SAY(sigwaitinfo(&set, &pipe_info));
	tell("sigwaitinfo", pipe_info.si_signo, pipe_info.si_code, pipe_info.si_pid, pipe_info.si_uid, 0);
	struct timespec none = { 0, 0 };
	SAY(sigtimedwait(&set, &pipe_info, &none));
	close(ends[1]);
}

static void owners(void)
{
	int ends[2];
	SAY(pipe(ends));
	SAY(fcntl(ends[0], F_SETOWN, getpid()));
	printf("owner %s\n", who(fcntl(ends[0], F_GETOWN)));
	/* Nslab is in the group that the program begins in: nobody may signal that. */
	setpgid(0, 0);
	SAY(fcntl(ends[0], F_SETOWN, -getpgrp()));
	printf("group %d\n", fcntl(ends[0], F_GETOWN) == -getpgrp());
	struct f_owner_ex owner = { F_OWNER_TID, getpid() };
	SAY(fcntl(ends[0], F_SETOWN_EX, &owner));
	memset(&owner, 0, sizeof owner);
	SAY(fcntl(ends[0], F_GETOWN_EX, &owner));
	printf("owner %d %s\n", owner.type, who(owner.pid));
	owner.pid = 3999999;
	SAY(fcntl(ends[0], F_SETOWN_EX, &owner));
	close(ends[0]);
	close(ends[1]);
}

static int send_with(int fd, const struct ucred *cred)
{
	char byte = 'x', control[CMSG_SPACE(sizeof *cred)] = "";
	struct iovec text = { &byte, 1 };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1 };
	if (cred) {
		message.msg_control = control;
		message.msg_controllen = sizeof control;
		struct cmsghdr *part = CMSG_FIRSTHDR(&message);
		*part = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof *cred), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS };
		memcpy(CMSG_DATA(part), cred, sizeof *cred);
	}
	return sendmsg(fd, &message, 0);
}

static void receive_with(int fd)
{
	char byte, control[256];
	struct iovec text = { &byte, 1 };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	printf("received %d\n", (int)recvmsg(fd, &message, MSG_DONTWAIT));
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
		struct ucred cred;
		memcpy(&cred, CMSG_DATA(part), sizeof cred);
		if (part->cmsg_type == SCM_CREDENTIALS)
			printf("credentials of %s, user %s, group %s\n", who(cred.pid), cred.uid == getuid() ? "own" : "other",
			       cred.gid == getgid() ? "own" : "other");
	}
}

static void messages(void)
{
	int ends[2], yes = 1;
	SAY(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	struct ucred peer = { 0 }, own = { getpid(), getuid(), getgid() }, wrong = { getpid() + 1000000, getuid(), getgid() };
	socklen_t length = sizeof peer;
	child = 0;
	SAY(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
	printf("peer %s, user %s\n", who(peer.pid), peer.uid == getuid() ? "own" : "other");
	SAY(send_with(ends[1], NULL));
	receive_with(ends[0]);
	SAY(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
	SAY(send_with(ends[1], NULL));
	receive_with(ends[0]);
	SAY(send_with(ends[1], &own));
	receive_with(ends[0]);
	SAY(send_with(ends[1], &wrong));
	int status;
	child = fork();
	if (child == 0) {
		own.pid = getpid();
		_exit(send_with(ends[1], NULL) == 1 && send_with(ends[1], &own) == 1 && write(ends[1], "x", 1) == 1 ? 0 : 1);
	}
	// Until it is dead its number means it.
	siginfo_t dead;
	waitid(P_PID, child, &dead, WEXITED | WNOWAIT);
	printf("child exits with %d\n", dead.si_status);
	for (int index = 0; index < 3; index++)
		receive_with(ends[0]);
	waitpid(child, &status, 0);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	setbuf(stdout, NULL);
	signals();
	deaths();
	owners();
	messages();
	printf("end\n");
	return 0;
}
