// A program that says what its calls give, and children of it that do one thing each.
#ifndef CHILD_H
#define CHILD_H
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// What a call gave.
#define SAY(call) do { errno = 0; long r = (long)(call); \
	printf("%s = %ld %s\n", #call, r, r == -1 ? strerrorname_np(errno) : ""); fflush(stdout); } while (0)

static pid_t child;
// What a child says is told once it has ended.
static int told[2];

static void begin(void)
{
	fflush(stdout);
	if (pipe(told))
		exit(1);
	child = fork();
	if (child == 0)
		dup2(told[1], 1);
	close(told[1]);
}

static void joined(void)
{
	int status = 0;
	char text[4096];
	for (ssize_t length; (length = read(told[0], text, sizeof text)) != 0;)
		if (length > 0)
			fwrite(text, 1, length, stdout);
	close(told[0]);
	while (waitpid(child, &status, 0) < 0)
		;
	printf("child ends with %#x\n", status);
}

// Makes a child that does one thing, and waits until it sleeps.
static void asleep(void (*what)(void))
{
	begin();
	if (child == 0) {
		what();
		fflush(stdout);
		_exit(0);
	}
	char path[64], state = 0;
	sprintf(path, "/proc/%d/stat", child);
	for (int tries = 0; tries < 200 && state != 'S'; tries++) {
		usleep(10000);
		FILE *file = fopen(path, "r");
		if (file && fscanf(file, "%*d %*s %c", &state) != 1) state = 0;
		if (file) fclose(file);
	}
	usleep(100000);
}

#endif
