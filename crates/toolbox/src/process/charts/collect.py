# Runs a program that draws with matplotlib and prints each figure it shows as one line of JSON.
#
# Read from standard input by `python3 -u -`, with PROGRAM (base64) and MARKER filled in. Must run
# wherever the program itself would: whatever goes wrong here is passed over in silence.


def _run(program, marker):
    import base64
    import os
    import sys
    import traceback

    source = base64.b64decode(program).decode("utf-8", "surrogateescape")
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        _watch(marker)
    except Exception:
        pass
    import __main__

    space = __main__.__dict__
    for name in [name for name in space if name in ("_run", "_watch", "_chart", "_describe")]:
        del space[name]
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


def _watch(marker):
    import base64
    import hashlib
    import io
    import json
    import sys

    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    chart, describe, seen = _chart, _describe, set()

    def show(*args, **kwargs):
        for number in plt.get_fignums():
            figure = plt.figure(number)
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=100, bbox_inches="tight")
            digest = hashlib.sha256(png.getvalue()).digest()
            if digest in seen:
                continue
            seen.add(digest)
            try:
                value = chart(figure, describe)
                json.dumps(value, allow_nan=False)
            except Exception:
                value = {"type": "unknown", "title": "", "elements": []}
            value["png"] = base64.b64encode(png.getvalue()).decode()
            text = json.dumps({"type": "chart", "value": value}, allow_nan=False)
            sys.stdout.write(marker + text + "\n")
            sys.stdout.flush()
        plt.close("all")

    # What a box is made of cannot be told from the drawn lines; its numbers pass by here.
    draw_boxes = Axes.bxp

    def bxp(self, bxpstats, *args, **kwargs):
        self._sebring_boxes = list(bxpstats)
        return draw_boxes(self, bxpstats, *args, **kwargs)

    Axes.bxp = bxp
    plt.show = show
    matplotlib.figure.Figure.show = show


def _chart(figure, describe):
    axes = [
        ax
        for ax in figure.axes
        if (ax.has_data() or getattr(ax, "_sebring_boxes", None))
        and ax.get_label() != "<colorbar>"
        and not hasattr(ax, "_colorbar")
    ]
    if len(axes) == 1:
        return describe(axes[0])
    title = figure._suptitle.get_text() if figure._suptitle else ""
    if not axes:
        return {"type": "unknown", "title": title, "elements": []}
    return {"type": "composite_chart", "title": title, "elements": [describe(ax) for ax in axes]}


def _describe(ax):
    import math

    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer
    from matplotlib.patches import Rectangle, Wedge

    day = 86400.0

    def number(value, scale=1.0):
        try:
            value = float(value) * scale
        except (TypeError, ValueError):
            return None
        return value if math.isfinite(value) else None

    def name(label):
        label = str(label)
        return "" if label.startswith("_") else label

    def kind(axis):
        # Newer versions have a getter, older ones an attribute.
        get = getattr(axis, "get_converter", None)
        converter = type(get() if get else getattr(axis, "converter", None)).__name__
        if "StrCategory" in converter:
            return "categorical"
        if "Date" in converter:
            return "datetime"
        return axis.get_scale()

    kinds = {"x": kind(ax.xaxis), "y": kind(ax.yaxis)}
    # Dates are days to matplotlib and seconds to everybody else.
    scale = {key: day if value == "datetime" else 1.0 for key, value in kinds.items()}

    def points(pairs):
        found = ([number(x, scale["x"]), number(y, scale["y"])] for x, y in pairs)
        return [point for point in found if None not in point]

    def is_grid(line):
        xs, ys = list(line.get_xdata(orig=False)), list(line.get_ydata(orig=False))
        return len(xs) == 2 and (xs[0] == xs[1] or ys[0] == ys[1]) and name(line.get_label()) == ""

    def tick_text(axis, position):
        for tick, label in zip(axis.get_ticklocs(), axis.get_ticklabels()):
            if abs(tick - position) < 1e-9 and label.get_text():
                return label.get_text()
        return format(position, "g")

    def bars(containers):
        for container in containers:
            flat = container.orientation == "horizontal"
            for bar in container.patches:
                start, extent = (bar.get_y(), bar.get_height()) if flat else (bar.get_x(), bar.get_width())
                size = number(bar.get_width() if flat else bar.get_height())
                yield {
                    "label": tick_text(ax.yaxis if flat else ax.xaxis, start + extent / 2),
                    "group": name(container.get_label()),
                    "value": format(size, ".15g") if size is not None else "",
                }

    def boxes(stats):
        for index, box in enumerate(stats):
            outliers = (number(value) for value in box.get("fliers", []))
            yield {
                "label": str(box.get("label", index + 1)),
                "min": number(box.get("whislo")),
                "first_quartile": number(box.get("q1")),
                "median": number(box.get("med")),
                "third_quartile": number(box.get("q3")),
                "max": number(box.get("whishi")),
                "outliers": [value for value in outliers if value is not None],
            }

    def wedges(patches):
        for wedge in patches:
            yield {
                "label": name(wedge.get_label()),
                "angle": number(abs(wedge.theta2 - wedge.theta1)),
                "radius": number(wedge.r),
            }

    lines = [line for line in ax.lines if not is_grid(line)]
    scatters = [c for c in ax.collections if isinstance(c, PathCollection)]
    containers = [c for c in ax.containers if isinstance(c, BarContainer)]
    pies = [p for p in ax.patches if isinstance(p, Wedge)]
    rest = [p for p in ax.patches if not isinstance(p, (Rectangle, Wedge))]
    if getattr(ax, "_sebring_boxes", None):
        shown, elements = "box_and_whisker", list(boxes(ax._sebring_boxes))
    elif pies:
        shown, elements = "pie", list(wedges(pies))
    elif containers and not rest:
        shown, elements = "bar", list(bars(containers))
    elif scatters and not lines and not rest:
        shown = "scatter"
        elements = [{"label": name(s.get_label()), "points": points(s.get_offsets())} for s in scatters]
    elif lines and not rest:
        shown = "line"
        elements = [
            {
                "label": name(line.get_label()),
                "points": points(zip(line.get_xdata(orig=False), line.get_ydata(orig=False))),
            }
            for line in lines
        ]
    else:
        shown, elements = "unknown", []
    value = {"type": shown, "title": ax.get_title(), "elements": elements}
    if shown in ("line", "scatter", "bar", "box_and_whisker"):
        for key, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
            ticks = (number(tick, scale[key]) for tick in axis.get_ticklocs())
            value[key + "_label"] = axis.get_label_text()
            value[key + "_ticks"] = [tick for tick in ticks if tick is not None]
            value[key + "_tick_labels"] = [label.get_text() for label in axis.get_ticklabels()]
            value[key + "_scale"] = kinds[key]
    return value


_run("PROGRAM", "MARKER")
