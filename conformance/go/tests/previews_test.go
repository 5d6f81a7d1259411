package tests

// A server inside a sandbox, reached from outside.

import (
	"strings"
	"sync"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

const servedPort = 8000

var (
	previewBox = Shared(types.SandboxBaseParams{})
	serving    sync.Once
)

func servedBox(t *testing.T) *daytona.Sandbox {
	t.Helper()
	sandbox := previewBox(t)
	serving.Do(func() {
		Run(t, sandbox, "mkdir -p /tmp/www && echo served > /tmp/www/index.html")
		Run(t, sandbox, "cd /tmp/www && python3 -m http.server 8000 > /tmp/log 2>&1 &")
	})
	Until(t, "the server listens", func() bool {
		answer := Must(sandbox.Process.ExecuteCommand(Context(t), "curl -fs http://127.0.0.1:8000/"))(t)
		return answer.ExitCode == 0
	})
	return sandbox
}

func TestTheTokenOpensTheLink(t *testing.T) {
	sandbox := servedBox(t)
	link := Must(sandbox.GetPreviewLink(Context(t), servedPort))(t)
	if host := Host(t, link.URL); !strings.HasPrefix(host, "8000-"+sandbox.ID+".") {
		t.Fatal(host)
	}
	status, text := Visit(t, link.URL, map[string]string{"X-Daytona-Preview-Token": link.Token})
	Same(t, text, "served\n")
	Same(t, status, 200)
}

func TestAPrivatePreviewWithoutATokenStaysClosed(t *testing.T) {
	link := Must(servedBox(t).GetPreviewLink(Context(t), servedPort))(t)
	if status, _ := Visit(t, link.URL, nil); status != 307 && status != 401 {
		t.Fatal(status)
	}
}
