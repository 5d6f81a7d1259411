# Runs a program that draws with matplotlib and prints each figure it shows as one line of JSON.
#
# Read from standard input by `python3 -u -`, with PROGRAM and DESCRIBE (describe.py), both base64,
# and MARKER filled in. Must run wherever the program itself would: whatever goes wrong here is
# passed over in silence.


def _run(program, describe, marker):
    import base64
    import os
    import sys
    import traceback

    def emit(chart):
        sys.stdout.write(marker + '{"type": "chart", "value": ' + chart + "}\n")
        sys.stdout.flush()

    source = base64.b64decode(program).decode("utf-8", "surrogateescape")
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        space = {"__name__": "charts"}
        exec(base64.b64decode(describe), space)
        # Well below what is kept of a program's output.
        space["watch"](emit, 4 << 20)
    except Exception:
        pass
    import __main__

    space = __main__.__dict__
    del space["_run"]
    try:
        exec(compile(source, "<stdin>", "exec"), space)
    except SystemExit:
        raise
    except BaseException as error:
        # The frames of this file are nobody's business.
        frames = error.__traceback__.tb_next
        sys.stdout.flush()
        traceback.print_exception(type(error), error, frames)
        sys.exit(1)


_run("PROGRAM", "DESCRIBE", "MARKER")
