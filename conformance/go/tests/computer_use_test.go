package tests

// A desktop: its display, mouse and keyboard, pictures and films. The first sandbox from the
// snapshot waits until that is built. Accessibility, held buttons and each program of the desktop
// are not among what this SDK has, in either release.

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var desktopBox = SharedFrom("desktop")

// A sandbox whose desktop runs: a second start changes nothing.
func desktop(t *testing.T) *daytona.Sandbox {
	t.Helper()
	sandbox := desktopBox(t)
	Ok(t, sandbox.ComputerUse.Start(Context(t)))
	return sandbox
}

type window struct {
	Title    string
	X, Y     int
	IsActive bool
}

// Where a typewriter's frame is asked to be; what is written on is below the frame's title.
const frameX, frameY = 50, 60

// The typewriter of that title, once the window manager has done with it: it is the active one, and
// in its frame where that was asked to be.
func windowOf(t *testing.T, sandbox *daytona.Sandbox, title string) (found window) {
	t.Helper()
	Until(t, "the window "+title, func() bool {
		untyped := Must(sandbox.ComputerUse.Display().GetWindows(Context(t)))(t)
		for _, one := range As[struct{ Windows []window }](t, untyped).Windows {
			if one.Title == title && one.IsActive && one.X >= frameX && one.Y > frameY {
				found = one
				return true
			}
		}
		return false
	})
	return found
}

// A terminal that writes what is typed into a file, with the keyboard's attention.
func typewriter(t *testing.T, sandbox *daytona.Sandbox) (at window, path string) {
	t.Helper()
	title := Unique("typed")
	path = "/tmp/" + title
	Run(t, sandbox, "touch "+path)
	place := fmt.Sprintf("80x24+%d+%d", frameX, frameY)
	Run(t, sandbox, "xterm -title "+title+" -geometry "+place+" -e 'cat > "+path+"' > /dev/null 2>&1 &")
	at = windowOf(t, sandbox, title)
	Must(sandbox.ComputerUse.Mouse().Click(Context(t), at.X+40, at.Y+40, nil, nil))(t)
	return at, path
}

func arrived(t *testing.T, sandbox *daytona.Sandbox, path, wanted string) {
	t.Helper()
	Until(t, "the text has arrived", func() bool {
		return Run(t, sandbox, "cat "+path) == wanted
	})
}

func pngSize(t *testing.T, picture *types.ScreenshotResponse) (width, height int) {
	t.Helper()
	data := Must(base64.StdEncoding.DecodeString(picture.Image))(t)
	if !bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) {
		t.Fatalf("not a PNG: %.20x", data)
	}
	return int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
}

func point(t *testing.T, untyped map[string]any) [2]int {
	t.Helper()
	at := As[struct{ X, Y int }](t, untyped)
	return [2]int{at.X, at.Y}
}

func statusOf(t *testing.T, sandbox *daytona.Sandbox) any {
	t.Helper()
	return Must(sandbox.ComputerUse.GetStatus(Context(t)))(t)["status"]
}

func TestAStartedDesktopIsActiveAndItsDisplayIsTold(t *testing.T) {
	sandbox := desktop(t)
	Ok(t, sandbox.ComputerUse.Start(Context(t)))
	Same(t, statusOf(t, sandbox), any("active"))
	untyped := Must(sandbox.ComputerUse.Display().GetInfo(Context(t)))(t)
	type display struct{ X, Y, Width, Height int }
	displays := As[struct{ Displays []display }](t, untyped).Displays
	Same(t, len(displays), 1)
	Same(t, displays[0], display{Width: 1024, Height: 768})
}

func TestPicturesAreWholeAndParts(t *testing.T) {
	screenshot := desktop(t).ComputerUse.Screenshot()
	shown := true
	width, height := pngSize(t, Must(screenshot.TakeFullScreen(Context(t), &shown))(t))
	Same(t, [2]int{width, height}, [2]int{1024, 768})
	region := types.ScreenshotRegion{X: 10, Y: 20, Width: 300, Height: 200}
	part := Must(screenshot.TakeRegion(Context(t), region, nil))(t)
	width, height = pngSize(t, part)
	Same(t, [2]int{width, height}, [2]int{300, 200})
}

func TestAPointerThatIsShownIsDrawn(t *testing.T) {
	computer := desktop(t).ComputerUse
	Same(t, point(t, Must(computer.Mouse().Move(Context(t), 400, 700))(t)), [2]int{400, 700})
	Same(t, point(t, Must(computer.Mouse().GetPosition(Context(t)))(t)), [2]int{400, 700})
	shown := true
	with := Must(computer.Screenshot().TakeFullScreen(Context(t), &shown))(t)
	without := Must(computer.Screenshot().TakeFullScreen(Context(t), nil))(t)
	if with.Image == without.Image {
		t.Fatal("both pictures are the same")
	}
}

func TestTypedTextAndKeysArriveInAProgram(t *testing.T) {
	sandbox := desktop(t)
	_, path := typewriter(t, sandbox)
	keyboard := sandbox.ComputerUse.Keyboard()
	Ok(t, keyboard.Type(Context(t), "Hello, Go! ~#{} ü€\n", nil))
	arrived(t, sandbox, path, "Hello, Go! ~#{} ü€\n")
	delay := 10
	Ok(t, keyboard.Type(Context(t), "ab", &delay))
	Ok(t, keyboard.Press(Context(t), "backspace", nil))
	Ok(t, keyboard.Press(Context(t), "7", []string{"shift"}))
	Ok(t, keyboard.Press(Context(t), "enter", nil))
	arrived(t, sandbox, path, "Hello, Go! ~#{} ü€\na&\n")
	Ok(t, keyboard.Hotkey(Context(t), "ctrl+d"))
}

func TestTheMouseWorksAWindow(t *testing.T) {
	sandbox := desktop(t)
	at, path := typewriter(t, sandbox)
	title := filepath.Base(path)
	mouse := sandbox.ComputerUse.Mouse()
	amount := 2
	Same(t, Must(mouse.Scroll(Context(t), at.X+40, at.Y+40, "down", &amount))(t), true)
	end := [2]int{at.X + 150, at.Y + 22}
	Same(t, point(t, Must(mouse.Drag(Context(t), at.X+100, at.Y-8, end[0], end[1], nil))(t)), end)
	Until(t, "the window was dragged", func() bool { return windowOf(t, sandbox, title).X == at.X+50 })
	right, double := "right", true
	Same(t, point(t, Must(mouse.Click(Context(t), 10, 700, &right, nil))(t)), [2]int{10, 700})
	Ok(t, sandbox.ComputerUse.Keyboard().Press(Context(t), "escape", nil))
	Same(t, point(t, Must(mouse.Click(Context(t), at.X+60, at.Y+60, nil, &double))(t)), [2]int{at.X + 60, at.Y + 60})
}

func TestAPointBesideTheScreenAndAnUnknownKeyAreRefused(t *testing.T) {
	computer := desktop(t).ComputerUse
	_, err := computer.Mouse().Move(Context(t), 5000, 1)
	Refused(t, err, 400)
	Refused(t, computer.Keyboard().Press(Context(t), "nokey", nil), 400)
}

func TestAFilmIsMadeListedFetchedAndDeleted(t *testing.T) {
	sandbox := desktop(t)
	films := sandbox.ComputerUse.Recording()
	label := "from Go"
	film := Must(films.Start(Context(t), &label))(t)
	Same(t, film.Status, "recording")
	Must(sandbox.ComputerUse.Mouse().Move(Context(t), 300, 300))(t)
	stopped := Must(films.Stop(Context(t), film.Id))(t)
	Same(t, stopped.Status, "completed")
	Same(t, Must(films.Get(Context(t), film.Id))(t).FileName, stopped.FileName)
	known := false
	for _, one := range Must(films.List(Context(t)))(t).Recordings {
		known = known || one.Id == film.Id
	}
	Same(t, known, true)
	path := filepath.Join(t.TempDir(), "film.mp4")
	Ok(t, films.Download(Context(t), film.Id, path))
	content := Must(os.ReadFile(path))(t)
	Same(t, len(content), int(*stopped.SizeBytes))
	Same(t, string(content[4:8]), "ftyp")
	Ok(t, films.Delete(Context(t), film.Id))
	_, err := films.Get(Context(t), film.Id)
	Refused(t, err, 404)
}

func TestASandboxWithoutADesktopSaysWhatIsMissing(t *testing.T) {
	err := Create(t, types.SandboxBaseParams{}).ComputerUse.Start(Context(t))
	Refused(t, err, 503)
	if !strings.Contains(err.Error(), "Xvfb") || !strings.Contains(err.Error(), "desktop") {
		t.Fatal(err)
	}
}

func TestAStoppedDesktopCanBeStartedAgain(t *testing.T) {
	sandbox := desktop(t)
	Ok(t, sandbox.ComputerUse.Stop(Context(t)))
	Same(t, statusOf(t, sandbox), any("inactive"))
	_, err := sandbox.ComputerUse.Screenshot().TakeFullScreen(Context(t), nil)
	if err == nil || !strings.Contains(err.Error(), "not running") {
		t.Fatal(err)
	}
	Ok(t, sandbox.ComputerUse.Start(Context(t)))
	Same(t, statusOf(t, sandbox), any("active"))
}
