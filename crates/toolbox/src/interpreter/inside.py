# What keeps one interpreter context: runs the cells it is sent, in one namespace that lasts.
#
# Its control channel carries frames to and from the toolbox (see protocol.rs) on a descriptor that
# nothing else uses. Output goes to descriptors 1 and 2, where C code and child processes write as
# well. What is written to one of them, or reported, waits until the toolbox has taken what was
# written to the other, so that everything arrives in the order in which it happened.
#
# Runs inside the user's own interpreter, from Python 3.7 on. Must not: leave names in the user's
# namespace, or end because of anything that a cell does.

import _ast
import builtins
import fcntl
import io
import linecache
import os
import signal
import sys
import threading
import time
import traceback

FILE = "<interpreter>"
EXECUTE, INPUT, CHARTS = b"X", b"I", b"P"
BEGUN, DONE, ERROR, RESULT, DISPLAY, CHART, ASK = b"B", b"D", b"E", b"R", b"S", b"C", b"A"
HEAD = 9
# The toolbox refuses longer frames, and more fields.
FRAME_MAX = 3 << 20
REPRESENTATION_MAX = 1 << 20
REPRESENTATIONS_MAX = 24
TEXT_MAX = 100_000
TRACEBACK_MAX = 200_000
NAME_MAX = 1_000
# Cells whose source is kept for tracebacks.
CELLS_MAX = 500
# How many bytes wait in a pipe, and how many that were sent wait in a socket.
FIONREAD, TIOCOUTQ = 0x541B, 0x5411
# Audit events before a process is started.
STARTS = {"os.system", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "subprocess.Popen"}
SETTLE_SECONDS = 1.0
SETTLE_STEP_SECONDS = 0.00002


def settle(fd, request):
    """Waits, within bounds, until nothing that was written to `fd` is still unread."""
    deadline = None
    while True:
        try:
            if not any(fcntl.ioctl(fd, request, b"\0\0\0\0")):
                return
        except OSError:
            return
        now = time.monotonic()
        if deadline is None:
            deadline = now + SETTLE_SECONDS
        elif now > deadline:
            return
        time.sleep(SETTLE_STEP_SECONDS)


class Pipe(io.RawIOBase):
    """One output of the interpreter; never buffers, so that C code may write between."""

    def __init__(self, fd, own, other):
        self._fd = fd
        self._own = own
        self._other = other
        self.name = "<stdout>" if fd == 1 else "<stderr>"
        self.mode = "wb"

    def fileno(self):
        return self._fd

    def writable(self):
        return True

    def write(self, data):
        with memoryview(data) as view, view.cast("B") as rest:
            length = len(rest)
            if length:
                self._other.settle()
            done = 0
            while done < length:
                done += os.write(self._fd, rest[done:])
            if self._fd == 2:
                # C code may go on with standard output. The other way round is not worth its time:
                # a program prints a lot.
                self._own.settle()
            return length


class Settler:
    """Waits for one pipe to be read, as long as it is still the pipe it was at the start."""

    def __init__(self, fd):
        self._fd = fd
        self._pipe = os.fstat(fd).st_ino

    def settle(self):
        try:
            if os.fstat(self._fd).st_ino == self._pipe:
                settle(self._fd, FIONREAD)
        except OSError:
            pass


class Channel:
    """Frames: kind, number of the cell, length; then fields, each with its length."""

    def __init__(self, fd, outputs):
        self._fd = fd
        self._outputs = outputs
        self._buffer = bytearray()
        self._lock = threading.Lock()
        self.process = os.getpid()
        self.interrupts = Interrupts()

    def receive(self):
        """The next frame. May be interrupted: what was read so far is kept."""
        head = self._peek(HEAD)
        end = HEAD + int.from_bytes(head[5:9], "little")
        frame = self._peek(end)
        del self._buffer[:end]
        fields, at = [], HEAD
        while at < end:
            length = int.from_bytes(frame[at : at + 4], "little")
            fields.append(bytes(frame[at + 4 : at + 4 + length]).decode("utf-8"))
            at += 4 + length
        return bytes(frame[:1]), int.from_bytes(frame[1:5], "little"), fields

    def _peek(self, length):
        while len(self._buffer) < length:
            data = os.read(self._fd, 1 << 16)
            if not data:
                # The toolbox has dropped this context.
                os._exit(0)
            self._buffer += data
        return bytes(self._buffer[:length])

    def send(self, kind, number, *fields):
        if os.getpid() != self.process:
            return
        body = b""
        for field in fields:
            data = field.encode("utf-8", "backslashreplace")
            body += len(data).to_bytes(4, "little") + data
        frame = memoryview(kind + number.to_bytes(4, "little") + len(body).to_bytes(4, "little") + body)
        with self._uninterrupted(), self._lock:
            if kind != BEGUN:
                for output in self._outputs:
                    output.settle()
            while frame:
                frame = frame[os.write(self._fd, frame) :]
            # There is nothing of the cell yet that could come too early.
            if kind != BEGUN:
                settle(self._fd, TIOCOUTQ)

    def _uninterrupted(self):
        return self.interrupts if threading.current_thread() is threading.main_thread() else Nothing()

    def abandon(self):
        """In a forked child: the channel is the parent's alone."""
        try:
            os.close(self._fd)
        except OSError:
            pass


class Interrupts:
    """When SIGINT may interrupt the main thread; entered while it must not, half through a frame."""

    def __init__(self):
        self.allowed = False
        self._held = 0
        self._missed = False

    def arrive(self, *_):
        if self.allowed and self._held:
            self._missed = True
        elif self.allowed:
            raise KeyboardInterrupt

    def __enter__(self):
        self._held += 1

    def __exit__(self, *_):
        self._held -= 1
        missed, self._missed = self._missed and self.allowed, False
        if missed:
            raise KeyboardInterrupt


class Nothing:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


class Interpreter:
    """What a context is: a namespace, the sources of its cells, the cell that runs."""

    def __init__(self, channel):
        self.channel = channel
        self.number = 0
        self.may_ask = False
        self.sources = []
        # The one that child processes get, whatever a cell puts in its place.
        self.environ = os.environ
        self.main = type(sys)("__main__")
        self.main.__builtins__ = builtins

    def prepare(self):
        sys.modules["__main__"] = self.main
        sys.argv = [""]
        builtins.display = self.display
        self.plain_input = builtins.input
        builtins.input = self.input
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.channel.abandon)

    def serve(self):
        while True:
            kind, number, fields = self.channel.receive()
            if kind == EXECUTE:
                self.number = number
                self.execute(*fields)
                self.channel.send(DONE, number)
            elif kind == CHARTS:
                sys.meta_path.insert(0, Watcher(fields[0], self))

    def execute(self, may_ask, code, *env):
        env = dict(zip(env[::2], env[1::2]))
        before = {name: self.environ.get(name) for name in env}
        self.may_ask = bool(may_ask)
        open_stdin()
        # A cell may have set it otherwise; that must not keep the next one from being interrupted.
        signal.signal(signal.SIGINT, self.channel.interrupts.arrive)
        failure = None
        try:
            try:
                self.environ.update(env)
                self.run(code)
            except BaseException as error:
                self.channel.interrupts.allowed = False
                failure = error
        except KeyboardInterrupt as error:
            # Another one, on the way to that line.
            self.channel.interrupts.allowed = False
            failure = error
        if os.getpid() != self.channel.process:
            end_of_child(failure)
        if failure is not None:
            self.conclude(failure)
        failure = None
        restore(self.environ, before)
        flush()

    def run(self, code):
        self.channel.interrupts.allowed = True
        # From here on the toolbox interrupts; before, it would be in vain.
        self.channel.send(BEGUN, self.number)
        value = self.evaluate(code)
        if value is not None:
            self.show(RESULT, value)
        self.channel.interrupts.allowed = False

    def conclude(self, failure):
        """Tells of a failure, whose every part may be of the cell's own making."""
        try:
            if not isinstance(failure, SystemExit):
                self.report(failure)
            elif failure.code is not None and not isinstance(failure.code, int):
                print(failure.code, file=sys.stderr)
        except BaseException:
            self.channel.send(ERROR, self.number, "Exception", "<no text: telling of it failed>", "")

    def evaluate(self, code):
        name = "<cell %d>" % self.number
        self.remember(name, code)
        tree = compile(code, name, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = _ast.Expression(tree.body.pop().value)
        space = self.main.__dict__
        exec(compile(tree, name, "exec", dont_inherit=True), space)
        if last is not None:
            return eval(compile(last, name, "eval", dont_inherit=True), space)
        return None

    def remember(self, name, code):
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        self.sources.append(name)
        if len(self.sources) > CELLS_MAX:
            linecache.cache.pop(self.sources.pop(0), None)

    def report(self, error):
        kind = type(error)
        name = cut(kind.__name__, NAME_MAX)
        try:
            value = str(error)
        except BaseException:
            value = "<no text: its __str__ failed>"
        try:
            text = "".join(traceback.format_exception(kind, error, own_frames(error.__traceback__)))
        except BaseException:
            text = name + "\n"
        self.channel.send(ERROR, self.number, name, cut(value, TEXT_MAX), cut(text, TRACEBACK_MAX))

    def display(self, *values):
        """Shows values as rich output, each in every form it has."""
        for value in values:
            self.show(DISPLAY, value)

    def show(self, kind, value):
        forms, room = [], FRAME_MAX - HEAD - 1024
        for name, data in representations(value):
            size = len(name) + len(data.encode("utf-8", "backslashreplace")) + 8
            if size <= min(room, REPRESENTATION_MAX) and len(forms) < 2 * REPRESENTATIONS_MAX:
                forms += [name, data]
                room -= size
        self.channel.send(kind, self.number, *forms)

    def chart(self, text):
        self.channel.send(CHART, self.number, text)

    def input(self, prompt=""):
        if not self.may_ask or threading.current_thread() is not threading.main_thread():
            return self.plain_input(prompt)
        self.channel.send(ASK, self.number, cut(str(prompt), TEXT_MAX))
        while True:
            kind, number, fields = self.channel.receive()
            if kind == INPUT and number == self.number:
                if not fields:
                    raise EOFError("the client has no more input")
                return fields[0]


class Watcher:
    """Finds matplotlib's pyplot as everybody else does, then lets the chart program hook it."""

    def __init__(self, program, interpreter):
        self._program = program
        self._interpreter = interpreter

    def find_spec(self, name, path, target=None):
        if name != "matplotlib.pyplot":
            return None
        sys.meta_path.remove(self)
        os.environ.setdefault("MPLBACKEND", "Agg")
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            try:
                space = {"__name__": FILE}
                exec(compile(self._program, FILE, "exec"), space)
                space["watch"](self._interpreter.chart, FRAME_MAX - 1024)
            except Exception:
                # A version of matplotlib that is unlike all others: it draws, nothing is told.
                pass

        spec.loader.exec_module = exec_module
        return spec


def representations(value):
    yield "text/plain", plain(value)
    kind = type(value)
    if kind is type:
        return
    methods = [
        ("text/html", "_repr_html_"),
        ("text/markdown", "_repr_markdown_"),
        ("text/latex", "_repr_latex_"),
        ("image/svg+xml", "_repr_svg_"),
        ("image/png", "_repr_png_"),
        ("image/jpeg", "_repr_jpeg_"),
        ("application/json", "_repr_json_"),
    ]
    for name, method in methods:
        # Of the class: instances that answer to every name mean nothing by it.
        if getattr(kind, method, None) is not None:
            text = as_text(call(value, method))
            if text is not None:
                yield name, text
    if getattr(kind, "_repr_mimebundle_", None) is not None:
        bundle = call(value, "_repr_mimebundle_")
        if isinstance(bundle, dict):
            for name, data in bundle.items():
                text = as_text(data)
                if text is not None and name != "text/plain":
                    yield str(name), text


def call(value, method):
    try:
        made = getattr(value, method)()
    except Exception:
        return None
    # Some return their metadata beside it.
    return made[0] if isinstance(made, tuple) and made else made


def as_text(data):
    if isinstance(data, str):
        return data
    if isinstance(data, (bytes, bytearray)):
        import binascii

        return binascii.b2a_base64(data, newline=False).decode()
    if isinstance(data, (dict, list)):
        import json

        try:
            return json.dumps(data, allow_nan=False)
        except (TypeError, ValueError):
            return None
    return None


def plain(value):
    try:
        if type(value) is str and len(value) > TEXT_MAX:
            return repr(value[:TEXT_MAX]) + "..."
        return cut(repr(value), TEXT_MAX)
    except Exception as error:
        return "<%s without text: its __repr__ raised %s>" % (type(value).__name__, type(error).__name__)


def cut(text, limit):
    return text if len(text) <= limit else text[:limit] + "..."


def own_frames(frames):
    while frames is not None and frames.tb_frame.f_code.co_filename == FILE:
        frames = frames.tb_next
    return frames


def restore(environ, before):
    for name, value in before.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value


def open_stdin():
    """`quit()` closes it, and a cell may put anything in its place."""
    try:
        if getattr(sys, "stdin", None) is None or sys.stdin.closed:
            sys.stdin = open(0, closefd=False)
    except BaseException:
        # It is something else, or descriptor 0 is closed: the next cell sees what the last one did.
        pass


def flush():
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:
            pass


def end_of_child(failure):
    """A cell forked and both of them came here; only one may go on serving."""
    code = 0
    if isinstance(failure, SystemExit):
        code = failure.code if isinstance(failure.code, int) else int(failure.code is not None)
    elif failure is not None:
        traceback.print_exception(type(failure), failure, own_frames(failure.__traceback__))
        code = 1
    flush()
    os._exit(code & 0xFF)


def text_stream(fd, own, other):
    return io.TextIOWrapper(Pipe(fd, own, other), "utf-8", "backslashreplace", newline="\n", write_through=True)


def print_at_once():
    """Makes `print` write a line and its end together, where threads and children print as well."""
    plain_print, own = builtins.print, (sys.stdout, sys.stderr)

    def print(*values, sep=" ", end="\n", file=None, flush=False):
        stream = sys.stdout if file is None else file
        if (stream is own[0] or stream is own[1]) and type(sep) is str and type(end) is str:
            stream.write(sep.join([str(value) for value in values]) + end)
        else:
            plain_print(*values, sep=sep, end=end, file=file, flush=flush)

    print.__doc__ = plain_print.__doc__
    print.__module__, print.__qualname__ = "builtins", "print"
    builtins.print = print


def settle_before_processes(outputs):
    """What a process writes comes after all that was written before it was started."""

    def hook(event, _):
        if event in STARTS:
            for output in outputs:
                output.settle()

    if hasattr(sys, "addaudithook"):
        sys.addaudithook(hook)


def unbuffer_c():
    """What C code prints would otherwise come out when the interpreter ends."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, 2, 0)
    except Exception:
        pass


def main():
    # Its own descriptor, so that nothing a cell runs finds it at 0.
    fd = os.dup(0)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    outputs = Settler(1), Settler(2)
    sys.stdin = open(0, closefd=False)
    sys.stdout = sys.__stdout__ = text_stream(1, *outputs)
    sys.stderr = sys.__stderr__ = text_stream(2, *outputs[::-1])
    print_at_once()
    unbuffer_c()
    settle_before_processes(outputs)
    interpreter = Interpreter(Channel(fd, outputs))
    # Python's own handler would end a process that waits for its first cell.
    signal.signal(signal.SIGINT, interpreter.channel.interrupts.arrive)
    interpreter.prepare()
    interpreter.serve()


main()
