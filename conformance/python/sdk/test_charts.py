"""Charts that Python code shows through `code_run`, as the SDK types them."""

import base64

import daytona
import pytest

# Earlier releases look for charts in the output themselves, and know other types.
pytestmark = pytest.mark.needs("DaytonaConflictError")

BEGIN = "import matplotlib.pyplot as plt, numpy as np, datetime\n"

DRAWN = {
    "line": "plt.plot([1, 2, 3], [1, 4, 9], label='squares'); plt.grid(); plt.title('T'); plt.xlabel('X'); plt.ylabel('Y')",
    "scatter": "plt.scatter([1, 2], [3, 4], label='dots')",
    "bar": "plt.bar(['a', 'b'], [1.5, 2], label='group')",
    "pie": "plt.pie([1, 3], labels=['q', 'r'], autopct='%1.1f%%', shadow=True)",
    "box_and_whisker": "plt.boxplot([[1, 2, 3, 50], [2, 3, 4]], tick_labels=['p', 'q'])",
    "composite_chart": "f, a = plt.subplots(1, 2); a[0].plot([1, 2]); a[1].bar(['x'], [2]); a[1].set_title('B'); f.suptitle('S')",
    "unknown": "plt.imshow(np.zeros((3, 3))); plt.colorbar()",
}


def drawn(sandbox, code):
    answer = sandbox.process.code_run(f"{BEGIN}print('before')\n{code}\nplt.show()\nprint('after')")
    assert (answer.exit_code, answer.result) == (0, "before\nafter\n")
    return answer.artifacts.charts


@pytest.fixture(scope="module")
def charts(sandbox):
    """One chart of each type the SDK knows."""
    return {kind: drawn(sandbox, code) for kind, code in DRAWN.items()}


@pytest.mark.parametrize("kind", DRAWN)
def test_each_type_is_recognised_and_has_its_picture(charts, kind):
    [chart] = charts[kind]
    assert chart.type == kind
    assert base64.b64decode(chart.png).startswith(b"\x89PNG")


def test_a_line_has_its_points_labels_ticks_and_scales(charts):
    [chart] = charts["line"]
    assert (chart.title, chart.x_label, chart.y_label) == ("T", "X", "Y")
    assert (chart.x_scale, chart.y_scale) == ("linear", "linear")
    assert len(chart.x_ticks) == len(chart.x_tick_labels) > 1
    [line] = chart.elements
    assert (line.label, line.points) == ("squares", [[1, 1], [2, 4], [3, 9]])


def test_a_scatter_has_its_points(charts):
    [dots] = charts["scatter"][0].elements
    assert (dots.label, dots.points) == ("dots", [[1, 3], [2, 4]])


def test_bars_have_label_group_and_value(charts):
    bars = charts["bar"][0].elements
    assert [(bar.label, bar.group, float(bar.value)) for bar in bars] == [("a", "group", 1.5), ("b", "group", 2)]
    assert charts["bar"][0].x_scale == "categorical"


def test_bars_of_a_group_are_named_by_their_tick(sandbox):
    code = "x = np.arange(2); plt.bar(x - .2, [1, 2], .4); plt.bar(x + .2, [3, 4], .4); plt.xticks(x, ['G', 'H'])"
    [chart] = drawn(sandbox, code)
    assert [bar.label for bar in chart.elements] == ["G", "H", "G", "H"]


def test_a_pie_has_angles_that_make_a_circle(charts):
    parts = charts["pie"][0].elements
    assert [part.label for part in parts] == ["q", "r"]
    assert [round(part.angle) for part in parts] == [90, 270]
    assert all(part.radius == 1 for part in parts)


def test_a_box_has_its_quartiles_and_outliers(charts):
    first, second = charts["box_and_whisker"][0].elements
    assert (first.label, second.label) == ("p", "q")
    assert (first.outliers, second.outliers) == ([50], [])
    assert (second.min, second.first_quartile, second.median, second.third_quartile, second.max) == (2, 2.5, 3, 3.5, 4)


def test_a_composite_has_its_charts(charts):
    [chart] = charts["composite_chart"]
    assert chart.title == "S"
    assert [part.type for part in chart.elements] == ["line", "bar"]
    assert chart.elements[1].title == "B"


def test_dates_are_a_scale_of_their_own(sandbox):
    [chart] = drawn(sandbox, "plt.plot([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], [1, 2])")
    assert chart.x_scale == "datetime"
    assert chart.elements[0].points[0] == [1_704_067_200, 1]


def test_charts_have_the_classes_of_the_sdk(charts):
    classes = {
        "line": daytona.LineChart,
        "scatter": daytona.ScatterChart,
        "bar": daytona.BarChart,
        "pie": daytona.PieChart,
        "box_and_whisker": daytona.BoxAndWhiskerChart,
        "composite_chart": daytona.CompositeChart,
    }
    for kind, expected in classes.items():
        assert type(charts[kind][0]) is expected


def test_several_figures_are_several_charts_and_each_is_told_once(sandbox):
    code = "plt.figure(); plt.plot([1]); plt.figure(); plt.bar([1], [2]); plt.show(); plt.plot([1]); plt.show()"
    assert [chart.type for chart in drawn(sandbox, code)] == ["line", "bar"]


def test_code_without_charts_has_none(sandbox):
    assert not sandbox.process.code_run("print(1)").artifacts.charts
