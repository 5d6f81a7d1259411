# Turns the figures that a program shows into data: what kind of chart each is, and its numbers.
#
# Run as a module of its own, once matplotlib may be imported; `watch` is what others call. Must run
# wherever the program itself would, with any version of matplotlib.


def watch(emit, length_max):
    """From now on showing a figure calls `emit` with a JSON text, at most so long, for each."""
    import hashlib
    import io

    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    seen = set()

    def show(*args, **kwargs):
        for number in plt.get_fignums():
            figure = plt.figure(number)
            png = io.BytesIO()
            figure.savefig(png, format="png", dpi=100, bbox_inches="tight")
            digest = hashlib.sha256(png.getvalue()).digest()
            if digest not in seen:
                seen.add(digest)
                emit(told(figure, png.getvalue(), length_max))
        plt.close("all")

    # What a box is made of cannot be told from the drawn lines; its numbers pass by here.
    draw_boxes = Axes.bxp

    def bxp(self, bxpstats, positions=None, *args, **kwargs):
        stats = list(bxpstats)
        places = range(1, len(stats) + 1) if positions is None else positions
        self._sebring_boxes = getattr(self, "_sebring_boxes", []) + list(zip(places, stats))
        return draw_boxes(self, stats, positions, *args, **kwargs)

    Axes.bxp = bxp
    plt.show = show
    matplotlib.figure.Figure.show = show


def told(figure, png, length_max):
    """The chart as JSON; its data is left out when there is too much of it, then its picture."""
    import base64
    import json

    png = base64.b64encode(png).decode()
    bare = {"type": "unknown", "title": "", "elements": []}
    try:
        value = chart(figure)
        bare["title"] = value["title"]
        text = json.dumps({**value, "png": png}, allow_nan=False)
    except Exception:
        text = json.dumps({**bare, "png": png})
    if len(text) > length_max:
        text = json.dumps({**bare, "png": png})
    if len(text) > length_max:
        text = json.dumps(bare)
    return text


def chart(figure):
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


def describe(ax):
    import math

    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer
    from matplotlib.patches import Rectangle, Wedge

    day = 86400.0
    # Asked for once: matplotlib works them out anew each time.
    places = {axis: list(axis.get_ticklocs()) for axis in (ax.xaxis, ax.yaxis)}
    texts = {axis: [label.get_text() for label in axis.get_ticklabels()] for axis in places}

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
        # Bars are put at 0, 1, 2, boxes at 1, 2, 3, and get their names afterwards.
        count = len(places[axis])
        if count and places[axis] in (list(range(count)), list(range(1, count + 1))) and named_ticks(axis):
            return "categorical"
        return axis.get_scale()

    def named_ticks(axis):
        """Ticks that say more than their number: place and text."""
        ticks = zip(places[axis], texts[axis])
        return [(place, text) for place, text in ticks if text and not is_number(text)]

    def is_number(text):
        try:
            float(text.replace("\N{MINUS SIGN}", "-"))
        except ValueError:
            return False
        return True

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
        for tick, text in zip(places[axis], texts[axis]):
            if abs(tick - position) < 1e-9 and text:
                return text
        # Bars of a group stand around the tick that names them.
        named = min(named_ticks(axis), key=lambda tick: abs(tick[0] - position), default=None)
        if named and kind(axis) == "categorical" and abs(named[0] - position) < 0.5:
            return named[1]
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

    def box_name(place, given):
        """What its tick says, which may have been set after it was drawn."""
        if is_number(given):
            for axis in (ax.xaxis, ax.yaxis):
                for at, text in named_ticks(axis):
                    if kind(axis) == "categorical" and abs(at - place) < 1e-9:
                        return text
        return given

    def boxes(stats):
        for place, box in stats:
            outliers = (number(value) for value in box.get("fliers", []))
            yield {
                "label": box_name(place, str(box.get("label", place))),
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
    if hasattr(ax, "get_zlim"):
        # What is drawn of three dimensions is not its data.
        shown, elements = "unknown", []
    elif getattr(ax, "_sebring_boxes", None):
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
            ticks = (number(tick, scale[key]) for tick in places[axis])
            value[key + "_label"] = axis.get_label_text()
            value[key + "_ticks"] = [tick for tick in ticks if tick is not None]
            value[key + "_tick_labels"] = texts[axis]
            value[key + "_scale"] = kinds[key]
    return value
