package tests

// Git in a sandbox, against a git server in the same sandbox.

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

// The login that the server knows.
const (
	gitUser     = "someone"
	gitPassword = "s3cr3t/w@rd"
)

// A repository with `main`, one commit, and `feature`, one more.
const seed = `
set -e
cd %
git init -q --bare -b main origin.git
git -C origin.git config http.receivepack true
git init -q -b main origin
cd origin
git config user.name Server
git config user.email server@example.org
echo hello > README.md
git add README.md
git commit -q -m first
git push -q ../origin.git main
git checkout -q -b feature
git commit -q --allow-empty -m second
git push -q ../origin.git feature
`

var (
	gitBox     = Shared(types.SandboxBaseParams{})
	gitServing sync.Once
)

// An origin: the folder that has it and its clones, and the server's address of that.
type origin struct {
	box            *daytona.Sandbox
	folder, server string
}

func newOrigin(t *testing.T) origin {
	t.Helper()
	box := gitBox(t)
	gitServing.Do(func() {
		// The tests of the Python suite have the same server.
		local := filepath.Join("..", "..", "python", "support", "git_server.py")
		Ok(t, box.FileSystem.UploadFile(Context(t), local, "/tmp/git_server.py"))
		Run(t, box, "nohup python3 /tmp/git_server.py /tmp > /tmp/git_server.port 2> /tmp/git_server.log &")
	})
	port := ""
	Until(t, "the git server names its port", func() bool {
		port = strings.TrimSpace(Run(t, box, "cat /tmp/git_server.port"))
		return port != ""
	})
	name := Unique("git")
	Run(t, box, "mkdir /tmp/"+name+strings.ReplaceAll(seed, "%", "/tmp/"+name))
	return origin{box, "/tmp/" + name, "http://127.0.0.1:" + port + "/%/" + name + "/origin.git"}
}

func (o origin) address(kind string) string {
	return strings.ReplaceAll(o.server, "%", kind)
}

func (o origin) clone(t *testing.T, opts ...func(*options.GitClone)) string {
	t.Helper()
	path := o.folder + "/clone"
	Ok(t, o.box.Git.Clone(Context(t), o.address("open"), path, opts...))
	return path
}

func (o origin) commit(t *testing.T, path, name string) string {
	t.Helper()
	Ok(t, o.box.FileSystem.UploadFile(Context(t), []byte("x\n"), path+"/"+name))
	Ok(t, o.box.Git.Add(Context(t), path, []string{name}))
	return Must(o.box.Git.Commit(Context(t), path, "write "+name, "Ada Löve", "ada@example.org"))(t).SHA
}

// The commit of a revision in the repository.
func (o origin) revision(t *testing.T, path, name string) string {
	t.Helper()
	return strings.TrimSpace(Run(t, o.box, "git -C "+path+" rev-parse "+name))
}

func TestACloneIsChangedCommittedAndPushed(t *testing.T) {
	o := newOrigin(t)
	path := o.clone(t)
	sha := o.commit(t, path, "new.txt")
	Same(t, sha, o.revision(t, path, "HEAD"))
	Same(t, Must(o.box.Git.Status(Context(t), path))(t).Ahead, 1)
	Ok(t, o.box.Git.Push(Context(t), path))
	Same(t, Must(o.box.Git.Status(Context(t), path))(t).Ahead, 0)
	Same(t, o.revision(t, o.folder+"/origin.git", "main"), sha)
	author := Run(t, o.box, "git -C "+path+" log -1 --format='%an <%ae> %s'")
	Same(t, author, "Ada Löve <ada@example.org> write new.txt\n")
}

func TestAFreshCloneIsCleanPublishedAndLevel(t *testing.T) {
	o := newOrigin(t)
	status := Must(o.box.Git.Status(Context(t), o.clone(t)))(t)
	Same(t, status.CurrentBranch, "main")
	Same(t, status.BranchPublished, true)
	Same(t, len(status.FileStatus), 0)
	Same(t, status.Ahead+status.Behind, 0)
}

func TestABranchIsClonedAlone(t *testing.T) {
	o := newOrigin(t)
	path := o.clone(t, options.WithBranch("feature"))
	Same(t, Must(o.box.Git.Status(Context(t), path))(t).CurrentBranch, "feature")
	if branches := Must(o.box.Git.Branches(Context(t), path))(t); !slices.Equal(branches, []string{"feature"}) {
		t.Fatal(branches)
	}
}

func TestACommitIsCloned(t *testing.T) {
	o := newOrigin(t)
	first := o.revision(t, o.folder+"/origin.git", "main")
	o.commit(t, o.folder+"/origin", "later.txt")
	path := o.clone(t, options.WithCommitId(first))
	Same(t, o.revision(t, path, "HEAD"), first)
}

func TestChangesAreTold(t *testing.T) {
	o := newOrigin(t)
	path := o.clone(t)
	Run(t, o.box, "cd "+path+" && echo more >> README.md && touch 'ünï 🐢' && touch added && git add added")
	seen := map[string]string{}
	for _, file := range Must(o.box.Git.Status(Context(t), path))(t).FileStatus {
		seen[file.Path] = file.Status
	}
	Same(t, len(seen), 3)
	Same(t, seen["README.md"], " M")
	Same(t, seen["ünï 🐢"], "??")
	Same(t, seen["added"], "A ")
}

func TestBranchesAreMadeSwitchedAndDeleted(t *testing.T) {
	o := newOrigin(t)
	path := o.clone(t)
	Ok(t, o.box.Git.CreateBranch(Context(t), path, "topic"))
	Ok(t, o.box.Git.Checkout(Context(t), path, "topic"))
	Same(t, Must(o.box.Git.Status(Context(t), path))(t).CurrentBranch, "topic")
	Ok(t, o.box.Git.Checkout(Context(t), path, "main"))
	Ok(t, o.box.Git.DeleteBranch(Context(t), path, "topic"))
	if branches := Must(o.box.Git.Branches(Context(t), path))(t); !slices.Equal(branches, []string{"main"}) {
		t.Fatal(branches)
	}
}

func TestAPullBringsWhatOthersPushed(t *testing.T) {
	o := newOrigin(t)
	path := o.clone(t)
	Run(t, o.box, "cd "+o.folder+"/origin && git checkout -q main")
	sha := o.commit(t, o.folder+"/origin", "theirs.txt")
	Run(t, o.box, "git -C "+o.folder+"/origin push -q ../origin.git main")
	Ok(t, o.box.Git.Pull(Context(t), path))
	Same(t, o.revision(t, path, "HEAD"), sha)
}

func TestAnEmptyCommitIsMadeOnlyWhenAllowed(t *testing.T) {
	o := newOrigin(t)
	path := o.clone(t)
	git := o.box.Git
	_, err := git.Commit(Context(t), path, "nothing", "Ada", "ada@example.org")
	if status := Status(err); status < 400 || status >= 500 {
		t.Fatalf("status %d: %v", status, err)
	}
	Must(git.Commit(Context(t), path, "nothing", "Ada", "ada@example.org", options.WithAllowEmpty(true)))(t)
}

func TestAPrivateRepositoryNeedsItsLogin(t *testing.T) {
	o := newOrigin(t)
	path := o.folder + "/private"
	Refused(t, o.box.Git.Clone(Context(t), o.address("private"), path), 401)
	login := []func(*options.GitClone){options.WithUsername(gitUser), options.WithPassword(gitPassword)}
	Ok(t, o.box.Git.Clone(Context(t), o.address("private"), path, login...))
	o.commit(t, path, "new.txt")
	Refused(t, o.box.Git.Push(Context(t), path), 401)
	Ok(t, o.box.Git.Push(Context(t), path, options.WithPushUsername(gitUser), options.WithPushPassword(gitPassword)))
}

func TestWhatIsNoRepositoryIsRefused(t *testing.T) {
	_, err := gitBox(t).Git.Status(Context(t), "/usr/lib")
	if status := Status(err); status < 400 || status >= 500 {
		t.Fatalf("status %d: %v", status, err)
	}
}
