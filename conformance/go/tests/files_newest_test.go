//go:build !older

package tests

import (
	"bytes"
	"io"
	"testing"

	. "sebring.test/conformance/support"
)

func TestADownloadStreams(t *testing.T) {
	fs, path := folder(t)
	content := bytes.Repeat([]byte("stream\r\n"), 1<<20)
	Ok(t, fs.UploadFile(Context(t), content, path+"/ünï 🐢"))
	stream := Must(fs.DownloadFileStream(Context(t), path+"/ünï 🐢"))(t)
	defer stream.Close()
	if !bytes.Equal(Must(io.ReadAll(stream))(t), content) {
		t.Fatal("the content changed on its way")
	}
}

func TestAStreamOfAMissingFileIsNotFound(t *testing.T) {
	fs, path := folder(t)
	_, err := fs.DownloadFileStream(Context(t), path+"/missing")
	Refused(t, err, 404)
}
