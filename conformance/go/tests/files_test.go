package tests

// The file system of a sandbox.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var filesBox = Shared(types.SandboxBaseParams{})

// A new folder, and the file system that it is in.
func folder(t *testing.T) (*daytona.FileSystemService, string) {
	t.Helper()
	path := "/tmp/" + Unique("folder")
	fs := filesBox(t).FileSystem
	Ok(t, fs.CreateFolder(Context(t), path))
	return fs, path
}

func TestAFileOfAnyNameGoesUpAndDown(t *testing.T) {
	for _, name := range []string{"plain.txt", "with space.txt", "ünï-🐢.txt", `it's "quoted".txt`, "100%+&=#?.txt"} {
		t.Run(name, func(t *testing.T) {
			fs, path := folder(t)
			content := []byte(name + "\r\n--boundary--\r\n\x00\xff")
			Ok(t, fs.UploadFile(Context(t), content, path+"/"+name))
			got := Must(fs.DownloadFile(Context(t), path+"/"+name, nil))(t)
			Same(t, string(got), string(content))
			entries := Must(fs.ListFiles(Context(t), path))(t)
			Same(t, len(entries), 1)
			Same(t, entries[0].Name, name)
		})
	}
}

func TestMegabytesGoFromDiskToDisk(t *testing.T) {
	fs, path := folder(t)
	up, down := filepath.Join(t.TempDir(), "up"), filepath.Join(t.TempDir(), "down")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	Ok(t, os.WriteFile(up, content, 0o600))
	Ok(t, fs.UploadFile(Context(t), up, path+"/new/deeper/file"))
	Must(fs.DownloadFile(Context(t), path+"/new/deeper/file", &down))(t)
	if !bytes.Equal(Must(os.ReadFile(down))(t), content) {
		t.Fatal("the content changed on its way")
	}
}

func TestAnUploadReplacesALongerFile(t *testing.T) {
	fs, path := folder(t)
	Ok(t, fs.UploadFile(Context(t), []byte("longer than the next"), path+"/f"))
	Ok(t, fs.UploadFile(Context(t), []byte("short"), path+"/f"))
	Same(t, string(Must(fs.DownloadFile(Context(t), path+"/f", nil))(t)), "short")
}

func TestFilesAndFoldersAreDescribed(t *testing.T) {
	fs, path := folder(t)
	Ok(t, fs.UploadFile(Context(t), []byte("12345"), path+"/f"))
	Ok(t, fs.SetFilePermissions(Context(t), path+"/f", options.WithPermissionMode("640")))
	file := Must(fs.GetFileInfo(Context(t), path+"/f"))(t)
	Same(t, file.Name, "f")
	Same(t, file.Size, 5)
	Same(t, file.Mode, "-rw-r-----")
	Same(t, file.IsDirectory, false)
	Ok(t, fs.CreateFolder(Context(t), path+"/private", options.WithMode("700")))
	private := Must(fs.GetFileInfo(Context(t), path+"/private"))(t)
	Same(t, private.Mode, "drwx------")
	Same(t, private.IsDirectory, true)
}

func TestAFileCanBeMovedAndDeleted(t *testing.T) {
	fs, path := folder(t)
	Ok(t, fs.UploadFile(Context(t), []byte("x"), path+"/a"))
	Ok(t, fs.MoveFiles(Context(t), path+"/a", path+"/b"))
	_, err := fs.GetFileInfo(Context(t), path+"/a")
	Refused(t, err, 404)
	Ok(t, fs.DeleteFile(Context(t), path+"/b", false))
	Same(t, len(Must(fs.ListFiles(Context(t), path))(t)), 0)
}

func TestAFolderIsDeletedOnlyWhenThatIsSaid(t *testing.T) {
	fs, path := folder(t)
	Ok(t, fs.UploadFile(Context(t), []byte("x"), path+"/inner/f"))
	Refused(t, fs.DeleteFile(Context(t), path, false), 400)
	Ok(t, fs.DeleteFile(Context(t), path, true))
	_, err := fs.GetFileInfo(Context(t), path)
	Refused(t, err, 404)
}

func TestTextIsFoundAndReplaced(t *testing.T) {
	fs, path := folder(t)
	file := path + "/f.txt"
	Ok(t, fs.UploadFile(Context(t), []byte("one\nneedle two\n"), file))
	found := Must(fs.FindFiles(Context(t), path, "needle"))(t).([]map[string]any)
	Same(t, len(found), 1)
	Same(t, fmt.Sprint(found[0]["file"], found[0]["line"]), fmt.Sprint(file, 2))
	replaced := Must(fs.ReplaceInFiles(Context(t), []string{file, path + "/missing"}, "needle", "pin"))(t).([]map[string]any)
	Same(t, len(replaced), 2)
	Same[any](t, replaced[0]["success"], true)
	Same[any](t, replaced[1]["success"], false)
	Same(t, string(Must(fs.DownloadFile(Context(t), file, nil))(t)), "one\npin two\n")
	Same(t, len(Must(fs.FindFiles(Context(t), path, "needle"))(t).([]map[string]any)), 0)
}

func TestFilesAreFoundByName(t *testing.T) {
	fs, path := folder(t)
	for _, name := range []string{"a.txt", "sub/b.txt", "c.py"} {
		Ok(t, fs.UploadFile(Context(t), []byte("x"), path+"/"+name))
	}
	answer := Must(fs.SearchFiles(Context(t), path, "*.txt"))(t).(map[string]any)
	files := slices.Sorted(slices.Values(answer["files"].([]string)))
	if wanted := []string{path + "/a.txt", path + "/sub/b.txt"}; !slices.Equal(files, wanted) {
		t.Fatalf("got %v, wanted %v", files, wanted)
	}
}
