# Types at a shell that runs in a lab, on a terminal of its own. Arguments: the command. Says what is wrong and fails, or exits 0.
import os, pty, re, select, sys, time

PATIENCE = 60  # seconds until something that does not appear never will

pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(PS1='ready> ', TERM='dumb', LC_ALL='C')
    os.execvp(sys.argv[1], sys.argv[1:])


def until(pattern):
    """What appears on the screen up to something."""
    seen, end = b'', time.monotonic() + PATIENCE
    while not re.search(pattern, seen):
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        if not ready:
            sys.exit(f'{pattern} does not appear: {seen}')
        seen += os.read(terminal, 4096)
    return seen


def press(keys):
    os.write(terminal, keys)


def run(line):
    press(line + b'\n')
    return until(rb'ready> $')


def job():
    """Waits until the terminal is another group's than the shell's, and that one runs sleep."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        group = os.tcgetpgrp(terminal)
        try:
            if group != shell and open(f'/proc/{group}/comm').read() == 'sleep\n':
                return
        except OSError:
            pass
    sys.exit('the job never gets the terminal')


until(rb'ready> $')
shell = os.tcgetpgrp(terminal)
press(b'sleep 1000\n')
job()
press(b'\x1a')
assert b'Stopped' in until(rb'ready> $')
assert b'Stopped' in run(b'jobs')
press(b'fg\n')
job()
press(b'\x03')
until(rb'ready> $')
assert b'130' in run(b'echo $?')
assert b'done 2' in run(b'sleep 0.1 | cat; echo done $$')
assert b'Running' in run(b'sleep 1000 & jobs')
assert b'137' in run(b'kill -KILL $!; wait $!; echo $?')
press(b'exit 5\n')
try:
    while os.read(terminal, 4096):
        pass
except OSError:
    pass
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 5, status
